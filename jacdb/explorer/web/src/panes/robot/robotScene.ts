/** The robot in three dimensions: bodies, geoms, contacts, and which joints an entry is of. */
import {
  Color, DirectionalLight, Group, HemisphereLight, Line, Mesh, MeshStandardMaterial, PerspectiveCamera,
  Quaternion, Scene, SphereGeometry, Vector3, WebGLRenderer, ArrowHelper, Box3, BufferGeometry, BufferAttribute, Fog,
  LineBasicMaterial, MeshBasicMaterial, DoubleSide, FrontSide,
} from 'three';
import { OrbitControls } from 'three/addons/controls/OrbitControls.js';
import type { SceneFile, SceneGeom, SceneJoint } from '../../data/contract';
import type { Palette } from '../../drawing/palette';
import { lookAt } from './framing';
import { farthest, gridOf, meshes, primitive } from './geometry';
import { pose } from './kinematics';

interface Placed {
  geom: SceneGeom;
  mesh: Mesh<BufferGeometry, MeshStandardMaterial>;
  base: Color;
}

const LINES = 60; // of the grid on the floor
const LIT = 0.75; // how much of a lit body's colour is that of its joint
const TOUCHED = 0.5;
const CONTACT_MOST = 0.03; // size of a mark, by that of the model
const POSES = 16; // of an episode, that the first view shows whole

const up = new Vector3();
const from = new Vector3();
const to = new Vector3();
const inverse = new Quaternion();
const own = new Vector3();
const seenAt = new Vector3();

