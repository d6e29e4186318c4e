"""The Jacobian of any MuJoCo model's step, at states and controls of one's own: ``jacdb.linearize``."""

from typing import Any, NamedTuple

import mujoco
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from jacdb.errors import UsageError
from jacdb.ingest import runtime
from jacdb.ingest.linearization.evaluations import Solved, Start
from jacdb.ingest.linearization.linearizer import Engine, Jacobians, linearizer_of
from jacdb.ingest.recording.constraint_columns import ConstraintColumns
from jacdb.ingest.sources.trajectory import check_substeps
from jacdb.schemas import ZERO_THRESHOLD

_UNIT = 1e-6  # by how much a quaternion's length may be off: more is no rounding


class Linearization(NamedTuple):
    """Control steps and their Jacobians: the columns of the table `steps`, by the same names, n samples each.

    Attributes:
        state, next_state: qpos, qvel and act, before and after the step.
        action: ctrl.
        j_state, j_action: derivatives of the next state by state and by ctrl, in tangent space: rows (and the columns
            of j_state) are positions in qvel's coordinates, velocities, activations. float64.
        zero_state, zero_action: whether each entry is zero, |entry| < 1e-12.
        residual: by how much the acceleration that the engine found misses the balance of forces, norm over norm of
            forces. Above 1e-6 its solver stopped early, and the Jacobian is as far from that of the solution: give the
            model a smaller ``opt.tolerance`` or more ``opt.iterations``. Where no constraint is in force, or that does
            not help, it is not the solver: the engine computes otherwise than jacdb's equations, and the Jacobian is
            not that of its step. Please report such a model to jacdb's authors. Infinite where a contact is on an edge,
            or a tendon is pulled where it has no length, and there is no derivative, or jacdb finds none.
        in_contact, n_contacts, contacts: whether, and which, geoms touch in any evaluation of forward dynamics. Where
            the residual is above 1e-6, forces are those of jacdb's equations at the engine's acceleration.
        active: names of other constraints that hold (``joint_limit:knee``).
    """

    state: Float[np.ndarray, "n n_state"]
    action: Float[np.ndarray, "n nu"]
    next_state: Float[np.ndarray, "n n_state"]
    j_state: Float[np.ndarray, "n d_state d_state"]
    j_action: Float[np.ndarray, "n d_state nu"]
    zero_state: Bool[np.ndarray, "n d_state d_state"]
    zero_action: Bool[np.ndarray, "n d_state nu"]
    residual: Float[np.ndarray, " n"]
    in_contact: Bool[np.ndarray, " n"]
    n_contacts: Int[np.ndarray, " n"]
    contacts: list[list[dict[str, Any]]]
    active: list[list[str]]

    def __repr__(self) -> str:
        """Return how many steps there are, and the shapes of the arrays: their numbers would fill a screen."""
        arrays = [f"{name} {value.shape}" for name, value in self._asdict().items() if isinstance(value, np.ndarray)]
        return f"<Linearization of {len(self.state)} steps: {', '.join(arrays)}; contacts, active: lists>"


def linearize(
    model: mujoco.MjModel,
    qpos: npt.ArrayLike,
    qvel: npt.ArrayLike,
    ctrl: npt.ArrayLike | None = None,
    *,
    act: npt.ArrayLike | None = None,
    substeps: int = 1,
    qacc_warmstart: npt.ArrayLike | None = None,
    mocap_pos: npt.ArrayLike | None = None,
    mocap_quat: npt.ArrayLike | None = None,
    engine: Engine = "c",
) -> Linearization:
    """Return steps of a model and their exact Jacobians, with exact zeros.

    >>> model = mujoco.MjModel.from_xml_path("robot.xml")
    >>> steps = jacdb.linearize(model, qpos, qvel, ctrl, substeps=5)
    >>> steps.j_state, steps.zero_state

    The engine finds the acceleration; the implicit function theorem differentiates it where it is, whatever algorithm
    found it after however many iterations (docs/jacobians.md). The first call for a model compiles, which takes
    about half a minute; later ones, with any number of samples and in other processes, do not, but where a step has
    more contacts than any before: there is a program for up to 4 at a time, 12, 36 and so on.

    JAX computes in float64 during the call alone. Where the process has no folder of compiled programs, it gets
    jacdb's (jax_compilation_cache_dir), and keeps what takes half a second to compile: set one of your own before.

    Args:
        model: MuJoCo's. It is not changed.
        qpos, qvel: (n, nq) and (n, nv), or (nq,) and (nv,) for one sample.
        ctrl: (n, nu); None for zeros.
        act: activations (n, na); None for zeros.
        substeps: calls of mj_step in a control step, with the same ctrl.
        qacc_warmstart: (n, nv), what the solver starts from. It is held, and matters where the solver stops early.
        mocap_pos, mocap_quat: (n, nmocap, 3) and (n, nmocap, 4); None for the model's own.
        engine: who takes the steps: ``c``, MuJoCo's C engine on all cores, or ``mjx``.

    Raises:
        UsageError: sizes that do not fit the model, NaN, quaternions that are not of unit length, substeps out of
            range, or a feature of the model that is not covered, by its name.
    """
    _check_words(model, substeps, engine)
    start = _start(model, qpos, qvel, ctrl, act, qacc_warmstart, mocap_pos, mocap_quat)
    with runtime.lent():
        linearizer = linearizer_of(model, int(substeps), engine)
        solved = linearizer.step(start)
        jacobians = linearizer.jacobians(start, solved)
    return _linearization(model, start, solved, jacobians)


