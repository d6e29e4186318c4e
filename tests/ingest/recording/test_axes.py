"""Every axis of the three spaces has a name of its own, and its unit."""

import mujoco
import pytest

from jacdb.ingest.environments.kinematic_tree import parents
from jacdb.ingest.models.body_names import body_names
from jacdb.ingest.recording import axes
from jacdb.ingest.recording.constraint_columns import geom_names
from jacdb.schemas.axis_names import unique_names


def named(rows, space):
    return [row["name"] for row in rows if row["space"] == space]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CheetahRun", "PandaPickCube", "BallInCup"])
def test_axes_count_what_the_matrices_count_and_no_name_twice(name, system, menagerie):
    loaded = system(name)
    rows, model, spec = axes.axis_rows(loaded), loaded.mj_model, loaded.spec
    ctrl = model.nu if spec.ctrl_is_state else 0
    sizes = {"tangent": spec.d_state, "state": model.nq + model.nv + ctrl, "action": spec.d_action}
    for space, size in sizes.items():
        names = named(rows, space)
        assert len(names) == len(set(names)) == size
        assert [row["index"] for row in rows if row["space"] == space] == list(range(size))


def test_the_pandas_axes_are_named_for_people(system, menagerie):
    rows = axes.axis_rows(system("PandaPickCube"))
    tangent, state = named(rows, "tangent"), named(rows, "state")
    assert tangent[0] == "joint1" and tangent[9:15] == [
        "box.x", "box.y", "box.z", "box.rot_x", "box.rot_y", "box.rot_z",
    ]  # fmt: skip
    assert tangent[30] == "actuator1.ctrl"
    assert state[12:16] == ["box.quat_w", "box.quat_x", "box.quat_y", "box.quat_z"]
    units = {row["name"]: row["unit"] for row in rows if row["space"] == "tangent"}
    assert units["joint1"] == "rad" and units["finger_joint1"] == "m" and units["box.angvel_x"] == "rad/s"
    assert units["actuator1.ctrl"] == "rad" and units["actuator8.ctrl"] == "m"


def test_slide_and_hinge_have_their_units(system):
    units = {row["name"]: row["unit"] for row in axes.axis_rows(system("CheetahRun")) if row["space"] == "tangent"}
    assert (units["rootx"], units["rootx.vel"], units["rooty"]) == ("m", "m/s", "rad")


ACTUATED = """
<mujoco><worldbody><body><joint name="hinge"/><geom size=".1"/>
  <body pos="1 0 0"><joint name="slide" type="slide"/><geom size=".1"/></body></body></worldbody>
<actuator>
  <position name="to" joint="hinge" kp="3" kv="1"/> <position name="slowly" joint="slide" kp="3" timeconst=".1"/>
  <velocity name="turn" joint="hinge" kv="2"/> <velocity name="push" joint="slide" kv="2"/>
  <intvelocity name="onwards" joint="hinge" kp="2" actrange="-1 1"/>
  <motor name="torque" joint="hinge"/> <general name="loaded" joint="hinge" biastype="affine" biasprm="1 0 0"/>
  <general name="percent" joint="hinge" gainprm=".5" biastype="affine" biasprm="0 -50 0"/>
</actuator></mujoco>
"""


def test_a_servos_ctrl_has_the_unit_of_what_it_is_told():
    rows = axes.model_axis_rows(mujoco.MjModel.from_xml_string(ACTUATED))
    units = {row["name"].removesuffix(".action"): row["unit"] for row in rows if row["space"] == "action"}
    assert units == {
        "to": "rad", "slowly": "m", "turn": "rad/s", "push": "m/s", "onwards": "rad/s",
        "torque": "1", "loaded": "1", "percent": "1",
    }  # fmt: skip


NAMESAKES = """
<mujoco><worldbody><body name="b">
  <joint name="j.vel" type="slide"/><joint name="j" axis="0 1 0"/><joint name="J" axis="1 0 0"/>
  <joint axis="0 0 1" type="slide"/><joint axis="0 1 0" type="slide"/><geom size=".1" pos=".2 0 0"/>
</body></worldbody>
<actuator><motor name="x" joint="j"/><motor name="X" joint="J"/></actuator></mujoco>
"""


def test_names_that_collide_get_a_number_and_others_stay():
    rows = axes.model_axis_rows(mujoco.MjModel.from_xml_string(NAMESAKES))
    velocities = ["j.vel.vel", "j.vel#2", "J.vel#3", "b.vel", "b.vel#2"]
    assert named(rows, "tangent") == named(rows, "state") == ["j.vel", "j", "J#2", "b", "b#2", *velocities]
    assert named(rows, "action") == ["x.action", "X.action#2"]
    assert [row["joint"] for row in rows][:3] == ["j.vel", "j", "J"]


def test_a_number_that_some_axis_has_is_passed_over():
    assert unique_names(["a", "a", "a#2", "A", "a#2", "É", "é"]) == ["a", "a#3", "a#2", "A#4", "a#2#2", "É", "é"]
    assert unique_names(unique_names(["a", "a", "A"])) == ["a", "a#2", "A#3"]


NAMELESS = """
<mujoco><worldbody> <geom type="plane" size="5 5 .1"/>
  <body pos="0 0 1"> <joint name="a"/> <geom size=".1"/> <body> <joint/> <geom size=".1" pos=".2 0 0"/> </body> </body>
  <body pos="0 3 1" name="body1"> <joint name="b"/> <geom size=".1"/> </body>
  <body pos="0 6 1"> <geom size=".1"/> </body>
</worldbody>
<actuator> <motor name="push" joint="a"/> <adhesion name="stick" body="body1" ctrlrange="0 1"/> </actuator></mujoco>
"""


def test_a_body_without_a_name_has_its_number():
    model = mujoco.MjModel.from_xml_string(NAMELESS)
    assert body_names(model) == ["world", "body1#2", "body2", "body1", "body4"]
    rows = axes.model_axis_rows(model)
    assert [row["body"] for row in rows if row["space"] == "tangent"] == ["body1#2", "body2", "body1"] * 2
    assert [row["body"] for row in rows if row["space"] == "action"] == ["body1#2", None]
    assert named(rows, "tangent") == ["a", "joint1", "b", "a.vel", "joint1.vel", "b.vel"]
    assert geom_names(model) == ["world/geom0", "body1#2/geom1", "body2/geom2", "body1/geom3", "body4/geom4"]
    assert parents(model) == {"body2": "body1#2"}