export class RobotScene {
  readonly camera = new PerspectiveCamera(40, 1, 0.01, 200);
  readonly controls: OrbitControls;
  /** places of contacts, in the order in which they were given last; there may be more from before */
  readonly points: Vector3[] = [];
  private readonly scene = new Scene();
  private readonly bodies: Group[] = [];
  private readonly placed: Placed[] = [];
  private readonly byName = new Map<string, Placed[]>();
  private readonly lines: { line: Line; sites: { body: number; pos: number[] }[] }[] = [];
  private readonly marks: Mesh[] = [];
  private readonly arrows: { arrow: ArrowHelper; joint: SceneJoint }[] = [];
  private readonly follow: number;
  private readonly offset = new Vector3();
  private readonly markMaterial = new MeshBasicMaterial({ depthTest: false, transparent: true, opacity: 0.9 });
  private readonly markShape = new SphereGeometry(1, 16, 12);
  private readonly touched = new Set<Placed>();
  private readonly lit = new Map<number, Color>();
  private readonly contactColour = new Color();
  private readonly floorColour = new Color();
  private readonly grid = gridOf(LINES);
  private cell = 1; // of the grid
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
    this.grid.position.z = 0.001;
    this.scene.add(this.grid);
    this.follow = this.followed();
    this.camera.up.set(0, 0, 1);
    this.controls = new OrbitControls(this.camera, renderer.domElement);
    renderer.domElement.style.touchAction = 'pan-y'; // a finger that moves up or down scrolls the page
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
    this.layGrid(away);
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
      for (let at = 0; at < sites.length; at++) {
        from.fromArray(sites[at].pos).applyMatrix4(this.bodies[sites[at].body].matrixWorld);
        points.setXYZ(at, from.x, from.y, from.z);
      }
      points.needsUpdate = true;
    }
    if (this.follow >= 0) {
      from.setFromMatrixPosition(this.bodies[this.follow].matrixWorld).setZ(0);
      to.copy(from).sub(this.offset);
      this.offset.copy(from);
      this.controls.target.add(to);
      this.camera.position.add(to);
      const { cell } = this;
      this.grid.position.set(cell * Math.round(from.x / cell), cell * Math.round(from.y / cell), this.grid.position.z);
    }
  }

  /** Mark what touches, larger for larger forces, and tint it; called once a frame, it makes nothing new. */
  contacts(touching: { pair: number; force: number }[], pairs: [string, string][]): void {
    this.touched.clear();
    for (let at = 0; at < touching.length; at++) {
      const [first, second] = pairs[touching[at].pair];
      for (const name of [first, second]) this.byName.get(name)?.forEach((placed) => this.touched.add(placed));
      this.points[at] ??= new Vector3();
      this.meet(first, second, this.points[at]);
      const size = 0.008 + 0.004 * Math.log10(1 + Math.max(touching[at].force, 0));
      const mark = this.marks[at] ?? this.addMark();
      mark.position.copy(this.points[at]);
      mark.scale.setScalar(this.file.extent * Math.min(size, CONTACT_MOST));
      mark.visible = true;
    }
    for (let at = touching.length; at < this.marks.length; at++) this.marks[at].visible = false;
    for (const { arrow, joint } of this.arrows) this.point(arrow, joint);
    this.tint();
  }

  /** Light up joints by name: the bodies that they move, and their axes. */
  light(joints: { joint: string | null; body: string | null; colour: string }[]): void {
    this.lit.clear();
    for (const { arrow } of this.arrows.splice(0)) {
      this.scene.remove(arrow);
      arrow.dispose();
    }
    for (const { joint, body, colour } of joints) {
      const moved = this.file.actuators.find((one) => one.name === joint)?.joint ?? joint;
      const found = this.file.joints.find(({ name }) => name === moved);
      const at = found ? found.body : this.file.bodies.findIndex(({ name }) => name === body);
      if (at >= 0) this.lit.set(at, new Color(colour));
      if (found && (found.type === 'hinge' || found.type === 'slide')) this.addArrow(found, colour);
    }
    this.tint();
  }

  /** Return where a contact is on the screen, from -1 to 1: of use until the next is asked for. */
  onScreen(at: number): Vector3 {
    return seenAt.copy(this.points[at]).project(this.camera);
  }

  /** Return where geoms are, in the order of the file: for tests against MuJoCo. */
  geomPositions(): number[][] {
    this.scene.updateMatrixWorld(true);
    return this.placed.map(({ mesh }) => mesh.getWorldPosition(new Vector3()).toArray());
  }

  repaint(colours: Palette): void {
    this.scene.background = new Color(colours.panel);
    this.scene.fog?.color.set(colours.panel);
    this.contactColour.set(colours.contact);
    this.floorColour.set(colours.zero);
    this.markMaterial.color.set(colours.contact);
    this.grid.material.color.set(colours.muted);
    this.tint();
  }

  /** Let the lines of the floor be as far apart as suits what is seen from some way away. */
  private layGrid(away: number): void {
    const ten = 10 ** Math.floor(Math.log10(away / 6));
    this.cell = ten * (away / 6 >= 5 * ten ? 5 : away / 6 >= 2 * ten ? 2 : 1);
    this.grid.scale.setScalar(this.cell);
  }

  render(): void {
    this.renderer.render(this.scene, this.camera);
  }

  dispose(): void {
    this.controls.dispose();
    this.grid.geometry.dispose();
    this.grid.material.dispose();
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
    this.know(placed);
  }

  /** Find a geom by its name. Runs of before 1.0 took each body without a name for the world, in geoms' names too. */
  private know(placed: Placed): void {
    const { name } = placed.geom;
    for (const one of new Set([name, name.replace(/^body\d+(#\d+)?(?=\/geom\d+$)/, 'world')])) {
      this.byName.set(one, [...(this.byName.get(one) ?? []), placed]);
    }
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
    this.know({ geom, mesh, base: new Color() });
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

  private addMark(): Mesh {
    const mark = new Mesh(this.markShape, this.markMaterial);
    mark.renderOrder = 2;
    this.marks.push(mark);
    this.scene.add(mark);
    return mark;
  }

  private addArrow(joint: SceneJoint, colour: string): void {
    const { extent } = this.file;
    const arrow = new ArrowHelper(up.set(0, 0, 1), from.set(0, 0, 0), 0.22 * extent, colour, 0.05 * extent, 0.03 * extent);
    for (const part of [arrow.line, arrow.cone]) {
      (part.material as MeshBasicMaterial).depthTest = false;
      part.renderOrder = 3;
    }
    this.arrows.push({ arrow, joint });
    this.scene.add(arrow);
    this.point(arrow, joint);
  }

  /** Put an arrow along a joint's axis, as its body is posed. */
  private point(arrow: ArrowHelper, { body, pos, axis }: SceneJoint): void {
    const { matrixWorld } = this.bodies[body];
    arrow.position.fromArray(pos).applyMatrix4(matrixWorld);
    arrow.setDirection(up.fromArray(axis).transformDirection(matrixWorld));
  }

  private tint(): void {
    for (const placed of this.placed) {
      const { geom, mesh, base } = placed;
      const { color, emissive } = mesh.material;
      emissive.set(0x000000);
      if (geom.type === 'plane') {
        color.copy(this.floorColour);
        continue;
      }
      color.copy(base);
      const lit = this.lit.get(geom.body);
      if (lit) {
        color.lerp(lit, LIT);
        emissive.copy(lit).multiplyScalar(0.15);
      } else if (this.touched.has(placed)) color.lerp(this.contactColour, TOUCHED);
    }
  }

  /** Write about where two geoms meet: no place is stored, so it is where they are nearest along their centres' line. */
  private meet(first: string, second: string, point: Vector3): void {
    const [a, b] = [this.byName.get(first)?.[0], this.byName.get(second)?.[0]];
    if (!a || !b) {
      (a ?? b)?.mesh.getWorldPosition(point);
      return;
    }
    if (b.geom.type === 'plane') return this.meet(second, first, point);
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
  own.copy(along).applyQuaternion(inverse);
  farthest(geom, mesh.geometry, own, point);
  point.applyMatrix4(mesh.matrixWorld);
}
