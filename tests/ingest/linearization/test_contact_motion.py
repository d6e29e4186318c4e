"""How contacts move with their bodies: the closed form is what MuJoCo's collision detection does, and has its zeros."""

import mujoco
import numpy as np
import pytest

from jacdb.ingest.dynamics.contacts import FoundContacts
from jacdb.ingest.linearization import joint_differences
from jacdb.ingest.linearization.collision_differences import CollisionDifferences
from jacdb.ingest.linearization.collisions import Collisions
from jacdb.ingest.linearization.contact_motion import ContactMotion
from jacdb.ingest.linearization.contact_rates import IN_CLOSED_FORM, contact_rates, in_closed_form
from jacdb.ingest.linearization.contact_slots import dimensions_of, lay_out

XML = """<mujoco><asset><mesh name="wedge" vertex="-.1 -.1 -.05 .1 -.1 -.05 0 .12 -.05 0 0 .1"/></asset>
<default><geom margin="2" contype="1" conaffinity="1"/></default><worldbody>
<body mocap="true"><geom type="plane" size="1 1 .1" contype="3" conaffinity="3"/></body>
<body><freejoint/><geom type="capsule" size=".1 .3" condim="1"/></body>
<body><freejoint/><geom type="capsule" size=".05 .5" condim="4"/></body>
<body><freejoint/><geom type="sphere" size=".2"/></body>
<body><freejoint/><geom type="sphere" size=".1"/></body>
<body><freejoint/><geom type="box" size=".1 .2 .3" contype="2" conaffinity="0"/></body>
<body><freejoint/><geom type="mesh" mesh="wedge" contype="2" conaffinity="0"/></body></worldbody></mujoco>"""
POSES = 30


@pytest.fixture(scope="module")
def found():
    """Contacts of random poses, as (contacts, rates in closed form, rates by differences, which of these are known)."""
    model, rng = mujoco.MjModel.from_xml_string(XML), np.random.default_rng(0)
    qpos, quat = 0.5 * rng.normal(size=(POSES, model.nq)), rng.normal(size=(POSES, 1, 4))
    for row in qpos:
        mujoco.mj_normalizeQuat(model, row)
    mocap = np.zeros((POSES, 1, 3)), quat / np.linalg.norm(quat, axis=2, keepdims=True)
    contacts = Collisions(model, 2).find(qpos, *mocap)
    measured, known = CollisionDifferences(model).rates(contacts, qpos, mocap)
    return model, contacts, contact_rates(model, contacts), measured, known


@pytest.mark.parametrize("pair", IN_CLOSED_FORM)
def test_the_closed_form_is_what_collision_detection_does(found, pair):
    model, contacts, closed, measured, known = found
    own = (model.geom_type[contacts.geoms] == pair).all(axis=1)
    assert own.sum() >= POSES and in_closed_form(model, contacts)[own].all()
    if pair == (int(mujoco.mjtGeom.mjGEOM_PLANE), int(mujoco.mjtGeom.mjGEOM_CAPSULE)):
        assert not known[own].any(), "its tangents follow the capsule, and not the normal"
        return
    assert known[own].mean() > 0.9
    own &= known
    for name in ("distance", "point", "frame", "turn"):
        np.testing.assert_allclose(getattr(closed, name)[own], getattr(measured, name)[own], atol=1e-7, err_msg=name)


def test_capsules_on_a_plane_turn_their_tangents(found):
    model, contacts, closed, *_ = found
    pair = int(mujoco.mjtGeom.mjGEOM_PLANE), int(mujoco.mjtGeom.mjGEOM_CAPSULE)
    own = (model.geom_type[contacts.geoms] == pair).all(axis=1)
    assert (closed.turn[own] == 0).all()
    axis, frame = contacts.rotation[own, 1, :, 2], contacts.frame[own]

    def tangent(axis: np.ndarray) -> np.ndarray:
        across = axis - (axis * frame[:, 0]).sum(axis=1, keepdims=True) * frame[:, 0]
        return across / np.linalg.norm(across, axis=1, keepdims=True)

    np.testing.assert_allclose(tangent(axis), frame[:, 1], atol=1e-12)
    for motion, spin in enumerate(np.eye(3)):
        turned = 1e-6 * np.cross(spin, axis)
        rate = (tangent(axis + turned) - tangent(axis - turned)) / 2e-6
        carried = np.cross(spin, frame[:, 1])
        np.testing.assert_allclose(closed.frame[own][:, motion, 1], rate - carried, atol=1e-7)


def test_what_slides_over_a_plane_changes_nothing_exactly():
    model = mujoco.MjModel.from_xml_string(
        '<mujoco><worldbody><geom type="plane" size="1 1 .1"/><body pos="0 0 .09"><freejoint/>'
        '<geom type="box" size=".3 .2 .1"/></body></worldbody></mujoco>'
    )
    contacts = Collisions(model, 1).find(model.qpos0[None], np.zeros((1, 0, 3)), np.zeros((1, 0, 4)))
    rates = contact_rates(model, contacts)
    assert len(contacts.distance) == 4
    for slide in (3, 4):
        assert not rates.distance[:, slide].any() and not rates.point[:, slide].any()
    assert not rates.frame[:, 3:].any(), "a plane's normal does not move with what stands on it"
    assert (rates.distance[:, 5] == 1).all()


