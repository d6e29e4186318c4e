"""The transition function x' = F(x, u) of one control step, taken from the environment itself.

No environment's step is written again here. Every Playground environment turns its action into ctrl and hands
that to ``mjx_env.step``, the one door to the physics. While JAX traces an environment's own ``step``, that door
is replaced (:func:`physics_door`), so that the physics runs substep by substep under our eyes; rewards,
terminations and the map from action to ctrl stay the environment's.

Quaternions have four numbers and three degrees of freedom, so derivatives live in MuJoCo's tangent space (the
space of qvel; MuJoCo documentation, "Computation", "Floating objects", and mjd_transitionFD).
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Float
from mujoco import mjx
from mujoco.mjx._src import math as mjx_math
from mujoco_playground import MjxEnv, State
from mujoco_playground._src import mjx_env

from jacdb.errors import UsageError
from jacdb.ingest import environments, runtime
from jacdb.ingest.environments import EnvSpec

# MuJoCo's joint types, as its arrays hold them
FREE, BALL, SLIDE, HINGE = (int(getattr(mujoco.mjtJoint, f"mjJNT_{k}")) for k in ("FREE", "BALL", "SLIDE", "HINGE"))

type Physics = Callable[[mjx.Model, mjx.Data, Array, int], mjx.Data]


@dataclass(frozen=True)
class System:
    """An environment, loaded: its facts, Playground's object, and MuJoCo's models of it."""

    spec: EnvSpec
    env: MjxEnv

    @classmethod
    def load(cls, name: str, report: Callable[[str], None] = lambda doing: None) -> "System":
        """Load an environment; see :func:`environments.load` for what it raises."""
        runtime.configure()
        system = cls(environments.find(name), environments.load(name, report))
        if system.mj_model.na:
            raise UsageError(f"{name} has actuators with activations, which are not part of the state yet")
        return system

    @property
    def mj_model(self) -> mujoco.MjModel:
        return self.env.mj_model

    @property
    def mjx_model(self) -> mjx.Model:
        return self.env.mjx_model


@contextlib.contextmanager
def physics_door(physics: Physics) -> Iterator[None]:
    """Within, environments call ``physics(model, data, ctrl, n_substeps)`` for their physics.

    For use while tracing, by one thread.
    """
    original = mjx_env.step
    mjx_env.step = physics
    try:
        yield
    finally:
        mjx_env.step = original


def env_step(env: MjxEnv, state: State, action: Float[Array, " d_action"], physics: Physics) -> State:
    """The environment's own step with the given physics. ``state`` is not changed."""
    # Some steps write into the state's dictionaries; they get dictionaries of their own.
    own = jax.tree.map(lambda leaf: leaf, state)
    with physics_door(physics):
        return env.step(own, action)


def typed_like[Tree](new: Tree, old: Tree) -> Tree:
    """``new`` in the types of ``old``, for a scan's carry: in float64 MJX does not keep them all."""
    return jax.tree.map(lambda value, like: value.astype(like.dtype), new, old)


def memory(system: System, state: State) -> Float[Array, " d_memory"]:
    """What the environment's own bookkeeping holds of the state (:class:`environments.Memory`)."""
    return jnp.concatenate([jnp.zeros(0), *(state.info[m.entry][: m.size] for m in system.spec.memory)])


def carried(system: System, state: State) -> Float[Array, " d_carried"]:
    """The state beyond positions and velocities: ctrl where it is state, then memory."""
    own = memory(system, state)
    return jnp.concatenate([state.data.ctrl, own]) if system.spec.ctrl_is_state else own


def _carrying(system: System, state: State, values: Float[Array, " d_carried"]) -> State:
    """The state with these values carried; the inverse of :func:`carried`."""
    data, info = state.data, dict(state.info)
    if system.spec.ctrl_is_state:
        data, values = data.replace(ctrl=values[: system.spec.nu]), values[system.spec.nu :]
    for entry, size, _ in system.spec.memory:
        info[entry], values = info[entry].at[:size].set(values[:size]), values[size:]
    return state.replace(data=data, info=info)


def ctrl_map(system: System, state: State) -> Callable[..., Float[Array, " d_mapped"]]:
    """The environment's own map: a function of (dq, carried, action), dq in tangent space, that gives the ctrl
    handed to the physics and, after it, the next memory."""

    def mapped(dq: Float[Array, " nv"], values: Float[Array, " d_carried"], action: Array) -> Float[Array, " d_mapped"]:
        qpos = state.data.qpos + tangent_lift(system.mj_model, state.data.qpos) @ dq
        seen: list[Array] = []

        def look(model: mjx.Model, data: mjx.Data, ctrl: Array, n_substeps: int) -> mjx.Data:
            seen.append(ctrl)
            return data

        start = _carrying(system, state, values)
        after = env_step(system.env, start.replace(data=start.data.replace(qpos=qpos)), action, look)
        return jnp.concatenate([*seen, memory(system, after)])

    return mapped


def state_vector(system: System, state: State) -> Float[Array, " n"]:
    """What is stored of a state: qpos, qvel, and what is carried."""
    return jnp.concatenate([state.data.qpos, state.data.qvel, carried(system, state)])


def restored(system: System, state: State, vector: Float[Array, " n"]) -> State:
    """The state with these numbers in it, the rest as it is; the inverse of :func:`state_vector`."""
    nq, nv = system.spec.nq, system.spec.nv
    data = state.data.replace(qpos=vector[:nq], qvel=vector[nq : nq + nv])
    return _carrying(system, state.replace(data=data), vector[nq + nv :])


