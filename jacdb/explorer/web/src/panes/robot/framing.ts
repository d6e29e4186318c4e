/** Where the camera stands, so that a whole robot is seen. */
import { Box3, Vector3, type PerspectiveCamera } from 'three';

const MARGIN = 1.08;
const FLAT = 0.3; // height by width of what moves in the plane of the floor
const FROM_THE_SIDE = new Vector3(0.35, -1, 0.42).normalize();
const FROM_ABOVE = new Vector3(0.15, -0.6, 1).normalize();

const right = new Vector3();
const up = new Vector3();
const corner = new Vector3();
const middle = new Vector3();

/** Move a camera whose up is z so that it sees a box, as near as it can; return how far away it stands. */
export function lookAt(camera: PerspectiveCamera, box: Box3, target: Vector3): number {
  const { min, max } = box;
  box.getCenter(middle);
  const isFlat = max.z - min.z < FLAT * Math.min(max.x - min.x, max.y - min.y);
  const back = isFlat ? FROM_ABOVE : FROM_THE_SIDE;
  right.set(0, 0, 1).cross(back).normalize();
  up.copy(back).cross(right);
  const tall = Math.tan((camera.fov * Math.PI) / 360);
  let away = 0;
  for (let at = 0; at < 8; at++) {
    corner.set(at & 1 ? max.x : min.x, at & 2 ? max.y : min.y, at & 4 ? max.z : min.z).sub(middle);
    const needed = Math.max(Math.abs(corner.dot(right)) / (tall * camera.aspect), Math.abs(corner.dot(up)) / tall);
    away = Math.max(away, MARGIN * needed + corner.dot(back));
  }
  target.copy(middle);
  camera.position.copy(middle).addScaledVector(back, away);
  return away;
}