def test_each_contact_has_a_slot_and_each_step_the_smallest_program(found):
    model, contacts, closed, *_ = found
    assert dimensions_of(model) == [3, 4]  # condim 1 meets higher ones alone
    lanes = np.arange(POSES // 2) % 5
    groups = list(lay_out([3, 4], contacts, closed, (POSES // 2, 2), lanes))
    assert sorted(np.concatenate([group.rows for group in groups]).tolist()) == list(range(POSES // 2))
    distances = np.concatenate(
        [slots.distance[slots.margin > -1] for group in groups for slots, _ in group.by_dim.values()]
    )
    assert sorted(distances) == sorted(contacts.distance)
    for group in groups:
        by_step = [(slots.margin > -1).sum(axis=2).max(axis=1) for slots, _ in group.by_dim.values()]
        most = np.max(by_step, axis=0)
        assert (most <= group.size).all() and (most > group.size // 3).all() | (group.size == 4)
        for _, rates in group.by_dim.values():
            assert rates.frame.shape == (len(group.rows), 2, group.size, 6, 3, 3)
        blocks = list(group.blocks())
        assert sorted(np.concatenate([block.rows for block in blocks]).tolist()) == group.rows.tolist()
        for block in blocks:
            assert block.lanes.tolist() == (block.rows % 5).tolist() and len({*block.lanes.tolist()}) == len(block.rows)
            assert block.by_dim[3][0].margin.shape[0] == len(block.rows)


ARM = """<mujoco><asset><mesh name="wedge" vertex="-.1 -.1 -.05 .1 -.1 -.05 0 .12 -.05 0 0 .1"/></asset>
<default><joint axis="0 .2 1"/></default><worldbody>
<body><joint type="slide"/><joint axis="0 1 0"/><geom type="mesh" mesh="wedge"/>
 <body pos=".14 0 .05"><joint axis="1 0 .1"/><geom type="sphere" size=".01" contype="0" conaffinity="0"/>
  <body><joint/><joint type="slide" axis="1 1 0"/><geom type="cylinder" size=".08 .09" euler="20 70 0"/></body></body>
 <body pos="0 .15 0"><joint/><geom type="sphere" size=".01" contype="0" conaffinity="0"/>
  <body><joint axis="0 1 1"/><geom type="mesh" mesh="wedge"/></body></body></body></worldbody></mujoco>"""


SDF = """<mujoco><asset><mesh name="stub" vertex="-.2 -.2 -.1 .2 -.2 -.1 .2 .2 -.1 -.2 .2 -.1 -.1 -.1 .15 .12 -.1 .15
  .1 .1 .17"/></asset><worldbody><geom type="sdf" mesh="stub" euler="20 0 0"/>
<body pos="0 0 .25"><joint type="slide" axis="0 0 1"/><joint axis="1 0 0"/><joint axis="0 1 .2" pos=".1 0 0"/>
<geom type="mesh" mesh="stub" euler="30 40 0"/></body></worldbody></mujoco>"""


@pytest.mark.parametrize(
    ("xml", "pairs"), [pytest.param(ARM, 3, id="arm"), pytest.param(SDF, 1, id="sdf", marks=pytest.mark.slow)]
)
def test_moving_the_joints_between_two_bodies_is_as_good_as_moving_the_bodies(monkeypatch, xml, pairs):
    model, rng = mujoco.MjModel.from_xml_string(xml), np.random.default_rng(0)
    qpos, mocap = 0.4 * rng.normal(size=(200, model.nq)), (np.zeros((200, 0, 3)), np.zeros((200, 0, 4)))
    contacts = Collisions(model, 1).find(qpos, *mocap)
    ways = {}
    for most in (joint_differences.MOST, 0):
        monkeypatch.setattr(joint_differences, "MOST", most)
        ways[most] = CollisionDifferences(model).rates(contacts, qpos, mocap)
    (joints, known), (bodies, known_too) = ways.values()
    known &= known_too
    assert len({tuple(pair) for pair in contacts.geoms[known].tolist()}) == pairs and known.sum() > 50
    data, moved = mujoco.MjData(model), np.zeros((2, 6, model.nv))
    for row in np.flatnonzero(known):
        data.qpos[:] = qpos[contacts.evaluation[row]]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        for jacobian, geom in zip(moved, contacts.geoms[row], strict=True):
            body = model.geom_bodyid[geom]
            mujoco.mj_jac(model, data, jacobian[3:], jacobian[:3], contacts.point[row], body)
        relative = (moved[1] - moved[0]).T
        for name in ("distance", "point", "frame"):
            by_joint = [np.tensordot(relative, getattr(rates, name)[row], 1) for rates in (joints, bodies)]
            np.testing.assert_allclose(*by_joint, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    "lower", ['size=".06"', 'type="capsule" fromto="0 0 0 .2 0 .1" size=".05"'], ids=["ball", "elbow"]
)
def test_what_meets_in_a_joint_has_no_normal_from_core_to_core(lower):
    """A centre or an end is the capsule's end, but for rounding: a normal between them would be of rounding."""
    model = mujoco.MjModel.from_xml_string(f"""<mujoco><option><flag filterparent="disable"/></option><worldbody>
<body><joint axis="0 1 0"/><geom type="capsule" fromto="0 0 0 .3 0 -.45" size=".04"/>
<body pos=".3 0 -.45"><joint axis="0 1 0"/><geom {lower}/></body></body></worldbody></mujoco>""")
    qpos, mocap = np.random.default_rng(0).normal(size=(20, 2)), (np.zeros((20, 0, 3)), np.zeros((20, 0, 4)))
    contacts, rates, known = ContactMotion(model).find(qpos, mocap)
    assert len(contacts.distance) == 20 and known.all()
    assert np.abs(rates.frame).max() < 2 and np.abs(rates.distance).max() < 1e-6 and np.abs(rates.point).max() < 2


def test_no_contacts_are_no_contacts():
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><freejoint/><geom size='.1'/></body></worldbody></mujoco>"
    )
    found = Collisions(model, 2).find(model.qpos0[None], np.zeros((1, 0, 3)), np.zeros((1, 0, 4)))
    assert isinstance(found, FoundContacts) and not len(found.distance) and dimensions_of(model) == []
