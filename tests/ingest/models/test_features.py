"""Every row of the table of features says what is measured of a model that has the feature."""

import functools
from collections.abc import Iterator

import jax
import mujoco
import numpy as np
import pytest
from feature_models import MODELS, THROUGH
from mujoco import mjx
from mujoco_playground import registry as playground_registry
from stage_differences import difference, states

import jacdb
from jacdb.errors import UsageError
from jacdb.ingest.environments.loading import load_env
from jacdb.ingest.models import features
from jacdb.ingest.models.features import FEATURES

BY_NAME = {feature.name: feature for feature in FEATURES}
SAME, OTHER = 1e-10, 1e-8  # relative: roundoff, and more than any roundoff
OF_MJX = (  # whose steps by MJX are differentiated, and C's are not
    "limits narrower than twice their margin",
    "tendons through spheres and cylinders",
    "springs disabled and dampers not, or dampers alone",
)
WITHOUT_MODEL = {"callbacks", "plugins"}  # of the process, and of libraries that come with no package


@functools.cache
def stages_differ(xml: str, contact: bool, integrates: bool) -> float:
    model = mujoco.MjModel.from_xml_string(xml)
    return difference(model, states(model, 5 if contact else 3, contact), integrates)


def steps(xml: str, contact: bool) -> np.ndarray:
    """Where C's engine gets in twenty steps."""
    model = mujoco.MjModel.from_xml_string(xml)
    [data] = states(model, 1, contact)
    data.qfrc_applied[:], data.xfrc_applied[:] = 0, 0
    for _ in range(20):
        mujoco.mj_step(model, data)
    return data.qvel.copy()


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    mujoco.set_mju_user_warning(lambda text: None)
    yield
    mujoco.set_mju_user_warning(None)


def test_every_feature_has_a_model():
    assert {*MODELS} == {*BY_NAME} - WITHOUT_MODEL


@pytest.mark.parametrize("name", MODELS)
def test_a_feature_is_recognised_in_its_models(name):
    for case in MODELS[name]:
        model, feature = mujoco.MjModel.from_xml_string(case.xml), BY_NAME[name]
        assert feature.count(model) > 0
        for engine in ("c", "mjx"):
            if feature.covered or (engine == "mjx" and name in OF_MJX):
                continue
            with pytest.raises(UsageError) as refused:
                features.check(model, "robot.xml", engine)
            assert str(refused.value).startswith("robot.xml has what cannot be differentiated: ")
            assert f"{name} (" in str(refused.value) and feature.remedy in str(refused.value)


@pytest.mark.parametrize("name", OF_MJX)
def test_what_mjx_has_its_own_way_passes_where_it_steps(name):
    for case in MODELS[name]:
        features.check(mujoco.MjModel.from_xml_string(case.xml), engine="mjx")


@pytest.mark.parametrize("name", ["armature of spatial tendons", "solreffriction on elliptic cones", "wind"])
def test_what_jacdb_has_no_derivative_of_is_refused_whoever_steps(name):
    model = mujoco.MjModel.from_xml_string(MODELS[name][0].xml)
    for engine in ("c", "mjx"):
        with pytest.raises(UsageError, match=rf"^[^\n]*{name} \(1\): {BY_NAME[name].remedy}$"):
            jacdb.linearize(model, model.qpos0, np.zeros(model.nv), engine=engine)


