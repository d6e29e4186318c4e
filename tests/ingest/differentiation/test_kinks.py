"""Which side's derivative a row holds exactly at a kink: the numbers that docs/jacobians.md gives."""

import jax
import mujoco
import numpy as np
import pytest
from conftest import ROOT
from machine import KINKS, machine

import jacdb
from jacdb.ingest import runtime
from jacdb.ingest.differentiation import control_step
from jacdb.ingest.differentiation.types import PhysicsInput

MODEL = mujoco.MjModel.from_xml_string(KINKS)
EPSILON = 1e-6
# Of d v' / d q for contact and limit, of d v' / d ctrl for the others: (row, column) of (10, 10 + 3)
PLACES = {"contact": (5, 0), "limit": (6, 1), "ctrl": (7, 10), "force": (8, 11), "joint_force": (9, 12)}
BELOW = {"contact": -22.44, "limit": -22.44, "ctrl": 0.01, "force": 0.01, "joint_force": 0.01}


def at(offset: float) -> PhysicsInput:
    start = jax.tree.map(np.copy, PhysicsInput.read(mujoco.MjData(MODEL)))
    return start._replace(qpos=np.full(MODEL.nq, offset), ctrl=np.full(MODEL.nu, 1.0 + offset))


def entries(matrix: np.ndarray) -> dict[str, float]:
    return {name: round(float(matrix[place]), 6) for name, place in PLACES.items()}


@pytest.mark.slow
def test_users_18_at_a_clip_both_sides_count_half_and_at_a_limit_or_contact_the_free_one():
    system = machine(KINKS)
    system.env.n_substeps = 1
    inputs = jax.tree.map(lambda *leaves: np.stack(leaves), at(-EPSILON), at(0.0), at(EPSILON))
    found = runtime.compiled_quickly(jax.vmap(control_step.physics_jacobian(system, "implicit")), inputs)(inputs)
    below, exactly, above = map(entries, np.asarray(found.matrix))
    assert below == pytest.approx(BELOW, abs=0.01)
    assert set(above.values()) == {0.0}
    assert exactly == {"contact": 0.0, "limit": 0.0, "ctrl": 0.005, "force": 0.005, "joint_force": 0.005}


@pytest.mark.parametrize("centred, of_force, of_position", [(True, 0.005, -11.22), (False, 0.0, 0.0)])
def test_users_18_the_c_engine_takes_other_sides(centred, of_force, of_position):
    """Its difference stays inside of ctrlrange, and crosses all other kinks."""
    data = mujoco.MjData(MODEL)
    data.ctrl[:] = 1.0
    by_state, by_ctrl = np.zeros((10, 10)), np.zeros((10, 3))
    mujoco.mjd_transitionFD(MODEL, data, EPSILON, centred, by_state, by_ctrl, None, None)
    expected = {"contact": of_position, "limit": of_position, "ctrl": 0.01, "force": of_force, "joint_force": of_force}
    assert entries(np.hstack([by_state, by_ctrl])) == pytest.approx(expected, abs=0.005)


@pytest.mark.slow
def test_users_18_active_names_the_actions_at_their_clip():
    """The shares that README and docs/jacobians.md give; leaving such rows out leaves no such action."""
    with jacdb.open(ROOT / "datasets" / "sample") as dataset:
        inside = dataset.where("len(list_filter(active, lambda name: name like 'ctrl_clip:%')) = 0")
        shares = {
            env: 1 - inside.sql(f"from steps where env = '{env}'").pl().height / n
            for env, n in dataset.sql("select env, count(*) from steps group by env").fetchall()
        }
        actions = inside.sql("select unnest(action) as u from steps where env <> 'PandaPickCube'").pl()["u"]
    assert actions.abs().max() < 1
    percents = {env: round(100 * share) for env, share in shares.items()}
    assert percents.pop("PandaPickCube") == 66 and percents.pop("CartpoleBalance") == 34
    assert percents.pop("SwimmerSwimmer6") == 86
    assert percents.pop("CheetahRun") == percents.pop("WalkerRun") == 89
    assert set(percents.values()) == {53}


def test_users_18_two_clips_in_a_row_leave_a_quarter():
    """PandaPickCube's gripper, from one end of its range exactly to the other: ctrl has half, the fingers a quarter."""
    with jacdb.open(ROOT / "datasets" / "sample") as dataset:
        rows = dataset.sql("select active, j_action from steps where env = 'PandaPickCube'").pl()
    columns = np.array(rows["j_action"].to_list())[:, :, 7]
    ctrl, finger = columns[:, 37], columns[:, 22]
    tie = np.array(["ctrl_clip:actuator8" in names for names in rows["active"]]) & (ctrl != 0)
    assert tie.sum() == 7 and np.allclose(ctrl[tie], 0.02) and ctrl.max() == pytest.approx(0.04)
    assert np.median(finger[tie]) == pytest.approx(0.25 * np.quantile(finger[ctrl > 0.03], 0.9), rel=0.02)


MUSCLES = """<mujoco><option timestep=".005"/><worldbody>
<body><joint name="k" axis="0 1 0"/><geom type="capsule" size=".03" fromto="0 0 0 .2 0 0"/></body></worldbody><actuator>
<general joint="k" dyntype="muscle" dynprm=".02 .04 0" ctrlrange="0 1" gainprm="3" {limits}/></actuator></mujoco>"""


def stepped_activation(model: mujoco.MjModel, act: float, ctrl: float, substeps: int) -> float:
    data = mujoco.MjData(model)
    data.act[:], data.ctrl[:] = act, ctrl
    mujoco.mj_step(model, data, substeps)
    return float(data.act[0])


@pytest.mark.slow
@pytest.mark.parametrize("limits, substeps", [("", 1), ('actlimited="true" actrange="0 1"', 3)])
def test_a_muscles_activation_has_the_mean_of_both_sides_wherever_its_kinks_meet(limits, substeps):
    """At ctrl = act, at the ends of ctrl, of the activation, and of that in its time constants; in every substep."""
    model = mujoco.MjModel.from_xml_string(MUSCLES.format(limits=limits))
    act, ctrl = (values.ravel() for values in np.meshgrid([0, 0.3, 0.5, 1], [0, 0.3, 0.5, 1]))
    still = np.zeros((len(act), 1))
    steps = jacdb.linearize(model, still, still, ctrl[:, None], act=act[:, None], substeps=substeps)
    for name, exact, way in [("act", steps.j_state[:, 2, 2], (1, 0)), ("ctrl", steps.j_action[:, 2, 0], (0, 1))]:
        centred = []
        for at in np.stack([act, ctrl], axis=1):
            ends = [stepped_activation(model, *(at + side * np.array(way)), substeps) for side in (EPSILON, -EPSILON)]
            centred.append((ends[0] - ends[1]) / (2 * EPSILON))
        np.testing.assert_allclose(exact, centred, atol=1e-5, err_msg=name)
