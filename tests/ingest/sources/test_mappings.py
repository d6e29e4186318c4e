"""A mapping file says which columns of a recording are what; one line for a file that says nothing sensible."""

import itertools
import json
import math

import numpy as np
import pytest
import recorded_arm
from recorded_arm import MODEL, opened, worst

from jacdb.errors import UsageError
from jacdb.ingest.sources import recordings
from jacdb.ingest.sources.recordings import mapping


def test_a_mapping_names_columns_entries_and_units(tmp_path):
    recorded = recorded_arm.rolled(MODEL)
    degrees = np.degrees(recorded["qpos"][:, 7:])
    state = np.concatenate([recorded["qpos"][:, :7], recorded["qvel"]], axis=1)
    np.savez(
        tmp_path / "x.npz", state=state, joints=degrees[:, ::-1], activation=recorded["act"][:, 0], u=recorded["ctrl"]
    )
    (tmp_path / "map.toml").write_text("""
        n_substeps = 5
        act = "activation"
        ctrl = "u"
        qvel = {column = "state", entries = [7, 8, 9, 10, 11, 12, 13, 14]}
        [[qpos]]
        column = "state"
        entries = [0, 1, 2, 3, 4, 5, 6]
        [[qpos]]
        column = "joints"
        entries = [1, 0]
        unit = "deg"
    """)
    source = recordings.open(tmp_path / "x.npz", model=MODEL, mapping=tmp_path / "map.toml")
    assert source.n_substeps == 5
    assert worst(source) < 1e-12


MEANINGS = {
    "r1": "reward = 'r1'",
    "table": "[reward]\ncolumn = 'r1'\nunit = 'rad'\nscale = 1\noffset = 0",
    "r2": "[reward]\ncolumn = 'r2'",
    "degrees": "[reward]\ncolumn = 'r1'\nunit = 'deg'",
    "scaled": f"[reward]\ncolumn = 'r1'\nscale = {math.pi / 180!r}",
    "entry": "[reward]\ncolumn = 'r1'\nentries = [0]",
    "none": "qpos = 'qpos'",
}


def test_what_a_mapping_means_is_part_of_the_provenance(tmp_path):
    """Of it runs and trajectories have their names: another meaning is another run."""
    recorded = recorded_arm.rolled(MODEL, n_steps=3)
    np.savez(tmp_path / "one.npz", **recorded, r1=recorded["reward"], r2=-recorded["reward"])
    said = {"no file": opened(tmp_path / "one.npz").provenance()}
    for name, text in MEANINGS.items():
        (tmp_path / f"{name}.toml").write_text(text)
        said[name] = opened(tmp_path / "one.npz", mapping=tmp_path / f"{name}.toml").provenance()
    assert said["none"] == said["no file"] and "mapping" not in said["no file"]
    assert said["table"] == said["entry"] == said["r1"] and said["scaled"] == said["degrees"]
    assert json.loads(said["r1"]["mapping"]) == {"reward": [{"column": "r1"}]}
    assert len({str(each) for each in said.values()}) == 4


EQUAL = {
    "all entries": ("ctrl = 'u'", "ctrl = {column = 'u', entries = [0, 1]}"),
    "all entries of one number": ("reward = 'r'", "reward = {column = 'r', entries = [0]}"),
    "its own column": ("", "ctrl = {column = 'ctrl', entries = [0, 1], unit = 'rad', scale = 1, offset = -0.0}"),
    "entries one by one": ("ctrl = 'u'", "ctrl = [{column = 'u', entries = [0]}, {column = 'u', entries = [1]}]"),
    "some one by one": (
        "ctrl = {column = 'w', entries = [2, 0]}",
        "ctrl = [{column = 'w', entries = [2]}, {column = 'w', entries = [0]}]",
    ),
    "a list of one": ("ctrl = 'u'", "ctrl = ['u']"),
    "a unit's scale": (
        "ctrl = {column = 'u', unit = 'deg', entries = [0, 1]}",
        f"ctrl = {{column = 'u', scale = {math.pi / 180}}}",
    ),
    "a unit undone": ("ctrl = 'u'", "ctrl = {column = 'u', unit = 'mm', scale = 1000}"),
    "a whole number": ("ctrl = {column = 'u', offset = 2.0}", "ctrl = {column = 'u', offset = 2, scale = 1.0}"),
}


@pytest.mark.parametrize("case", EQUAL)
def test_a_mapping_is_in_one_form_for_one_meaning(tmp_path, case):
    recorded = recorded_arm.rolled(MODEL, n_steps=3)
    wide = np.c_[recorded["ctrl"], recorded["ctrl"]]
    np.savez(tmp_path / "one.npz", **recorded, r=recorded["reward"], u=recorded["ctrl"] / 2, w=wide)
    said, runs = [], []
    for text in (*EQUAL[case], "ctrl = {column = 'u', entries = [1, 0]}"):
        (tmp_path / "map.toml").write_text(text)
        source = opened(tmp_path / "one.npz", mapping=tmp_path / "map.toml")
        said.append(source.provenance())
        runs += source.trajectories()
    assert said[0] == said[1] != said[2]
    np.testing.assert_array_equal(runs[0].ctrl, runs[1].ctrl)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float16, np.float32])
