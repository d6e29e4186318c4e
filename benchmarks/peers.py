"""Ask other tools for the Jacobian of a step: `python benchmarks/peers.py`, where some of them are installed.

Each tool that can be imported is asked the same of the same two models, in MJCF: two double pendulums that do not
touch, and two balls that slide over a plane. Half of the Jacobians and more is zero by structure. Answers are kept in
benchmarks/peers.json, from which docs/peers.md is made; tools that are not here keep their former answers. A derivative
is compared with central differences of the tool's own step: no tool is held to another's physics.

    pip install mujoco mujoco-mjx jax        # C differences, MJX
    pip install pin drake mujoco-warp        # Pinocchio, Drake, MuJoCo Warp
"""

import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

KEPT = Path(__file__).parent / "peers.json"
NV, WIDTH, C_WIDTH = 4, 4e-5, 1e-6  # C_WIDTH is what users of mjd_transitionFD take
PENDULUMS = """
<mujoco model="pendulums">
  <compiler angle="radian"/>
  <option timestep="0.01" integrator="{integrator}"/>
  <worldbody>
    <body name="base" pos="0 0 2"> <inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/>
      <body name="a1">
        <inertial pos="0 0 -0.2" mass="1" diaginertia="0.02 0.02 0.01"/> <joint name="a1" axis="0 1 0" range="-3 3"/>
        <body name="a2" pos="0 0 -0.5">
          <inertial pos="0 0 -0.2" mass="1" diaginertia="0.02 0.02 0.01"/> <joint name="a2" axis="0 1 0" range="-3 3"/>
        </body>
      </body>
      <body name="b1" pos="0 3 0">
        <inertial pos="0 0 -0.2" mass="1" diaginertia="0.02 0.02 0.01"/> <joint name="b1" axis="0 1 0" range="-3 3"/>
        <body name="b2" pos="0 0 -0.5">
          <inertial pos="0 0 -0.2" mass="1" diaginertia="0.02 0.02 0.01"/> <joint name="b2" axis="0 1 0" range="-3 3"/>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator> <{actuator} name="a" joint="a1"/> <{actuator} name="b" joint="b1"/> </actuator>
</mujoco>
"""
PLAIN = {"integrator": "Euler", "actuator": "motor"}
BALLS = """
<mujoco model="balls">
  <option timestep="0.01"/>
  <worldbody>
    <geom type="plane" size="5 5 0.1"/>
    <body name="a" pos="0 0 0.0993">
      <joint name="ax" type="slide" axis="1 0 0"/> <joint name="az" type="slide" axis="0 0 1"/>
      <geom type="sphere" size="0.1" mass="1"/>
    </body>
    <body name="b" pos="0 3 0.0993">
      <joint name="bx" type="slide" axis="1 0 0"/> <joint name="bz" type="slide" axis="0 0 1"/>
      <geom type="sphere" size="0.1" mass="1"/>
    </body>
  </worldbody>
</mujoco>
"""
type Step = Callable[[np.ndarray], np.ndarray]


def pendulums_at() -> np.ndarray:
    """A state of the pendulums: positions and velocities, off every equilibrium."""
    return np.array([0.3, -0.4, 0.7, 0.2, 0.5, -1.0, 0.3, 0.8])


def balls_at() -> np.ndarray:
    """A state of the balls: they slide over the floor, 0.7 mm in it and sinking."""
    return np.array([0.0, 0.0, 0.0, 0.0, 0.5, -0.1, -0.3, -0.1])


def differences(step: Step, state: np.ndarray) -> np.ndarray:
    """Central differences of sixth order of a step: columns are inputs. Their error is near 1e-11."""
    moves = WIDTH * np.eye(len(state))
    weights = ((1, 45 / 60), (2, -9 / 60), (3, 1 / 60))
    columns = [
        sum(weight * (step(state + k * move) - step(state - k * move)) for k, weight in weights) / WIDTH
        for move in moves
    ]
    return np.stack(columns, axis=1)


def compared(jacobian: np.ndarray, step: Step, state: np.ndarray) -> dict[str, Any]:
    """Compare a derivative with differences of the step, and look at the entries that are zero by structure."""
    expected = differences(step, state)
    of_b = np.tile([False, False, True, True], 2)
    never = of_b[:, None] != of_b
    if not state[:NV].any():  # the balls: the floor is the same everywhere
        never[:, [0, 2]] |= ~np.eye(8, dtype=bool)[:, [0, 2]]
    apart = jacobian[:8, :8][never]
    return {
        "error": float(np.abs(jacobian - expected).max() / np.abs(expected).max()),
        "structural": int(apart.size),
        "exact": int((apart == 0).sum()),
        "largest": float(np.abs(apart).max()),
    }


