/** The robot in three dimensions: bodies, geoms, contacts, and which joints an entry is of. */
import {
  Color, DirectionalLight, GridHelper, Group, HemisphereLight, Line, Mesh, MeshStandardMaterial, PerspectiveCamera,
  Quaternion, Scene, SphereGeometry, Vector3, WebGLRenderer, ArrowHelper, Box3, BufferGeometry, BufferAttribute, Fog,
  LineBasicMaterial, MeshBasicMaterial, DoubleSide, FrontSide,
} from 'three';
import { OrbitControls } from 'three/addons/controls/OrbitControls.js';
import type { SceneFile, SceneGeom } from '../../data/contract';
import type { Palette } from '../../drawing/palette';
import { lookAt } from './framing';
import { farthest, meshes, primitive } from './geometry';
import { pose } from './kinematics';

export interface ContactMark {
  geoms: [string, string];
  force: number;
}

interface Placed {
  geom: SceneGeom;
  mesh: Mesh<BufferGeometry, MeshStandardMaterial>;
  base: Color;
}

const LINES = 60; // of the grid on the floor
const POSES = 16; // of an episode, that the first view shows whole

const up = new Vector3();
const from = new Vector3();
const to = new Vector3();
const inverse = new Quaternion();

export class RobotScene {
  readonly camera = new PerspectiveCamera(40, 1, 0.01, 200);
  readonly controls: OrbitControls;
  /** places of contacts, one after the other, in the order of the marks */
  readonly points: Vector3[] = [];
  private readonly scene = new Scene();
  private readonly bodies: Group[] = [];
  private readonly placed: Placed[] = [];
  private readonly byName = new Map<string, Placed[]>();
  private readonly lines: { line: Line; sites: { body: number; pos: number[] }[] }[] = [];
  private readonly marks: Mesh[] = [];
  private readonly arrows: ArrowHelper[] = [];
  private readonly follow: number;
  private readonly offset = new Vector3();
  private readonly markMaterial = new MeshBasicMaterial({ depthTest: false, transparent: true, opacity: 0.9 });
  private readonly markShape = new SphereGeometry(1, 16, 12);
  private touched = new Set<string>();
  private lit = new Map<number, string>();
  private grid: GridHelper | null = null;
  private readonly cell: number;
  /** what the first view shows: relative to the robot where it is followed */
  private readonly seen = new Box3();
  private isMoved = false;

  constructor(readonly file: SceneFile, readonly renderer: WebGLRenderer, changed: () => void) {
    this.scene.add(new HemisphereLight(0xffffff, 0x8a8f98, 2.2));
    const sun = new DirectionalLight(0xffffff, 1.6);
    sun.position.set(1, -2, 3);
    this.scene.add(sun);
    for (const body of file.bodies) {
      const group = new Group();
      group.position.fromArray(body.pos);
      group.quaternion.set(body.quat[1], body.quat[2], body.quat[3], body.quat[0]);
      this.bodies.push(group);
      (this.bodies.length > 1 ? this.bodies[body.parent] : this.scene).add(group);
    }
    file.geoms.forEach((geom) => this.place(geom));
    for (const { name, body, pos } of file.unseen ?? []) this.note(name, body, pos);
    for (const { sites, rgba } of file.tendons) this.addTendon(sites, rgba);
    this.follow = this.followed();
    this.cell = 10 ** Math.round(Math.log10(Math.max(file.extent, 0.1) / 4));
    this.camera.up.set(0, 0, 1);
    this.controls = new OrbitControls(this.camera, renderer.domElement);
    this.controls.addEventListener('change', changed);
    this.controls.addEventListener('start', () => { this.isMoved = true; });
    this.seen.setFromCenterAndSize(new Vector3().fromArray(file.center), new Vector3().setScalar(0.7 * Math.max(file.extent, 0.2)));
    this.home();
  }

  /** Look at all that the episode shows of the robot. */
  home(): void {
    const away = lookAt(this.camera, this.seen, this.controls.target);
    this.camera.near = away / 100;
    this.camera.far = away * 60;
    this.camera.updateProjectionMatrix();
    this.scene.fog = new Fog(this.scene.background instanceof Color ? this.scene.background : 0xffffff, 1.5 * away, 7 * away);
    this.offset.set(0, 0, 0);
    this.isMoved = false;
    this.controls.update();
  }

