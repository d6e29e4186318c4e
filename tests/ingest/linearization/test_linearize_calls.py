"""Calls of jacdb.linearize: what it takes, what it refuses in one line, and what it keeps from one call to the next."""

import mujoco
import numpy as np
import pytest
from c_differences import error

import jacdb
from jacdb.ingest.linearization import linearizer

pytestmark = pytest.mark.slow
NOISE = 1e-7  # of the differences
SLIDER = """<mujoco><option timestep="0.01"/><worldbody><body>
<joint name="x" type="slide" axis="1 0 0"/><joint name="z" type="slide" axis="0 0 1"/><geom size=".1"/>
</body></worldbody><actuator><motor joint="x"/></actuator></mujoco>"""


def test_a_model_without_actuators_falls_on_the_floor():
    floor = '<worldbody><geom type="plane" size="1 1 .1"/>'
    model = mujoco.MjModel.from_xml_string(
        SLIDER.replace('<actuator><motor joint="x"/></actuator>', "")
        .replace("<worldbody>", floor)
        .replace("<option", '<option tolerance="0"')
    )
    touching = {"qpos": [0.0, 0.0993], "qvel": [0.5, -0.1], "ctrl": [], "act": [], "qacc_warmstart": [0.0, 0.0]}
    steps = jacdb.linearize(model, touching["qpos"], touching["qvel"])
    assert steps.in_contact[0] and steps.j_action.shape == (1, 4, 0)
    assert steps.zero_state[0, :, 0].tolist() == [False, True, True, True], "the floor is the same everywhere"
    at = {name: np.array(values) for name, values in touching.items()}
    assert error(model, at, 1, steps.j_state[0]) < NOISE


@pytest.fixture(scope="module")
def slider() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(SLIDER)


def test_one_sample_needs_no_axis_of_samples_and_mjx_takes_the_same_step(slider):
    state = {"qpos": [0.1, 0.2], "qvel": [1.0, -1.0], "ctrl": [0.5]}
    one = jacdb.linearize(slider, **state, substeps=2)
    assert one.j_state.shape == (1, 4, 4) and one.j_action.shape == (1, 4, 1)
    np.testing.assert_allclose(
        one.j_state[0], [[1, 0, 0.02, 0], [0, 1, 0, 0.02], [0, 0, 1, 0], [0, 0, 0, 1]], atol=1e-15
    )
    assert len(repr(one)) < 300 and "j_state (1, 4, 4), j_action (1, 4, 1)" in repr(one)
    assert one.zero_action[0, [1, 3]].all() and not one.zero_action[0, [0, 2]].any()
    mjx = jacdb.linearize(slider, **state, substeps=2, engine="mjx")
    np.testing.assert_allclose(mjx.next_state, one.next_state, rtol=1e-13)
    np.testing.assert_allclose(mjx.j_state, one.j_state, rtol=1e-13)


@pytest.mark.thorough
@pytest.mark.parametrize("cone", ["pyramidal", "elliptic"])
def test_a_pair_within_one_rigid_body_changes_nothing_by_mjx(cone):
    """MJX makes constraints of it, which no joint feels: the motion of its geoms against each other is divided by 0."""
    xml = f'''<mujoco><option iterations="100" tolerance="1e-12" cone="{cone}"/><worldbody>
    <geom name="floor" type="plane" size="1 1 1"/><body pos="0 0 .099"><joint type="slide" axis="0 0 1"/>
    <joint axis="0 1 0"/><geom name="ball" size=".1"/><body pos=".13 .01 .03"><geom name="welded" size=".1"/></body>
    </body></worldbody>%s</mujoco>'''
    pair = '<contact><pair geom1="ball" geom2="welded" condim="3"/></contact>'
    without, steps = (
        jacdb.linearize(mujoco.MjModel.from_xml_string(xml % pairs), [0.0, 0.1], [0.1, 0.3], engine="mjx")
        for pairs in ("", pair)
    )
    assert without.in_contact[0] and steps.contacts == without.contacts
    np.testing.assert_allclose(steps.j_state, without.j_state, atol=1e-9)
    np.testing.assert_allclose(steps.next_state, without.next_state, atol=1e-12)


def test_a_changed_model_is_another_model(slider):
    heavier = slider.__copy__()
    heavier.body_mass[:] *= 2
    state = {"qpos": [0.0, 0.0], "qvel": [0.0, 0.0], "substeps": 2}
    light, heavy = (jacdb.linearize(model, **state).j_action[0, 2, 0] for model in (slider, heavier))
    assert light == pytest.approx(2 * heavy)


def test_what_one_process_compiled_another_finds_without_tracing_it(slider, monkeypatch):
    state = {"qpos": [0.0, 0.1], "qvel": [0.2, 0.3], "substeps": 2}
    before = jacdb.linearize(slider, **state)
    linearizer._made.cache_clear()  # as in a new process
    monkeypatch.setattr(linearizer.Linearizer, "_lowered", lambda *arguments: pytest.fail("it is traced again"))
    assert np.array_equal(jacdb.linearize(slider, **state).j_state, before.j_state)


WRONG = {
    "qpos has shape (2, 3): this model needs (2, 2)": {"qpos": np.zeros((2, 3))},
    "qvel holds NaN or infinity, first in sample 1": {"qvel": [[0, 0], [np.nan, 0]]},
    "qpos has no rows: give one or more samples": {"qpos": np.zeros((0, 2)), "qvel": np.zeros((0, 2))},
    "ctrl has shape (1, 1): this model needs (2, 1)": {"ctrl": np.zeros((1, 1))},
    "qpos is one number: this model needs (2,), or a row of these a sample": {"qpos": 0.5},
    "qvel holds complex numbers: give real ones, such as qvel.real": {"qvel": np.zeros((2, 2)) + 1j},
    "qvel is no array of numbers": {"qvel": [["x", "y"]]},
    "substeps=0: give a whole number from 1": {"substeps": 0},
    "substeps=1000000000000: give a whole number from 1 to 100,000": {"substeps": 10**12},
    "substeps=True: give a whole number from 1": {"substeps": True},
    "engine='warp': give 'c' or 'mjx'": {"engine": "warp"},
    "model is a str: give a mujoco.MjModel": {"model": "robot.xml"},
}


@pytest.mark.parametrize("said", WRONG)
def test_wrong_input_is_one_line(slider, said):
    arguments = {"model": slider, "qpos": np.zeros((2, 2)), "qvel": np.zeros((2, 2)), **WRONG[said]}
    with pytest.raises(jacdb.UsageError) as caught:
        jacdb.linearize(**arguments)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_quaternions_are_not_normalised_without_a_word():
    model = mujoco.MjModel.from_xml_string(
        '<mujoco><worldbody><body><joint name="wrist" type="ball"/><geom size=".1"/></body></worldbody></mujoco>'
    )
    with pytest.raises(jacdb.UsageError, match=r"joint wrist, has length 2 in sample 0: divide it by its length"):
        jacdb.linearize(model, [2.0, 0, 0, 0], [0.0, 0, 0])


def test_mjx_says_which_integrator_it_lacks(slider):
    runge_kutta = slider.__copy__()
    runge_kutta.opt.integrator = mujoco.mjtIntegrator.mjINT_RK4
    with pytest.raises(jacdb.UsageError, match="engine='mjx' has no integrator RK4: give engine='c'"):
        jacdb.linearize(runge_kutta, [0.0, 0], [0.0, 0], engine="mjx")