def first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0].split('. ')[0] if lines else ''}"


def answered(ask: Callable[[], Any]) -> Any:
    """The answer, or what the tool raises."""
    try:
        return ask()
    except Exception as error:  # whatever a tool raises is its answer
        return {"raises": first_line(error)}


def answers(ask: Callable[[str, np.ndarray], tuple[np.ndarray, Step]]) -> dict[str, Any]:
    """Ask a tool for its Jacobian (and its step) of all models."""

    def of(xml: str, at: np.ndarray) -> Any:
        return answered(lambda: compared(*ask(xml, at), at))

    filtered = {"integrator": "Euler", "actuator": 'general dyntype="filter" dynprm="0.1"'}
    return {
        "smooth": of(PENDULUMS.format(**PLAIN), pendulums_at()),
        "contact": of(BALLS, balls_at()),
        "rk4": of(PENDULUMS.format(integrator="RK4", actuator="motor"), pendulums_at()),
        "activations": answered(lambda: {"shape": list(ask(PENDULUMS.format(**filtered), pendulums_at())[0].shape)}),
    }


# --- MuJoCo's C engine: finite differences ----------------------------------------------------------------------------


def c_step(model: Any) -> tuple[Callable[[np.ndarray], Any], Step]:
    """The data at a state, and the C engine's step."""
    import mujoco

    def data_at(at: np.ndarray) -> mujoco.MjData:
        data = mujoco.MjData(model)
        data.qpos, data.qvel = at[: model.nq], at[model.nq : model.nq + model.nv]
        return data

    def step(at: np.ndarray) -> np.ndarray:
        data = data_at(at)
        mujoco.mj_step(model, data)
        return np.concatenate([data.qpos, data.qvel])

    return data_at, step


def c_engine() -> dict[str, Any]:
    import mujoco

    def ask(xml: str, state: np.ndarray) -> tuple[np.ndarray, Step]:
        model = mujoco.MjModel.from_xml_string(xml)
        data_at, step = c_step(model)
        size = 2 * model.nv + model.na
        jacobian = np.zeros((size, size))
        mujoco.mjd_transitionFD(model, data_at(state), C_WIDTH, True, jacobian, None, None, None)
        return jacobian, step

    return answers(ask)


# --- jacdb: the implicit function theorem at the C engine's solution --------------------------------------------------


def jacdb_linearize() -> dict[str, Any]:
    import mujoco

    import jacdb

    def ask(xml: str, state: np.ndarray) -> tuple[np.ndarray, Step]:
        model = mujoco.MjModel.from_xml_string(xml)
        qpos, qvel = state[: model.nq], state[model.nq : model.nq + model.nv]
        return jacdb.linearize(model, qpos, qvel).j_state[0], c_step(model)[1]

    return answers(ask)


# --- MJX: forward-mode autodiff through the step ----------------------------------------------------------------------


def mjx_autodiff() -> dict[str, Any]:
    import jax
    import jax.numpy as jnp
    import mujoco
    from mujoco import mjx

    jax.config.update("jax_enable_x64", True)

    def ask(xml: str, state: np.ndarray, mode: Any = jax.jacfwd) -> tuple[np.ndarray, Step]:
        mj_model = mujoco.MjModel.from_xml_string(xml)
        model, start = mjx.put_model(mj_model, impl="jax"), mjx.make_data(mj_model, impl="jax")

        @jax.jit
        def step(at: Any) -> Any:
            data = start.replace(qpos=at[:NV], qvel=at[NV : 2 * NV], act=at[2 * NV :])
            data = mjx.step(model, data)
            return jnp.concatenate([data.qpos, data.qvel, data.act])

        jacobian = jax.jit(mode(step))(jnp.concatenate([state, np.zeros(mj_model.na)]))
        return np.asarray(jacobian), lambda at: np.asarray(step(at))

    reverse = answered(lambda: {"shape": list(ask(BALLS, balls_at(), jax.jacrev)[0].shape)})
    return {**answers(ask), "contact, reverse mode": reverse}


# --- Pinocchio: analytical derivatives of the articulated-body algorithm ----------------------------------------------


