"""Scenes: a page that has only the file puts every geom where MuJoCo has it."""

import json

import mujoco
import numpy as np
import pytest
from conftest import ROOT
from forward_kinematics import attached, geom_turns

import jacdb
from jacdb.dataset.layout import Run
from jacdb.errors import UsageError
from jacdb.explorer.index import scene_key
from jacdb.ingest.environments.loading import System
from jacdb.ingest.models.loading import binary, hash_of
from jacdb.ingest.scene.run_scene import run_scene
from jacdb.ingest.scene.scene import scene

MACHINE = """
<mujoco>
  <asset>
    <hfield name="hills" nrow="3" ncol="4" size="2 1 .5 .1" elevation="0 1 2 3 4 5 6 7 8 9 10 12"/>
    <mesh name="wedge" vertex="0 0 0  1 0 0  0 1 0  0 0 1"/>
    <material name="red" rgba=".8 .1 .1 1"/>
  </asset>
  <worldbody>
    <geom name="hills" type="hfield" hfield="hills"/>
    <body name="flier" pos="0 0 2"> <freejoint/>
      <geom name="trunk" type="box" size=".1 .2 .3" pos=".1 .2 .3" euler="10 20 30"/> <site name="hook" pos="0 0 .4"/>
      <body name="arm" pos="0 .3 0" euler="0 40 0">
        <joint name="turret" type="ball" pos=".1 0 .2"/>
        <geom material="red" type="capsule" fromto="0 0 0 .5 0 .1" size=".02"/>
        <geom name="skin" group="3" size=".1" pos="0 .5 0"/>
        <body pos=".5 0 0"> <joint name="rail" type="slide" axis="1 1 0" ref=".3"/>
          <joint name="knee" axis="0 1 1" pos="0 .1 0" ref="40"/> <geom name="foot" type="mesh" mesh="wedge"/>
          <geom type="mesh" mesh="wedge" pos="1 0 0"/> <site name="end"/>
        </body>
      </body>
    </body>
  </worldbody>
  <tendon> <spatial name="cord" width=".01" rgba="0 1 0 1"> <site site="hook"/> <site site="end"/> </spatial> </tendon>
  <actuator> <motor name="push" joint="rail"/> <motor tendon="cord"/> </actuator>
</mujoco>
"""


def drawn(model: mujoco.MjModel) -> np.ndarray:
    """A qpos that is nowhere near qpos0; its quaternions are not of length 1, as stored states' need not be."""
    return model.qpos0 + np.random.default_rng(0).normal(size=model.nq)


def file_of(model: mujoco.MjModel) -> tuple[dict, bytes]:
    """The scene as a page gets it."""
    made = scene(model)
    return json.loads(json.dumps(made.content, allow_nan=False)), made.meshes


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CartpoleBalance", "CheetahRun", "BallInCup", "PandaPickCube", "machine"])
def test_users_32_every_geom_stands_where_mujoco_has_it(name, request):
    if name == "PandaPickCube":
        request.getfixturevalue("menagerie")
    model = mujoco.MjModel.from_xml_string(MACHINE) if name == "machine" else System.load(name).mj_model
    content, _ = file_of(model)
    data = mujoco.MjData(model)
    data.qpos = drawn(model)
    mujoco.mj_kinematics(model, data)
    shown = [i for i in range(model.ngeom) if model.geom_group[i] < 3]
    assert len(content["geoms"]) == len(shown) > 1
    np.testing.assert_allclose(attached(content, data.qpos, content["geoms"]), data.geom_xpos[shown], atol=1e-6)
    turns = np.zeros((len(shown), 9))
    for matrix, turn in zip(turns, geom_turns(content, data.qpos), strict=True):
        mujoco.mju_quat2Mat(matrix, turn)
    np.testing.assert_allclose(turns, data.geom_xmat[shown], atol=1e-6)
    np.testing.assert_allclose(attached(content, data.qpos, content["sites"]).reshape(-1, 3), data.site_xpos, atol=1e-6)
    np.testing.assert_allclose([geom["size"] for geom in content["geoms"]], model.geom_size[shown], rtol=1e-8)


