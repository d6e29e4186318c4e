"""Contacts against MuJoCo's C engine."""

import mujoco
import numpy as np
import pytest
import reference_rows

import jacdb
from jacdb.ingest.dynamics.observations import Observation
from jacdb.ingest.linearization.collisions import Collisions
from jacdb.ingest.pipeline import ingest
from jacdb.ingest.recording.constraint_columns import ConstraintColumns, geom_names, switch_names
from jacdb.ingest.run_plan import Request

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cheetah(tmp_path_factory):
    root = tmp_path_factory.mktemp("cheetah")
    ingest(Request("CheetahRun", episodes=4, steps=50, seed=2), root)  # all converge: `unrolled` takes long to compile
    with jacdb.open(root) as dataset:
        yield dataset


@pytest.mark.thorough
def test_users_02_rows_of_the_cheetah_are_this_engines(cheetah, pytestconfig):
    reference_rows.check(cheetah, "CheetahRun", pytestconfig.getoption("reference"))


@pytest.mark.thorough
def test_contacts_are_those_of_the_c_engine(cheetah, system):
    """CheetahRun takes one physics step per control step: its contacts are those at the stored state."""
    model = system("CheetahRun").mj_model
    data, names = mujoco.MjData(model), geom_names(model)
    rows = cheetah.sql("select state, action, contacts, n_contacts from steps where residual < 1e-10").pl()
    touching = 0
    for row in rows.sample(100, seed=0).iter_rows(named=True):
        data.qpos[:], data.qvel[:] = np.split(np.array(row["state"]), 2)
        data.ctrl[:] = row["action"]
        mujoco.mj_forward(model, data)
        expected: dict[tuple[str, str], list[float]] = {}
        for i, contact in enumerate(data.contact):
            if contact.dist < contact.includemargin:
                force = np.zeros(6)
                mujoco.mj_contactForce(model, data, i, force)
                pair = tuple(names[geom] for geom in sorted(contact.geom))
                distance, normal = expected.get(pair, (np.inf, 0.0))
                expected[pair] = [min(distance, contact.dist), normal + force[0]]
        found = {(c["geom1"], c["geom2"]): [c["distance"], c["normal_force"]] for c in row["contacts"]}
        assert found.keys() == expected.keys()
        assert row["n_contacts"] == len(found)
        for pair, values in found.items():
            np.testing.assert_allclose(values, expected[pair], rtol=1e-6, atol=1e-9)
        touching += bool(found)
    assert 10 < touching < 90


@pytest.mark.thorough
def test_active_names_limits_and_clipped_actuators(cheetah, system):
    model = system("CheetahRun").mj_model
    joints = [i for i in range(model.njnt) if model.jnt_limited[i]]
    rows = cheetah.sql("select state, action, active from steps").pl()
    for row in rows.iter_rows(named=True):
        qpos = row["state"][: model.nq]
        expected = {
            f"joint_limit:{model.joint(i).name}"
            for i in joints
            if not model.jnt_range[i, 0] <= qpos[model.jnt_qposadr[i]] <= model.jnt_range[i, 1]
        }
        expected |= {f"ctrl_clip:{model.actuator(i).name}" for i, u in enumerate(row["action"]) if abs(u) >= 1}
        assert set(row["active"]) == expected


@pytest.mark.thorough
def test_sparsity_follows_contact(cheetah):
    """The paper's reading of Figures 5 and 6, in one query: two values, and the ground tells them apart."""
    pushed = "len(list_filter(contacts, lambda c: c.normal_force > 0)) > 0"
    found = cheetah.sql(f"select distinct {pushed} as pushed, n_zero_state from steps").fetchall()
    assert sorted(found) == [(False, 79), (True, 17)]


@pytest.mark.parametrize("name", ["BallInCup", "FingerSpin", "PandaPickCube"])
def test_every_switch_has_a_name_of_its_own(name, system, menagerie):
    names = switch_names(system(name).mj_model)
    assert len(names) == len(set(names)) > 0
    assert all(":" in switch for switch in names)