  /** Find where the robot is in an episode, and look there unless someone turned the view. */
  frame(state: ArrayLike<number>, width: number, steps: number): void {
    const seen = new Box3();
    for (let at = 0; at < POSES; at++) {
      const start = width * Math.floor((at * (steps - 1)) / (POSES - 1));
      if (!Number.isFinite(state[start])) continue;
      pose(this.file, this.bodies, state, start);
      this.scene.updateMatrixWorld(true);
      this.grow(seen);
    }
    if (!seen.isEmpty()) this.seen.copy(seen);
    if (!this.isMoved) this.home();
  }

  /** Fit the view to another size of the canvas. */
  resize(width: number, height: number): void {
    this.renderer.setSize(width, height);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    if (!this.isMoved) this.home();
  }

  /** Turn and tilt the view by angles, or come nearer by a factor. */
  orbit(turn: number, tilt: number, nearer = 1): void {
    this.isMoved = true;
    const arm = this.camera.position.clone().sub(this.controls.target);
    const across = Math.hypot(arm.x, arm.y);
    const angle = Math.atan2(arm.y, arm.x) + turn;
    const height = Math.min(Math.max(Math.atan2(arm.z, across) + tilt, -1.5), 1.5);
    const length = arm.length() * nearer;
    arm.set(Math.cos(height) * Math.cos(angle), Math.cos(height) * Math.sin(angle), Math.sin(height)).multiplyScalar(length);
    this.camera.position.copy(this.controls.target).add(arm);
    this.controls.update();
  }

  /** Add the meshes, whose numbers came later than the primitives. */
  addMeshes(bytes: ArrayBuffer): void {
    const shapes = meshes(this.file, bytes);
    for (const { geom, mesh } of this.placed) {
      if (geom.mesh !== null && shapes[geom.mesh]) mesh.geometry = shapes[geom.mesh];
    }
  }

  /** Pose the bodies, put tendons along their sites, and keep a robot that walks in view. */
  pose(state: ArrayLike<number>, start: number): void {
    pose(this.file, this.bodies, state, start);
    this.scene.updateMatrixWorld(true);
    for (const { line, sites } of this.lines) {
      const points = line.geometry.getAttribute('position') as BufferAttribute;
      sites.forEach(({ body, pos }, at) => {
        from.fromArray(pos).applyMatrix4(this.bodies[body].matrixWorld);
        points.setXYZ(at, from.x, from.y, from.z);
      });
      points.needsUpdate = true;
    }
    if (this.follow >= 0) {
      from.setFromMatrixPosition(this.bodies[this.follow].matrixWorld).setZ(0);
      to.copy(from).sub(this.offset);
      this.offset.copy(from);
      this.controls.target.add(to);
      this.camera.position.add(to);
      if (this.grid) {
        const { cell } = this;
        this.grid.position.set(cell * Math.round(from.x / cell), cell * Math.round(from.y / cell), 0.001);
      }
    }
  }

  /** Tint geoms that touch, and mark where, larger for larger forces. */
  contacts(found: ContactMark[], colours: Palette): void {
    this.touched = new Set(found.flatMap(({ geoms }) => geoms));
    this.points.length = found.length;
    found.forEach(({ geoms, force }, at) => {
      if (!this.marks[at]) {
        this.marks[at] = new Mesh(this.markShape, this.markMaterial);
        this.marks[at].renderOrder = 2;
        this.scene.add(this.marks[at]);
      }
      this.points[at] ??= new Vector3();
      this.meet(geoms, this.points[at]);
      this.marks[at].position.copy(this.points[at]);
      this.marks[at].scale.setScalar(this.file.extent * Math.min(0.008 + 0.004 * Math.log10(1 + Math.max(force, 0)), 0.03));
      this.marks[at].visible = true;
    });
    for (let at = found.length; at < this.marks.length; at++) this.marks[at].visible = false;
    this.markMaterial.color.set(colours.contact);
    this.tint(colours);
  }

