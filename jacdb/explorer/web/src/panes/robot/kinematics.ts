/** Where bodies are, given positions of the joints: MuJoCo's kinematics, in the frame of each body's parent. */
import { Quaternion, Vector3, type Object3D } from 'three';
import type { SceneFile, SceneJoint } from '../../data/contract';

const anchor = new Vector3();
const turned = new Vector3();
const axis = new Vector3();
const turn = new Quaternion();

/** Write the poses of all bodies that joints move into their groups; it makes nothing new. */
export function pose(scene: SceneFile, bodies: Object3D[], qpos: ArrayLike<number>, offset: number): void {
  let last = -1;
  for (const joint of scene.joints) {
    const group = bodies[joint.body];
    if (joint.body !== last) {
      last = joint.body;
      const { pos, quat } = scene.bodies[joint.body];
      group.position.fromArray(pos);
      group.quaternion.set(quat[1], quat[2], quat[3], quat[0]);
    }
    move(joint, group, qpos, offset + joint.qposadr);
  }
}

function move({ type, pos, axis: along, qpos0 }: SceneJoint, group: Object3D, qpos: ArrayLike<number>, at: number): void {
  const { position, quaternion } = group;
  if (type === 'free') {
    position.set(qpos[at], qpos[at + 1], qpos[at + 2]);
    quaternion.set(qpos[at + 4], qpos[at + 5], qpos[at + 6], qpos[at + 3]).normalize();
  } else if (type === 'slide') {
    axis.fromArray(along).applyQuaternion(quaternion);
    position.addScaledVector(axis, qpos[at] - qpos0[0]);
  } else {
    anchor.fromArray(pos).applyQuaternion(quaternion).add(position);
    if (type === 'ball') turn.set(qpos[at + 1], qpos[at + 2], qpos[at + 3], qpos[at]).normalize();
    else turn.setFromAxisAngle(axis.fromArray(along), qpos[at] - qpos0[0]);
    quaternion.multiply(turn).normalize();
    position.copy(anchor).sub(turned.fromArray(pos).applyQuaternion(quaternion));
  }
}