def test_mapped_numbers_are_scaled_in_float64(tmp_path, dtype):
    ctrl = np.arange(80).reshape(40, 2).astype(dtype)
    np.savez(tmp_path / "one.npz", **recorded_arm.rolled(MODEL) | {"ctrl": ctrl})
    (tmp_path / "map.toml").write_text("ctrl = {column = 'ctrl', offset = -128, scale = 0.01}")
    [one] = opened(tmp_path / "one.npz", mapping=tmp_path / "map.toml").trajectories()
    np.testing.assert_array_equal(one.ctrl, 0.01 * (ctrl.astype(float) - 128))


def test_a_state_is_as_precise_as_the_coarsest_of_its_columns(tmp_path):
    recorded = recorded_arm.rolled(MODEL)
    box, joints = recorded.pop("qpos")[:, :7], recorded_arm.rolled(MODEL)["qpos"][:, 7:]
    (tmp_path / "map.toml").write_text("qpos = ['box', {column = 'joints', scale = 1.0}]")
    for dtype in (np.float32, np.float64):
        np.savez(tmp_path / "one.npz", **recorded, box=box, joints=joints.astype(dtype))
        assert opened(tmp_path / "one.npz", mapping=tmp_path / "map.toml").dtype == dtype


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("qpos = ", "is no TOML"),
        ("qpoz = 'x'", "did you mean qpos?"),
        ("qpos = 'x'", "no column x for qpos"),
        ("qpos = 3", "names no column"),
        ("[qpos]\ncolumn = 'qpos'\nunit = 'grad'", "unknown unit 'grad'"),
        ("[qpos]\ncolumn = 'qpos'\nentries = [99]", "no entry 99: it has 0 to 8"),
        ("[qpos]\ncolumn = 'qpos'\nentries = ['hip']", "it has no names"),
        ("[qpos]\ncolumn = 'qpos'\nentry = 1", "did you mean entries?"),
        ("[ctrl]\ncolumn = 'ctrl'\nscale = 'two'", "scale = 'two'"),
        ("n_substeps = 0.5", "n_substeps = 0.5"),
        ("fps = inf", "fps = inf"),
        ("qpos = ['qpos', 'reward']", "3 rows of reward to 4 of qpos"),
        ("episode = 'ctrl'\nctrl = 'ctrl'", "episode has 2 numbers a row"),
    ],
)
def test_a_wrong_mapping_is_told_in_one_line(tmp_path, text, said):
    np.savez(tmp_path / "one.npz", **recorded_arm.rolled(MODEL, n_steps=3))
    (tmp_path / "map.toml").write_text(text)
    with pytest.raises(UsageError) as raised:
        opened(tmp_path / "one.npz", mapping=tmp_path / "map.toml")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


WRONG_TYPES = {  # TOML's types that a key does not take
    "column": ["[]", "['a']", "{}", "true", "1", "1.5", "''", "1979-05-27"],
    "unit": ["[]", "['deg']", "{}", "true", "1", "1.5", "''", "1979-05-27"],
    "scale": ["[]", "[1]", "{}", "true", "'1'", "nan", "inf", "1979-05-27", "1" + 400 * "0"],
    "entries": ["[]", "[[0]]", "[{}]", "[true]", "[1.5]", "{}", "true", "1", "'a'", "1979-05-27"],
    "field": ["[]", "[[]]", "{}", "[{}]", "true", "1", "1.5", "''", "['']", "1979-05-27"],
    "n_substeps": ["[]", "[1]", "{}", "true", "'1'", "''", "1.5", "0", "1_000_000_000_000", "1979-05-27"],
    "fps": ["[]", "[1]", "{}", "true", "'1'", "''", "nan", "0", "1979-05-27"],
}
FIELD = {"field": "{name} = {value}", "column": "{name} = {{column = {value}}}"}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, every in WRONG_TYPES.items() for value in every])
def test_a_value_of_a_wrong_type_in_a_mapping_is_told_in_one_line(tmp_path, key, value):
    path = tmp_path / "map.toml"
    keys = ("scale", "offset") if key == "scale" else (key,)
    for name, own in itertools.product(mapping.FIELDS, keys):
        form = FIELD.get(own, "{name} = {{column = 'x', " + own + " = {value}}}")
        path.write_text(f"{key} = {value}" if key in mapping.SETTINGS else form.format(name=name, value=value))
        with pytest.raises(UsageError) as raised:
            mapping.read(path)
        assert str(raised.value).startswith(f"--mapping {path}: ") and "\n" not in str(raised.value)
