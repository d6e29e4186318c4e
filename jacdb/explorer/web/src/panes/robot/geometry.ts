/** MuJoCo's geoms as three.js geometry. */
import {
  BoxGeometry, BufferAttribute, BufferGeometry, CapsuleGeometry, CylinderGeometry, LineBasicMaterial, LineSegments, PlaneGeometry,
  SphereGeometry, type Vector3,
} from 'three';
import type { SceneFile, SceneGeom } from '../../data/contract';

const FLOOR = 40; // extents of the model: as far as one sees

/** Return whether a geom is a plane of the world that looks up. */
function isFloor({ type, body, quat }: SceneGeom): boolean {
  return type === 'plane' && body === 0 && Math.hypot(quat[1], quat[2]) < 1e-6;
}

/** Return a geom's shape; null for a mesh, which comes later, and for a height field. */
export function primitive(geom: SceneGeom, extent: number): BufferGeometry | null {
  const { type, size } = geom;
  switch (type) {
    case 'plane': {
      // for contacts a plane has no end, whatever its size: a floor shows it, walls would hide the robot
      const more = isFloor(geom) ? FLOOR * extent : 0;
      return new PlaneGeometry(2 * (size[0] + more || 10 * extent), 2 * (size[1] + more || 10 * extent));
    }
    case 'sphere': return new SphereGeometry(size[0], 28, 18);
    case 'capsule': return new CapsuleGeometry(size[0], 2 * size[1], 8, 24).rotateX(Math.PI / 2);
    case 'cylinder': return new CylinderGeometry(size[0], size[0], 2 * size[1], 28).rotateX(Math.PI / 2);
    case 'ellipsoid': return new SphereGeometry(1, 28, 18).scale(size[0], size[1], size[2]);
    case 'box': return new BoxGeometry(2 * size[0], 2 * size[1], 2 * size[2]);
    default: return null;
  }
}

/** Return the meshes of a scene from the file that holds their numbers: float32 vertices, uint32 faces. */
export function meshes(scene: SceneFile, bytes: ArrayBuffer): BufferGeometry[] {
  return scene.meshes.map(({ vertices, faces }) => {
    const geometry = new BufferGeometry();
    geometry.setAttribute('position', new BufferAttribute(new Float32Array(bytes, vertices[0], 3 * vertices[1]), 3));
    geometry.setIndex(new BufferAttribute(new Uint32Array(bytes, faces[0], 3 * faces[1]), 1));
    const flat = geometry.toNonIndexed(); // a corner for each face: edges stay sharp
    flat.computeVertexNormals();
    return flat;
  });
}

/** Return a grid of unit squares in the plane of the floor: of short lines, for one that passes the camera may not be drawn. */
export function gridOf(squares: number): LineSegments<BufferGeometry, LineBasicMaterial> {
  const points: number[] = [];
  for (let i = -squares / 2; i <= squares / 2; i++) {
    for (let j = -squares / 2; j < squares / 2; j++) points.push(i, j, 0, i, j + 1, 0, j, i, 0, j + 1, i, 0);
  }
  const geometry = new BufferGeometry();
  geometry.setAttribute('position', new BufferAttribute(new Float32Array(points), 3));
  const lines = new LineSegments(geometry, new LineBasicMaterial({ transparent: true, opacity: 0.35 }));
  lines.frustumCulled = false;
  return lines;
}

/** Write the point of a geom that lies farthest in a direction of its own frame. */
export function farthest({ type, size }: SceneGeom, geometry: BufferGeometry | undefined, along: Vector3, point: Vector3): void {
  const side = (value: number, most: number) => (value > 1e-9 ? most : value < -1e-9 ? -most : 0);
  if (type === 'box') point.set(side(along.x, size[0]), side(along.y, size[1]), side(along.z, size[2]));
  else if (type === 'sphere') point.copy(along).multiplyScalar(size[0]);
  else if (type === 'capsule') {
    point.copy(along).multiplyScalar(size[0]);
    point.z += side(along.z, size[1]);
  } else if (type === 'cylinder') {
    const across = Math.hypot(along.x, along.y);
    point.set(across ? (along.x / across) * size[0] : 0, across ? (along.y / across) * size[0] : 0, side(along.z, size[1]));
  } else if (type === 'ellipsoid') {
    const scaled = Math.hypot(along.x * size[0], along.y * size[1], along.z * size[2]) || 1;
    point.set((along.x * size[0] ** 2) / scaled, (along.y * size[1] ** 2) / scaled, (along.z * size[2] ** 2) / scaled);
  } else if (geometry && type === 'mesh') {
    geometry.boundingBox ?? geometry.computeBoundingBox();
    const { min, max } = geometry.boundingBox!;
    point.set(along.x > 0 ? max.x : min.x, along.y > 0 ? max.y : min.y, along.z > 0 ? max.z : min.z);
  } else point.set(0, 0, 0);
}