  /** Light up joints by name: the bodies that they move, and their axes. */
  light(joints: { joint: string | null; body: string | null; colour: string }[], colours: Palette): void {
    this.lit = new Map();
    for (const arrow of this.arrows.splice(0)) {
      this.scene.remove(arrow);
      arrow.dispose();
    }
    for (const { joint, body, colour } of joints) {
      const moved = this.file.actuators.find((one) => one.name === joint)?.joint ?? joint;
      const found = this.file.joints.find(({ name }) => name === moved);
      const at = found ? found.body : this.file.bodies.findIndex(({ name }) => name === body);
      if (at >= 0) this.lit.set(at, colour);
      if (found && (found.type === 'hinge' || found.type === 'slide')) this.addArrow(found, colour);
    }
    this.tint(colours);
  }

  /** Return where geoms are, in the order of the file: for tests against MuJoCo. */
  geomPositions(): number[][] {
    this.scene.updateMatrixWorld(true);
    return this.placed.map(({ mesh }) => mesh.getWorldPosition(new Vector3()).toArray());
  }

  repaint(colours: Palette): void {
    this.scene.background = new Color(colours.panel);
    this.scene.fog?.color.set(colours.panel);
    if (this.grid) this.scene.remove(this.grid);
    this.grid = new GridHelper(LINES * this.cell, LINES, colours.muted, colours.muted).rotateX(Math.PI / 2);
    Object.assign(this.grid.material, { transparent: true, opacity: 0.3 });
    this.grid.position.z = 0.001;
    this.scene.add(this.grid);
    this.tint(colours);
  }

  render(): void {
    this.renderer.render(this.scene, this.camera);
  }

  dispose(): void {
    this.controls.dispose();
    for (const { mesh } of this.placed) {
      mesh.geometry.dispose();
      mesh.material.dispose();
    }
  }

  private place(geom: SceneGeom): void {
    const base = new Color().setRGB(geom.rgba[0], geom.rgba[1], geom.rgba[2]);
    const material = new MeshStandardMaterial({
      color: base.clone(), roughness: 0.75, metalness: 0.05, opacity: geom.rgba[3], transparent: geom.rgba[3] < 1,
      side: geom.type === 'plane' ? DoubleSide : FrontSide,
    });
    const mesh = new Mesh(primitive(geom, this.file.extent) ?? new BufferGeometry(), material);
    mesh.position.fromArray(geom.pos);
    mesh.quaternion.set(geom.quat[1], geom.quat[2], geom.quat[3], geom.quat[0]);
    mesh.visible = geom.rgba[3] > 0;
    this.bodies[geom.body].add(mesh);
    const placed = { geom, mesh, base };
    this.placed.push(placed);
    this.byName.set(geom.name, [...(this.byName.get(geom.name) ?? []), placed]);
  }

  /** Know where a geom is that is not drawn: contacts may be its. */
  private note(name: string, body: number, pos: number[]): void {
    const geom: SceneGeom = {
      name, body, type: 'sphere', size: [0, 0, 0], pos, quat: [1, 0, 0, 0], rgba: [0, 0, 0, 0], group: 3, mesh: null,
    };
    const mesh = new Mesh(new BufferGeometry(), new MeshStandardMaterial());
    mesh.position.fromArray(pos);
    mesh.visible = false;
    this.bodies[body].add(mesh);
    this.byName.set(name, [...(this.byName.get(name) ?? []), { geom, mesh, base: new Color() }]);
  }

  private addTendon(sites: { body: number; pos: number[] }[], rgba: number[]): void {
    const geometry = new BufferGeometry();
    geometry.setAttribute('position', new BufferAttribute(new Float32Array(3 * sites.length), 3));
    const line = new Line(geometry, new LineBasicMaterial({ color: new Color(rgba[0], rgba[1], rgba[2]) }));
    line.frustumCulled = false;
    this.scene.add(line);
    this.lines.push({ line, sites });
  }