def episode_start(system: System, seed: int) -> Callable[[Array], State]:
    """The function of an episode's number that gives its first state: it depends on seed and number alone."""
    root = jax.random.key(seed)

    def start(number: Array) -> State:
        state = system.env.reset(jax.random.fold_in(root, number))
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.asarray(leaf).dtype), state)

    return start


# --- tangent space --------------------------------------------------------------------------------------------


def _quaternions(model: mujoco.MjModel | mjx.Model) -> list[tuple[int, int]]:
    """(address in qpos, address in qvel) of every orientation."""
    found = []
    for kind, qadr, vadr in zip(model.jnt_type, model.jnt_qposadr, model.jnt_dofadr, strict=True):
        if kind == FREE:
            found.append((int(qadr) + 3, int(vadr) + 3))
        elif kind == BALL:
            found.append((int(qadr), int(vadr)))
    return found


def _plain(model: mujoco.MjModel | mjx.Model) -> tuple[np.ndarray, np.ndarray]:
    """Addresses in qpos and in qvel of all coordinates that are no part of an orientation."""
    quats = _quaternions(model)
    q = np.setdiff1d(np.arange(model.nq), [a + i for a, _ in quats for i in range(4)]).astype(int)
    v = np.setdiff1d(np.arange(model.nv), [a + i for _, a in quats for i in range(3)]).astype(int)
    return q, v


def _half_rotation(quat: Float[Array, " 4"]) -> Float[Array, "4 3"]:
    """d quat / d omega at a rotation of zero, omega in the body's frame: quat * (0, omega / 2)."""
    return 0.5 * jax.vmap(lambda axis: mjx_math.quat_mul_axis(quat, axis), out_axes=1)(jnp.eye(3))


def tangent_lift(model: mujoco.MjModel, qpos: Float[Array, " nq"]) -> Float[Array, "nq nv"]:
    """The matrix that turns a tangent of positions (in qvel's coordinates) into a change of qpos."""
    q, v = _plain(model)
    lift = jnp.zeros((model.nq, model.nv)).at[q, v].set(1.0)
    for qadr, vadr in _quaternions(model):
        lift = lift.at[qadr : qadr + 4, vadr : vadr + 3].set(_half_rotation(qpos[qadr : qadr + 4]))
    return lift


def tangent_project(model: mujoco.MjModel | mjx.Model, qpos: Float[Array, " nq"]) -> Float[Array, "nv nq"]:
    """The inverse of :func:`tangent_lift` on changes that keep quaternions on the sphere."""
    q, v = _plain(model)
    project = jnp.zeros((model.nv, model.nq)).at[v, q].set(1.0)
    for qadr, vadr in _quaternions(model):
        quat = qpos[qadr : qadr + 4]
        block = 4 * _half_rotation(quat).T / jnp.dot(quat, quat)
        project = project.at[vadr : vadr + 3, qadr : qadr + 4].set(block)
    return project


def transport(
    model: mujoco.MjModel, next_qvel: Float[Array, " nv"]
) -> tuple[Float[Array, "nv nv"], Float[Array, "nv nv"]]:
    """How q' = q (+) h v' moves with q and with v', in tangent space.

    Coordinates without an orientation move as dq' = dq + h dv'. A quaternion turned by theta = h omega moves as
    dq' = exp(-[theta]) dq + h J_r(theta) domega, J_r the right Jacobian of SO(3). The closed form is exact at
    omega = 0, where differentiating MJX's own quat_integrate gives 0: it treats |omega| < 1e-8 as no rotation.

    Returns:
        (dq'/dq, dq'/dv'), the latter with the factor h, block diagonal.
    """
    h = model.opt.timestep
    by_q, by_v = jnp.eye(model.nv), h * jnp.eye(model.nv)
    for _, vadr in _quaternions(model):
        rotation, right = _turn(h * next_qvel[vadr : vadr + 3])
        block = (slice(vadr, vadr + 3), slice(vadr, vadr + 3))
        by_q, by_v = by_q.at[block].set(rotation.T), by_v.at[block].set(h * right)
    return by_q, by_v


def _turn(theta: Float[Array, " 3"]) -> tuple[Float[Array, "3 3"], Float[Array, "3 3"]]:
    """Rotation matrix of the rotation vector theta, and the right Jacobian of SO(3) there."""
    sq = jnp.dot(theta, theta)
    small = sq < 1e-8
    safe = jnp.where(small, 1.0, sq)
    angle = jnp.sqrt(safe)
    # sin(a)/a, (1 - cos a)/a^2, (a - sin a)/a^3, by their series where the quotients lose digits
    a = jnp.where(small, 1 - sq / 6, jnp.sin(angle) / angle)
    b = jnp.where(small, 0.5 - sq / 24, (1 - jnp.cos(angle)) / safe)
    c = jnp.where(small, 1 / 6 - sq / 120, (angle - jnp.sin(angle)) / (safe * angle))
    x, y, z = theta
    zero = jnp.zeros(())
    cross = jnp.array([[zero, -z, y], [z, zero, -x], [-y, x, zero]])
    eye, square = jnp.eye(3), cross @ cross
    return eye + a * cross + b * square, eye - b * cross + c * square