def _linearization(model: mujoco.MjModel, start: Start, solved: Solved, jacobians: Jacobians) -> Linearization:
    columns = ConstraintColumns(model).columns(jacobians.observed)
    j_state, j_action = jacobians.j_state, jacobians.j_action
    return Linearization(
        state=np.concatenate([start.qpos, start.qvel, start.act], axis=1),
        action=start.ctrl,
        next_state=np.concatenate([solved.next_qpos, solved.next_qvel, solved.next_act], axis=1),
        j_state=j_state,
        j_action=j_action,
        zero_state=np.abs(j_state) < ZERO_THRESHOLD,
        zero_action=np.abs(j_action) < ZERO_THRESHOLD,
        residual=jacobians.residual,
        in_contact=columns["in_contact"],
        n_contacts=columns["n_contacts"],
        contacts=pa.array(columns["contacts"]).to_pylist(),
        active=pa.array(columns["active"]).to_pylist(),
    )


def _check_words(model: object, substeps: object, engine: object) -> None:
    """Refuse what is no model, no number of steps or no engine.

    Raises:
        UsageError: one is not.
    """
    if not isinstance(model, mujoco.MjModel):
        raise UsageError(f"model is a {type(model).__name__}: give a mujoco.MjModel")
    check_substeps(substeps)
    if engine not in ("c", "mjx"):
        raise UsageError(f"engine={engine!r}: give 'c' or 'mjx'")


def _start(model: mujoco.MjModel, *arrays: npt.ArrayLike | None) -> Start:
    """Return the arrays as one batch.

    Raises:
        UsageError: one does not fit the model, or is not finite.
    """
    names = ("qpos", "qvel", "ctrl", "act", "qacc_warmstart", "mocap_pos", "mocap_quat")
    data = mujoco.MjData(model)
    given = {name: _array(name, array) for name, array in zip(names, arrays, strict=True) if array is not None}
    for name in ("qpos", "qvel"):
        if name not in given:
            raise UsageError(f"{name} is missing: give an array of {name}, a row a sample")
    if not given["qpos"].ndim:
        raise UsageError(f"qpos is one number: this model needs {data.qpos.shape}, or a row of these a sample")
    single = given["qpos"].ndim == 1
    n = 1 if single else len(given["qpos"])
    if not n:
        raise UsageError("qpos has no rows: give one or more samples")
    batch = {}
    for name in names:
        shape = getattr(data, name).shape
        if name not in given:
            batch[name] = np.broadcast_to(getattr(data, name) if name.startswith("mocap") else 0.0, (n, *shape))
            continue
        expected = shape if single else (n, *shape)
        if given[name].shape != expected:
            raise UsageError(f"{name} has shape {given[name].shape}: this model needs {expected}")
        if not np.isfinite(given[name]).all():
            raise UsageError(f"{name} holds NaN or infinity, first in sample {_first_bad(given[name], single)}")
        batch[name] = given[name].reshape(n, *shape)
    _check_quaternions(model, batch["qpos"])
    return Start(**{name: np.ascontiguousarray(values) for name, values in batch.items()})


def _array(name: str, value: npt.ArrayLike) -> np.ndarray:
    try:
        if np.iscomplexobj(value):
            raise UsageError(f"{name} holds complex numbers: give real ones, such as {name}.real")
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} is no array of numbers: {error}") from error


def _first_bad(values: np.ndarray, single: bool) -> int:
    return 0 if single else int(np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))[0])


def _check_quaternions(model: mujoco.MjModel, qpos: Float[np.ndarray, "n nq"]) -> None:
    """Refuse quaternions that are none: MuJoCo would scale them to unit length without a word.

    Raises:
        UsageError: one has another length.
    """
    for joint in range(model.njnt):
        offset = {mujoco.mjtJoint.mjJNT_FREE: 3, mujoco.mjtJoint.mjJNT_BALL: 0}.get(int(model.jnt_type[joint]))
        if offset is None:
            continue
        first = int(model.jnt_qposadr[joint]) + offset
        lengths = np.linalg.norm(qpos[:, first : first + 4], axis=1)
        wrong = np.flatnonzero(np.abs(lengths - 1) > _UNIT)
        if len(wrong):
            raise UsageError(
                f"qpos[{first}:{first + 4}], the quaternion of joint {model.joint(joint).name or joint}, has length"
                f" {lengths[wrong[0]]:.6g} in sample {wrong[0]}: divide it by its length"
            )