def pinocchio_aba() -> dict[str, Any]:
    import pinocchio

    step_size = 0.01
    model = pinocchio.buildModelFromMJCF(_written(PENDULUMS.format(**PLAIN)))
    data = model.createData()
    state = pendulums_at()

    def step(at: np.ndarray) -> np.ndarray:
        speed = at[NV:] + step_size * pinocchio.aba(model, data, at[:NV], at[NV:], np.zeros(NV))
        return np.concatenate([at[:NV] + step_size * speed, speed])

    def ask() -> dict[str, Any]:
        pinocchio.computeABADerivatives(model, data, state[:NV], state[NV:], np.zeros(NV))
        by_q, by_v = step_size * data.ddq_dq, np.eye(NV) + step_size * data.ddq_dv
        return compared(np.block([[np.eye(NV) + step_size * by_q, step_size * by_v], [by_q, by_v]]), step, state)

    return {
        "smooth": answered(ask),
        "functions": [name for name in dir(pinocchio) if "Derivatives" in name and "Constraint" in name],
    }


def _written(xml: str) -> str:
    """A file with a model, for tools that read files alone."""
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".xml", delete=False) as file:
        file.write(xml)
    return file.name


# --- Drake: automatic differentiation of a discrete plant -------------------------------------------------------------


def drake_autodiff() -> dict[str, Any]:
    from pydrake.autodiffutils import ExtractGradient, InitializeAutoDiff
    from pydrake.multibody.parsing import Parser
    from pydrake.multibody.plant import AddMultibodyPlantSceneGraph
    from pydrake.systems.framework import DiagramBuilder

    def diagram_of(xml: str) -> Any:
        builder = DiagramBuilder()
        plant, _ = AddMultibodyPlantSceneGraph(builder, time_step=0.01)
        plant.SetUseSampledOutputPorts(False)  # the update is then the step alone
        Parser(plant).AddModels(_written(xml))
        plant.Finalize()
        return builder.Build()

    def next_state(diagram: Any, state: Any) -> Any:
        context = diagram.CreateDefaultContext()
        plant = diagram.GetSubsystemByName("plant")
        own = plant.GetMyMutableContextFromRoot(context)
        if plant.num_actuators():
            plant.get_actuation_input_port().FixValue(own, np.zeros(plant.num_actuators()))
        own.SetDiscreteState(state)
        return plant.EvalUniquePeriodicDiscreteUpdate(own).value()

    def ask(xml: str, state: np.ndarray) -> tuple[np.ndarray, Step]:
        diagram = diagram_of(xml)
        gradient = ExtractGradient(next_state(diagram.ToAutoDiffXd(), InitializeAutoDiff(state)))
        return gradient, lambda at: np.ravel(next_state(diagram, at))

    found = answers(ask)
    return {name: found[name] for name in ("smooth", "contact")}  # it reads no integrator and no activation of MJCF


# --- MuJoCo Warp: a tape over the step --------------------------------------------------------------------------------


def warp_tape() -> dict[str, Any]:
    import mujoco
    import mujoco_warp
    import warp

    def gradient() -> dict[str, float]:
        mj_model = mujoco.MjModel.from_xml_string(PENDULUMS.format(**PLAIN))
        mj_data = mujoco.MjData(mj_model)
        mj_data.qpos, mj_data.qvel = pendulums_at()[:NV], pendulums_at()[NV:]
        with warp.ScopedDevice("cpu"):
            model, data = mujoco_warp.put_model(mj_model), mujoco_warp.put_data(mj_model, mj_data)
            start: Any = warp.array(data.qvel.numpy(), dtype=float, requires_grad=True)
            data.qvel.requires_grad = True
            with warp.Tape() as tape:
                warp.copy(data.qvel, start)
                mujoco_warp.step(model, data)
            tape.backward(grads={data.qvel: warp.array(np.ones((1, NV)), dtype=float)})
            return {"gradient": np.round(start.grad.numpy().ravel().astype(float), 6).tolist()}

    functions = [name for name in dir(mujoco_warp) if "transition" in name.lower() or "deriv" in name.lower()]
    return {"tape": answered(gradient), "functions": functions}


TOOLS: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "mjd_transitionFD": ("mujoco", c_engine),
    "MJX": ("mujoco-mjx", mjx_autodiff),
    "Pinocchio": ("pin", pinocchio_aba),
    "Drake": ("drake", drake_autodiff),
    "MuJoCo Warp": ("mujoco-warp", warp_tape),
    "jacdb": ("jacdb", jacdb_linearize),
}


def main() -> None:
    """Ask all tools that are here, and keep what they answer."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for name, (package, ask) in TOOLS.items():
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            print(f"{name}: {package} is not installed, and is left out")
            continue
        kept[name] = {"package": package, "version": version, **ask()}
        print(name, json.dumps(kept[name]), flush=True)
    KEPT.write_text(json.dumps({name: kept[name] for name in TOOLS if name in kept}, indent=1) + "\n")


if __name__ == "__main__":
    main()
