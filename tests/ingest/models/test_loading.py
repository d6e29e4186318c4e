"""A model of one's own, loaded: from XML, MJB and Python; its hashes; and one line for whatever is wrong with it."""

import shutil
from pathlib import Path

import mujoco
import numpy as np
import pytest

from jacdb.errors import UsageError
from jacdb.ingest.models.loading import binary, check, load

MESH = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
MAIN = """
<mujoco>
  <compiler meshdir="assets"/>
  <include file="parts/more.xml"/>
  <asset><mesh name="m" file="m.obj"/><hfield name="h" file="h.png" size="1 1 1 1"/></asset>
  <worldbody>
    <geom type="hfield" hfield="h"/>
    <body><freejoint/><geom type="mesh" mesh="m"/></body>
  </worldbody>
</mujoco>
"""
URDF = """
<robot name="arm">
  <link name="base"/>
  <link name="link">
    <inertial><mass value="1"/><inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial>
  </link>
  <joint name="j" type="continuous"><parent link="base"/><child link="link"/><axis xyz="0 0 1"/></joint>
</robot>
"""
PYTHON = """
import mujoco

XML = '<mujoco><worldbody><body><joint/><geom size=".1"/></body></worldbody></mujoco>'

def model(): return mujoco.MjModel.from_xml_string(XML)
def spec(): return mujoco.MjSpec.from_string(XML)
def broken_spec(): return mujoco.MjSpec.from_string(XML.replace('.1', '0'))
def text(): return XML
def fails():
    raise RuntimeError("no licence\\nfor it")
"""


@pytest.fixture
def folder(tmp_path):
    """A model of several files."""
    from matplotlib import image

    for name in ("assets", "parts"):
        (tmp_path / name).mkdir()
    (tmp_path / "robot.xml").write_text(MAIN)
    (tmp_path / "parts/more.xml").write_text('<mujoco><option gravity="0 0 -3"/></mujoco>')
    (tmp_path / "assets/m.obj").write_text(MESH)
    image.imsave(tmp_path / "assets/h.png", np.eye(8))
    (tmp_path / "makes.py").write_text(PYTHON)
    return tmp_path


def test_a_model_has_the_hashes_of_all_its_files(folder):
    loaded = load(f"{folder}/robot.xml")
    # MuJoCo lists the height field without its folder
    assert loaded.files.keys() == {"robot.xml", "parts/more.xml", "assets/m.obj", "h.png"}
    assert loaded.name == "robot" and loaded.model.opt.gravity[2] == -3
    again = load(f"{folder}/robot.xml")
    assert (again.hash, again.files) == (loaded.hash, loaded.files)
    (folder / "assets/m.obj").write_text(MESH.replace("v 1 0 0", "v 1.5 0 0"))
    other = load(f"{folder}/robot.xml")
    assert other.hash != loaded.hash
    assert [name for name in loaded.files if loaded.files[name] != other.files[name]] == ["assets/m.obj"]


def test_a_model_is_the_same_wherever_it_lies_and_from_wherever_it_is_asked_for(folder, tmp_path_factory, monkeypatch):
    """A compiled model holds the paths of its files as they were typed: runs would have other ids on other machines."""
    here = load(f"{folder}/robot.xml")
    there = shutil.copytree(folder, tmp_path_factory.mktemp("another") / "place")
    assert load(f"{there}/robot.xml").hash == here.hash
    monkeypatch.chdir(folder)
    asked = load("robot.xml")
    assert asked.hash == here.hash and asked.files == here.files
    assert Path.cwd() == folder
    plain = mujoco.MjModel.from_xml_path(f"{folder}/robot.xml")
    assert str(folder).encode() in plain.paths and str(folder).encode() not in here.model.paths
    assert np.array_equal(plain.hfield_data, here.model.hfield_data) and plain.hfield_data.any()
    assert np.array_equal(plain.mesh_vert, here.model.mesh_vert)


@pytest.mark.parametrize("name", ["robot.xml", "robot.urdf"])
def test_meshes_of_one_name_and_a_urdfs_are_the_same_wherever_they_lie(name, tmp_path):
    mesh, other = MESH, MESH.replace("v 1 0 0", "v 1.5 0 0")
    for place in ("here", "there"):
        (tmp_path / place / "more").mkdir(parents=True)
        (tmp_path / place / "m.obj").write_text(mesh)
        (tmp_path / place / "more/m.obj").write_text(other)
        (tmp_path / place / "robot.xml").write_text(
            '<mujoco><asset><mesh name="a" file="m.obj"/><mesh name="b" file="more/m.obj"/></asset><worldbody><body>'
            '<freejoint/><geom type="mesh" mesh="a"/><geom type="mesh" mesh="b"/></body></worldbody></mujoco>'
        )
        seen = '<link name="link"><collision><geometry><mesh filename="m.obj"/></geometry></collision>'
        (tmp_path / place / "robot.urdf").write_text(URDF.replace('<link name="link">', seen))
    here, there = (load(f"{tmp_path}/{place}/{name}") for place in ("here", "there"))
    assert here.hash == there.hash and here.files == there.files
    assert here.files.keys() == {name, "m.obj", *(["more/m.obj"] if name == "robot.xml" else [])}