def test_users_32_names_are_those_of_axes_and_contacts():
    content, _ = file_of(mujoco.MjModel.from_xml_string(MACHINE))
    assert [joint["name"] for joint in content["joints"]] == ["flier", "turret", "rail", "knee"]
    assert [geom["name"] for geom in content["geoms"]] == ["hills", "trunk", "arm/geom2", "foot", "body3/geom5"]
    assert [body["name"] for body in content["bodies"]] == ["world", "flier", "arm", "body3"]
    assert content["unseen"] == [{"name": "skin", "body": 2, "pos": [0, 0.5, 0]}]
    assert content["geoms"][2]["rgba"] == pytest.approx([0.8, 0.1, 0.1, 1], abs=1e-6)
    assert content["actuators"] == [{"name": "push", "joint": "rail"}, {"name": "actuator1", "joint": None}]
    [cord] = content["tendons"]
    assert (cord["name"], [site["body"] for site in cord["sites"]]) == ("cord", [1, 3])


def triangles(content: dict, meshes: bytes, number: int) -> tuple[np.ndarray, np.ndarray]:
    place = content["meshes"][number]
    (at, count), (face, n_faces) = place["vertices"], place["faces"]
    vertices = np.frombuffer(meshes, "<f4", 3 * count, at).reshape(-1, 3)
    return vertices, np.frombuffer(meshes, "<u4", 3 * n_faces, face).reshape(-1, 3)


def test_users_32_meshes_are_stored_once_and_height_fields_look_up():
    model = mujoco.MjModel.from_xml_string(MACHINE)
    content, meshes = file_of(model)
    kinds = {geom["name"]: (geom["type"], geom["mesh"]) for geom in content["geoms"]}
    assert kinds["foot"] == kinds["body3/geom5"] == ("mesh", 1) and kinds["trunk"] == ("box", None)
    vertices, faces = triangles(content, meshes, 1)
    np.testing.assert_array_equal(vertices, model.mesh_vert)
    np.testing.assert_array_equal(faces, model.mesh_face)
    assert kinds["hills"] == ("hfield", 0)
    vertices, faces = triangles(content, meshes, 0)
    assert vertices.min(axis=0).tolist() == [-2, -1, 0] and vertices.max(axis=0).tolist() == [2, 1, 0.5]
    corners = vertices[faces]
    assert len(faces) == 2 * 2 * 3
    assert (np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] > 0).all()
    # the ray that MuJoCo casts down meets the surface of the file at its vertices
    data = mujoco.MjData(model)
    data.qpos[2] = 50
    mujoco.mj_kinematics(model, data)
    inner = vertices[(np.abs(vertices[:, 0]) < 1.9) & (np.abs(vertices[:, 1]) < 0.9)]
    met = [
        10
        - mujoco.mj_ray(model, data, np.array([x, y, 10.0]), np.array([0, 0, -1.0]), None, 1, -1, np.zeros(1, np.int32))
        for x, y, _ in inner
    ]
    np.testing.assert_allclose(met, inner[:, 2], atol=1e-3)


def test_users_32_hidden_geoms_are_shown_where_there_are_no_others():
    only = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><geom name='skin' group='4' size='1'/></worldbody></mujoco>"
    )
    content, meshes = file_of(only)
    assert [geom["name"] for geom in content["geoms"]] == ["skin"] and not content["unseen"] and not meshes


