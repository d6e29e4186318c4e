"""Name every axis of states, tangents and actions: what an entry of a Jacobian is a derivative of, and by what."""

from typing import Any, NamedTuple

import mujoco

from jacdb.ingest.environments.loading import System
from jacdb.ingest.environments.registry import EnvSpec
from jacdb.ingest.environments.tangent_space import BALL, FREE, HINGE, SLIDE
from jacdb.ingest.models.body_names import body_names
from jacdb.schemas.axis_names import unique_names


class _Joint(NamedTuple):
    """A joint, with the name of its body. One without a name (often the free joint of a body) takes its body's."""

    name: str
    body: str
    type: int


def axis_rows(system: System) -> list[dict[str, Any]]:
    """Return the rows of `axes` for an environment, without the columns env and run_id.

    There are three spaces. ``tangent`` is x of x' = F(x, u), the rows and columns of the Jacobians: positions and
    velocities in qvel's coordinates, then ctrl and the environment's memory where they are state. ``state`` is
    everything stored to resume from: qpos, qvel, and the same ctrl and memory. ``action`` is u.
    """
    model, spec = system.mj_model, system.spec
    carried = [*(_controls(model) if spec.ctrl_is_state else []), *_memory(spec)]
    tangent = [*_positions(model, quaternions=False), *_velocities(model), *carried]
    state = [*_positions(model, quaternions=True), *_velocities(model), *carried]
    spaces = {"tangent": tangent, "state": state, "action": _actions(system)}
    return _numbered(spaces)


def model_axis_rows(model: mujoco.MjModel) -> list[dict[str, Any]]:
    """Return the rows of `axes` for a model of which the state is qpos, qvel and act, and the action ctrl."""
    carried = [*_velocities(model), *_activations(model)]
    spaces = {
        "tangent": [*_positions(model, quaternions=False), *carried],
        "state": [*_positions(model, quaternions=True), *carried],
        "action": _controls(model, "action"),
    }
    return _numbered(spaces)


def _numbered(spaces: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    rows = []
    for space, axes in spaces.items():
        names = unique_names([axis["name"] for axis in axes])
        rows += [
            {"space": space, "index": index, **axis, "name": name}
            for index, (axis, name) in enumerate(zip(axes, names, strict=True))
        ]
    return rows


def _activations(model: mujoco.MjModel) -> list[dict[str, Any]]:
    """Return the axes of act. A muscle's activation has no unit; of the others the gain says what it is."""
    joints, axes = _joints(model), []
    for i in range(model.nu):
        name, body, _ = _actuated(model, joints, i)
        count = int(model.actuator_actnum[i])
        names = [f"{name}.act"] if count == 1 else [f"{name}.act{k}" for k in range(count)]
        axes += [_axis(one, name, body, "activation", "1") for one in names]
    return axes


def _axis(name: str, joint: str | None, body: str | None, quantity: str, unit: str) -> dict[str, Any]:
    return {"name": name, "joint": joint, "body": body, "quantity": quantity, "unit": unit}


def joint_names(model: mujoco.MjModel) -> list[str]:
    """Return a name for every joint: its own, or its body's own, or its number."""
    return [joint.name for joint in _joints(model)]


def _joints(model: mujoco.MjModel) -> list[_Joint]:
    bodies, joints = body_names(model), []
    for i in range(model.njnt):
        body = int(model.jnt_bodyid[i])
        name = model.joint(i).name or model.body(body).name or f"joint{i}"
        joints.append(_Joint(name, bodies[body], int(model.jnt_type[i])))
    return joints


def _positions(model: mujoco.MjModel, quaternions: bool) -> list[dict[str, Any]]:
    """Return the axes of qpos or, without quaternions, of its tangents."""
    axes = []
    for name, body, kind in _joints(model):
        if kind == FREE:
            axes += [_axis(f"{name}.{c}", name, body, "position", "m") for c in "xyz"]
        if kind in (FREE, BALL):
            parts, unit = (("quat", "wxyz"), "1") if quaternions else (("rot", "xyz"), "rad")
            axes += [_axis(f"{name}.{parts[0]}_{c}", name, body, "orientation", unit) for c in parts[1]]
        if kind == SLIDE:
            axes.append(_axis(name, name, body, "position", "m"))
        if kind == HINGE:
            axes.append(_axis(name, name, body, "position", "rad"))
    return axes


def _velocities(model: mujoco.MjModel) -> list[dict[str, Any]]:
    axes = []
    for name, body, kind in _joints(model):
        if kind == FREE:
            axes += [_axis(f"{name}.vel_{c}", name, body, "velocity", "m/s") for c in "xyz"]
        if kind in (FREE, BALL):
            axes += [_axis(f"{name}.angvel_{c}", name, body, "angular velocity", "rad/s") for c in "xyz"]
        if kind == SLIDE:
            axes.append(_axis(f"{name}.vel", name, body, "velocity", "m/s"))
        if kind == HINGE:
            axes.append(_axis(f"{name}.vel", name, body, "angular velocity", "rad/s"))
    return axes


def _controls(model: mujoco.MjModel, quantity: str = "ctrl") -> list[dict[str, Any]]:
    """Return the axes of ctrl, as ``quantity``."""
    joints = _joints(model)
    axes = []
    for i in range(model.nu):
        name, body, kind = _actuated(model, joints, i)
        axes.append(_axis(f"{name}.{quantity}", name, body, quantity, _ctrl_unit(model, i, kind)))
    return axes


def _ctrl_unit(model: mujoco.MjModel, i: int, kind: int) -> str:
    """Return the unit of an actuator's ctrl: that of what a servo on a joint is told, or else 1.

    A servo's gain times ctrl balances its bias where the joint is at the position that it is told, or has the velocity.
    An integrator is told how fast the position goes on. Of other actuators the gain says what ctrl is.

    Args:
        kind: the type of the joint.
    """
    unit = {SLIDE: "m", HINGE: "rad"}.get(kind)
    if unit is None or model.actuator_biastype[i] != int(mujoco.mjtBias.mjBIAS_AFFINE):
        return "1"
    gain, (_, by_position, by_velocity) = model.actuator_gainprm[i, 0], model.actuator_biasprm[i, :3]
    if by_position:
        is_rate = model.actuator_dyntype[i] == int(mujoco.mjtDyn.mjDYN_INTEGRATOR)
        return "1" if gain != -by_position else f"{unit}/s" if is_rate else unit
    return f"{unit}/s" if by_velocity and gain == -by_velocity else "1"


def _memory(spec: EnvSpec) -> list[dict[str, Any]]:
    return [
        _axis(f"{entry}[{i}]", None, None, "memory", unit) for entry, size, unit in spec.memory for i in range(size)
    ]


def _actuated(model: mujoco.MjModel, joints: list[_Joint], i: int) -> tuple[str, str | None, int]:
    """Return the name of an actuator, and the body and type of its joint: None and -1 where it drives none."""
    name = model.actuator(i).name or f"actuator{i}"
    if model.actuator_trntype[i] != int(mujoco.mjtTrn.mjTRN_JOINT):
        return name, None, -1
    joint = joints[int(model.actuator_trnid[i, 0])]
    return name, joint.body, joint.type


def _actions(system: System) -> list[dict[str, Any]]:
    model, size = system.mj_model, system.spec.d_action
    if size != model.nu:
        return [_axis(f"action{i}", None, None, "action", "1") for i in range(size)]
    joints = _joints(model)
    named = [_actuated(model, joints, i) for i in range(model.nu)]
    return [_axis(f"{name}.action", name, body, "action", "1") for name, body, _ in named]