@pytest.mark.parametrize(
    ("flag", "joint", "body", "option", "count"),
    [
        ("damper", 'stiffness="0" damping="0"', "", "", 0),
        ("damper", 'stiffness="3"', "", "", 1),
        ("damper", 'damping="3"', "", 'integrator="implicitfast"', 0),
        ("damper", 'damping="3"', "", "", 0),
        ("spring", 'stiffness="3"', "", "", 0),
        ("spring", 'damping="3"', "", "", 1),
        ("spring", "", 'gravcomp="1"', "", 1),
        ("spring", "", 'gravcomp="1"', 'gravity="0 0 0"', 0),
        ("damper", "", "", 'density="1"', 1),
    ],
)
def test_one_flag_of_springs_and_dampers_is_refused_where_it_matters(flag, joint, body, option, count):
    model = mujoco.MjModel.from_xml_string(
        f'<mujoco><option {option}><flag {flag}="disable"/></option><worldbody><body {body}><joint {joint}/>'
        '<geom size=".1" pos=".2 0 0"/></body></worldbody></mujoco>'
    )
    if count:
        with pytest.raises(UsageError, match=rf"dampers alone \({count}\): remove the flag$"):
            features.check(model)
    else:
        features.check(model)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MODELS if BY_NAME[name].on_mjx == "raises"])
def test_mjx_refuses_what_it_is_said_to_refuse(name):
    for case in MODELS[name]:
        with pytest.raises(NotImplementedError):
            on_mjx = mjx.put_model(mujoco.MjModel.from_xml_string(case.xml), impl="jax")
            jax.eval_shape(mjx.step, on_mjx, mjx.make_data(on_mjx, impl="jax"))


@pytest.mark.thorough
@pytest.mark.parametrize("name", [name for name in MODELS if BY_NAME[name].on_mjx == "same"])
def test_stages_are_the_same(name):
    for case in MODELS[name]:
        assert stages_differ(case.xml, case.contact, case.integrates) < SAME


@pytest.mark.thorough
@pytest.mark.parametrize("name", [name for name in MODELS if BY_NAME[name].on_mjx in ("drops", "differs")])
def test_stages_or_steps_are_not_the_same(name):
    for case in MODELS[name]:
        if case.without:
            assert np.abs(steps(case.xml, case.contact) - steps(case.without, case.contact)).max() > OTHER
        else:
            assert stages_differ(case.xml, case.contact, case.integrates) > OTHER


def test_tendons_wrap_where_they_are_compared():
    model = mujoco.MjModel.from_xml_string(THROUGH)
    for data in states(model, 3):
        mujoco.mj_forward(model, data)
        assert (data.ten_wrapnum[:5] == 4).all()  # two sites, and two points on a geom between them


def test_a_covered_model_passes():
    for name, cases in MODELS.items():
        if BY_NAME[name].covered:
            for case in cases:
                features.check(mujoco.MjModel.from_xml_string(case.xml))


def test_several_features_are_named_in_one_line():
    [case], [other] = MODELS["delayed actuators"], MODELS["nonlinear joint damping"]
    model = mujoco.MjModel.from_xml_string(case.xml)
    model.dof_dampingpoly[:] = mujoco.MjModel.from_xml_string(other.xml).dof_dampingpoly
    with pytest.raises(UsageError, match=r"^[^\n]*nonlinear joint damping \(1\)[^\n]*delayed actuators \(1\)[^\n]*$"):
        features.check(model)


def test_a_callback_is_seen_while_it_is_set():
    model = mujoco.MjModel.from_xml_string(MODELS["mocap bodies"][0].xml)
    mujoco.set_mjcb_control(lambda model, data: None)
    try:
        with pytest.raises(UsageError, match=r"callbacks \(1\): set them to None"):
            features.check(model)
    finally:
        mujoco.set_mjcb_control(None)
    features.check(model)


def test_an_environment_with_what_mjx_drops_or_jacdb_has_no_derivative_of_is_not_loaded(monkeypatch):
    load = playground_registry.load

    def changed(*args, **options):
        env = load(*args, **options)
        env.mj_model.jnt_stiffnesspoly[0, 0] = 1
        env.mj_model.opt.density, env.mj_model.opt.wind[0] = 1, 1
        return env

    monkeypatch.setattr(playground_registry, "load", changed)
    with pytest.raises(
        UsageError,
        match=r"^CartpoleBalance has what .*: nonlinear joint stiffness \(1\): give one number .*; wind \(1\): set",
    ):
        load_env("CartpoleBalance")