def fact_of(model: mujoco.MjModel, **of: str) -> dict:
    own = {"suite": "model", "source": "m.xml", "versions": json.dumps({"mujoco": mujoco.__version__})}
    return {**own, "model": hash_of(model), "policy_config": "{}", **of}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A model that a run keeps, its row of `runs`, and the names of its positions."""
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><joint name='a'/><geom size='1'/></body></worldbody></mujoco>"
    )
    path = tmp_path_factory.mktemp("kept") / "model.mjb"
    path.write_bytes(binary(model))
    return path, fact_of(model), ["a", "a.vel"]


def test_users_32_a_run_shows_the_model_that_it_keeps(kept):
    path, fact, axes = kept
    content, _ = run_scene("m", fact, path, axes)
    assert content["nq"] == 1 and content["note"] is None
    for wrong, said in [
        ({"fact": fact | {"model": "0" * 32}}, "is not the model of the run"),
        ({"fact": fact | {"versions": '{"mujoco": "3.1.0"}'}}, "pip install mujoco==3.1.0"),
        ({"kept": None}, "not here"),
        ({"axes": ["b", "b.vel"]}, "other joints"),
    ]:
        with pytest.raises(UsageError, match=said):
            run_scene(**{"env": "m", "fact": fact, "kept": path, "axes": axes, **wrong})


def test_users_32_mocap_bodies_rest_where_the_runs_keyframe_puts_them(tmp_path):
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><joint name='a'/><geom size='1'/></body><body name='hand' mocap='true' pos='0 0 2'/>"
        "</worldbody><keyframe><key name='up' mpos='.5 0 .4' mquat='0 2 0 0'/></keyframe></mujoco>"
    )
    path, run = tmp_path / "model.mjb", Run("m", "run")
    path.write_bytes(binary(model))
    poses, keys = [], set()
    for settings in ("{}", '{"keyframe": "up"}', "null"):
        fact = fact_of(model, policy_config=settings)
        hand = run_scene("m", fact, path, ["a", "a.vel"])[0]["bodies"][2]
        poses.append((hand["pos"], hand["quat"]))
        keys.add(scene_key(run, fact))
    at_rest = ([0, 0, 2], [1, 0, 0, 0])
    assert poses == [at_rest, ([0.5, 0, 0.4], [0, 1, 0, 0]), at_rest] and len(keys) == 2


def test_users_32_a_run_whose_axes_have_one_name_is_shown(tmp_path):
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body name='b'><joint type='slide'/><joint/><geom size='1'/></body></worldbody></mujoco>"
    )
    path = tmp_path / "model.mjb"
    path.write_bytes(binary(model))
    for axes in (["b", "b", "b.vel", "b.vel"], ["b", "b#2", "b.vel", "b.vel#2"]):  # of before 1.0, and of now
        content, _ = run_scene("m", fact_of(model), path, axes)
        assert content["nq"] == 2


@pytest.mark.slow
def test_users_32_the_sample_shows_the_environments_themselves():
    with jacdb.open(ROOT / "datasets" / "sample") as dataset:
        [fact] = dataset.runs("CheetahRun").to_dicts()
        axes = dataset.axes("CheetahRun").filter(space="state")["name"].to_list()
    content, _ = run_scene("CheetahRun", fact, None, axes)
    assert content["nq"] == 9 and content["note"] is None
    content, _ = run_scene("CheetahRun", fact | {"model": "another", "versions": '{"mujoco": "3.1.0"}'}, None, axes)
    assert content["note"] == "the robot of the installed versions: the run was made with MuJoCo 3.1.0"
    with pytest.raises(UsageError, match="unknown environment"):
        run_scene("Nowhere", fact, None, axes)


def test_users_32_a_suites_environment_is_loaded_where_its_kept_model_cant_be(kept):
    pytest.importorskip("gymnasium")
    path, _, _ = kept
    fact = fact_of(mujoco.MjModel.from_xml_string("<mujoco/>"), suite="gymnasium", source="HalfCheetah-v5")
    axes = ["rootx", "rootz", "rooty", "bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot"]
    content, _ = run_scene("HalfCheetah-v5", fact, path, axes)
    assert content["nq"] == 9 and "installed versions" in content["note"]