  /** Extend a box by the geoms as they are posed: without floors and walls and, where a robot is followed, what it leaves. */
  private grow(box: Box3): void {
    const one = new Box3();
    from.set(0, 0, 0);
    if (this.follow >= 0) from.setFromMatrixPosition(this.bodies[this.follow].matrixWorld).setZ(0).negate();
    for (const { geom, mesh } of this.placed) {
      if (geom.type === 'plane' || geom.type === 'hfield' || !mesh.visible || !mesh.geometry.getAttribute('position')) continue;
      if (this.follow >= 0 && !this.isPartOf(geom.body, this.follow)) continue;
      mesh.geometry.boundingBox ?? mesh.geometry.computeBoundingBox();
      box.union(one.copy(mesh.geometry.boundingBox!).applyMatrix4(mesh.matrixWorld).translate(from));
    }
  }

  private isPartOf(body: number, whole: number): boolean {
    for (let at = body; at > 0; at = this.file.bodies[at].parent) if (at === whole) return true;
    return false;
  }

  /** Return the body that walks away: the first whose joint is free or slides, beneath the world; -1 for none. */
  private followed(): number {
    const free = this.file.joints.filter(({ body, type }) => this.file.bodies[body].parent === 0
      && (type === 'free' || type === 'slide'));
    const walks = free.length === 1 ? free[0].type === 'free' && this.file.joints.length > 1 && free[0].qposadr === 0
      : free.length > 1 && free[0].body === free[1].body;
    // where something else moves, too (a ball, a box), the view stands still and shows both
    return walks && this.file.joints.every(({ body }) => this.isPartOf(body, free[0].body)) ? free[0].body : -1;
  }

  private addArrow(joint: SceneFile['joints'][number], colour: string): void {
    const body = this.bodies[joint.body];
    body.updateWorldMatrix(true, false);
    const origin = new Vector3().fromArray(joint.pos).applyMatrix4(body.matrixWorld);
    const along = new Vector3().fromArray(joint.axis).transformDirection(body.matrixWorld);
    const arrow = new ArrowHelper(along, origin, this.file.extent * 0.22, colour, this.file.extent * 0.05, this.file.extent * 0.03);
    for (const part of [arrow.line, arrow.cone]) {
      (part.material as MeshBasicMaterial).depthTest = false;
      part.renderOrder = 3;
    }
    this.arrows.push(arrow);
    this.scene.add(arrow);
  }

  private tint(colours: Palette): void {
    for (const { geom, mesh, base } of this.placed) {
      const { material } = mesh;
      const isFloor = geom.type === 'plane';
      material.color.copy(base);
      if (isFloor) material.color.set(colours.zero);
      material.emissive.set(0x000000);
      const lit = isFloor ? undefined : this.lit.get(geom.body);
      if (lit) material.emissive.set(lit).multiplyScalar(0.65);
      else if (this.touched.has(geom.name) && geom.name) {
        if (isFloor) material.color.lerp(new Color(colours.contact), 0.12);
        else material.emissive.set(colours.contact).multiplyScalar(0.4);
      }
    }
  }

  /** Write about where two geoms meet: no place is stored, so it is where they are nearest along their centres' line. */
  private meet([first, second]: [string, string], point: Vector3): void {
    const [a, b] = [this.byName.get(first)?.[0], this.byName.get(second)?.[0]];
    if (!a || !b) {
      (a ?? b)?.mesh.getWorldPosition(point);
      return;
    }
    if (b.geom.type === 'plane') return this.meet([second, first], point);
    if (a.geom.type === 'plane') {
      up.set(0, 0, -1).transformDirection(a.mesh.matrixWorld);
      support(b, up, point);
      return;
    }
    a.mesh.getWorldPosition(from);
    b.mesh.getWorldPosition(to);
    up.copy(to).sub(from).normalize();
    support(a, up, from);
    support(b, up.negate(), to);
    point.copy(from).add(to).multiplyScalar(0.5);
  }
}

/** Write the point of a geom that lies farthest along a direction of the world. */
function support({ geom, mesh }: Placed, along: Vector3, point: Vector3): void {
  mesh.getWorldQuaternion(inverse).invert();
  const own = along.clone().applyQuaternion(inverse);
  farthest(geom, mesh.geometry, own, point);
  point.applyMatrix4(mesh.matrixWorld);
}
