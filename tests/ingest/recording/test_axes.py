"""Every axis of the three spaces has a name of its own, and its unit."""

import pytest

from jacdb.ingest.recording import axes


def named(rows, space):
    return [row["name"] for row in rows if row["space"] == space]


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