def test_a_joint_of_several_dofs_is_named_once():
    """A ball joint has a switch for each dof, and holds where any does."""
    model = mujoco.MjModel.from_xml_string(
        """<mujoco><worldbody><body><joint name="ball" type="ball" frictionloss="1"/><geom size=".1"/><body>
        <joint name="hinge" frictionloss="1" range="-1 1" limited="true"/><geom size=".1"/></body>
        </body></worldbody></mujoco>"""
    )
    assert switch_names(model) == [*["friction_holds:ball"] * 3, "friction_holds:hinge", "joint_limit:hinge"]
    switches = np.array([[0, 1, 1, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 0, 1], [0, 0, 0, 0, 1]], bool)[:, None]
    none = np.zeros((len(switches), 1, 0))
    observed = Observation(none.astype(int), none, none.astype(bool), none, switches)
    assert ConstraintColumns(model).columns(observed)["active"].to_pylist() == [
        ["friction_holds:ball", "friction_holds:hinge"],
        [],
        ["friction_holds:ball", "joint_limit:hinge"],
        ["joint_limit:hinge"],
    ]


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("", ["ctrl_clip:m", "force_clip:m", "joint_force_clip:x"]),
        ('<flag clampctrl="disable"/>', ["force_clip:m", "joint_force_clip:x"]),
        ('<flag actuation="disable"/>', []),
    ],
)
def test_what_a_flag_switches_off_is_not_active(flag, expected):
    """Without actuation, forces are 0, which is a bound of many ranges."""
    model = mujoco.MjModel.from_xml_string(
        f"""<mujoco><option>{flag}</option><worldbody><body><joint name="x" type="slide" actuatorfrcrange="0 1"/>
        <geom size=".1"/></body></worldbody>
        <actuator><motor name="m" joint="x" ctrlrange="-1 1" forcerange="0 1"/></actuator></mujoco>"""
    )
    none = np.zeros((1, 1, 0))
    observed = Observation(
        none[..., None].astype(int).repeat(2, -1), none, none.astype(bool), none, np.ones((1, 1, 3), bool)
    )
    assert ConstraintColumns(model).columns(observed)["active"].to_pylist() == [expected]


def test_geoms_that_no_dof_moves_against_each_other_do_not_touch():
    """MJX has their contacts, of a mocap body on the floor or of a pair on one body; MuJoCo leaves them out."""
    model = mujoco.MjModel.from_xml_string(
        """<mujoco><worldbody><geom name="floor" type="plane" size="1 1 1"/>
        <body pos="0 0 .09"><joint type="slide" axis="0 0 1"/><geom name="ball" size=".1"/>
        <body pos=".1 0 0"><geom name="welded" size=".1"/></body></body>
        <body mocap="true" pos="1 0 .04"><geom name="marker" size=".1"/></body></worldbody>
        <contact><pair geom1="marker" geom2="floor"/><pair geom1="ball" geom2="welded"/></contact></mujoco>"""
    )
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    geoms = data.contact.geom[None, None]
    included = [{model.geom(geom).name for geom in pair} for pair in geoms[0, 0][data.contact.exclude == 0]]
    each = np.ones((1, 1, len(data.contact)))
    observed = Observation(geoms, -each, each.astype(bool), each, np.zeros((1, 1, 0), bool))
    columns = ConstraintColumns(model).columns(observed)
    assert [{contact["geom1"], contact["geom2"]} for contact in columns["contacts"].to_pylist()[0]] == included
    assert included == [{"floor", "ball"}, {"floor", "welded"}] and columns["n_contacts"].tolist() == [2]
    found = Collisions(model, 1).find(np.zeros((1, 1)), data.mocap_pos[None], data.mocap_quat[None])
    assert [{model.geom(geom).name for geom in pair} for pair in found.geoms] == included