def test_a_link_names_what_lies_beside_it(folder):
    """As in snapshots of the Hugging Face Hub, whose files are links to others by the names of their hashes."""
    loaded = load(f"{folder}/robot.xml")
    (folder / "blobs").mkdir()
    for number, name in enumerate(("robot.xml", "parts/more.xml", "assets/m.obj")):
        (folder / name).rename(folder / "blobs" / str(number))
        (folder / name).symlink_to(folder / "blobs" / str(number))
    linked = load(f"{folder}/robot.xml")
    assert (linked.hash, linked.files) == (loaded.hash, loaded.files)


def test_a_suffix_in_upper_case_is_the_same_suffix(folder, monkeypatch):
    lower = load(f"{folder}/robot.xml")
    lower.save(folder / "KEPT.MJB")
    (folder / "robot.xml").rename(folder / "robot.XML")
    upper = load(f"{folder}/robot.XML")
    assert upper.hash == lower.hash
    assert upper.files == {name.replace("robot.xml", "robot.XML"): sha for name, sha in lower.files.items()}
    monkeypatch.chdir(folder)
    assert load("robot.XML").files == upper.files
    (folder / "ARM.URDF").write_text(URDF)
    assert load(f"{folder}/ARM.URDF").model.nv == 1
    assert load(f"{folder}/KEPT.MJB").hash == lower.hash


def test_a_saved_model_is_the_same_in_every_bit(folder):
    loaded = load(f"{folder}/robot.xml")
    loaded.save(folder / "kept.mjb")
    kept = load(f"{folder}/kept.mjb")
    assert binary(kept.model) == binary(loaded.model)
    assert kept.hash == loaded.hash


def test_the_xml_that_mujoco_writes_is_another_model():
    """Why a run keeps the MJB."""
    spec = mujoco.MjSpec.from_string(
        '<mujoco><worldbody><body><joint/><geom type="capsule" size=".0461234567 .145"/><body>'
        '<joint/><geom type="capsule" size=".06 .1" pos=".123456789 0 0"/></body></body></worldbody></mujoco>'
    )
    first = spec.compile()
    second = mujoco.MjModel.from_xml_string(spec.to_xml())
    assert 1e-8 < np.abs(first.body_mass - second.body_mass).max() < 1e-4


@pytest.mark.parametrize("function", ["model", "spec"])
def test_a_function_makes_a_model(folder, function):
    loaded = load(f"{folder}/makes.py:{function}")
    assert (loaded.model.nv, loaded.name, [*loaded.files]) == (1, f"makes.{function}", ["makes.py"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nowhere.xml", "there is no model file nowhere.xml"),
        ("robot.sdf", "'robot.sdf' is no model: give a model as .xml"),
        ("nowhere.py:model", "there is no file nowhere.py"),
        ("{0}", "is no model"),
    ],
)
def test_what_is_no_model_is_told_before_mujoco_is_asked(folder, text, said):
    with pytest.raises(UsageError) as raised:
        check(text.format(folder))
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.xml", "<mujoco><worldbody><bdy/></worldbody></mujoco>", "unrecognized element Element 'bdy', line 1"),
        ("a.xml", "<mujoco><worldbody></mujoco>", "MISMATCHED_ELEMENT"),
        ("a.xml", '<mujoco><asset><mesh file="gone.stl"/></asset></mujoco>', "gone.stl"),
        ("a.xml", '<mujoco><include file="gone.xml"/></mujoco>', "gone.xml"),
        ("a.xml", "<mujoco><worldbody><body><joint/></body></worldbody></mujoco>", "mass and inertia of moving bodies"),
        ("a.mjb", "no model at all" * 100, f"an MJB of another MuJoCo than {mujoco.__version__}"),
    ],
)
def test_what_does_not_compile_is_told_in_one_line(tmp_path, capfd, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError) as raised:
        load(f"{tmp_path}/{name}")
    assert said in str(raised.value) and name in str(raised.value) and "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("fails", "makes.py:fails raised RuntimeError in line 11: no licence"),
        ("text", "makes.py:text returned a str: return a mujoco.MjModel or MjSpec"),
        ("broken_spec", "makes.py:broken_spec returned a model that does not compile"),
        ("nothing", "has no function 'nothing'"),
    ],
)
def test_a_function_that_makes_no_model_is_told_in_one_line(folder, function, said):
    with pytest.raises(UsageError) as raised:
        load(f"{folder}/makes.py:{function}")
    assert said in str(raised.value) and "\n" not in str(raised.value)
