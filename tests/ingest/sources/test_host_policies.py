"""A function of one's own as a policy: one line for whatever it can do wrong."""

import mujoco
import numpy as np
import pytest

from jacdb.errors import UsageError
from jacdb.ingest.sources import host_policies

MODEL = mujoco.MjModel.from_xml_string(
    '<mujoco><worldbody><body><joint name="a"/><geom size=".1"/></body></worldbody>'
    '<actuator><motor joint="a"/><motor joint="a"/></actuator></mujoco>'
)
POLICY = """
import own_network

def draw(obs, rng): return rng.normal(size=2)
def fails(obs, rng):
    return obs["no such name"]
def scalar(obs, rng): return 1.0
def text(obs, rng): return "left"
def nothing(obs, rng): return None
def not_finite(obs, rng): return [0.0, float("nan")]
def needs_more(obs, rng, clock): return [0.0, 0.0]
class Broken:
    def __init__(self, size): ...
number = 3
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "own_network.py").write_text("gain = 2\n")  # a policy may import what is beside it
    (tmp_path / "own.py").write_text(POLICY)
    return tmp_path / "own.py"


def test_its_generator_depends_on_seed_and_episode_alone(file):
    policy = host_policies.make(f"{file}:draw")
    assert policy.name == "own.draw"
    drawn = [policy.begin(MODEL, *key, 9)(0, {}) for key in ((1, 2), (1, 2), (1, 3), (2, 2))]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert len({tuple(ctrl) for ctrl in drawn}) == 3
    before = policy.settings()
    file.write_text(POLICY + "# another\n")
    assert host_policies.make(f"{file}:draw").settings() != before


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("fails", "own.py:fails raised KeyError in line 6: 'no such name'"),
        ("scalar", "in step 3 of episode 7, ctrl of shape (): return shape (2,)"),
        ("text", "a str: return ctrl, shape (2,)"),
        ("nothing", "(): return shape (2,)"),
        ("not_finite", "nan in ctrl"),
        ("needs_more", "raised TypeError"),
        ("Broken", "raised TypeError"),
        ("number", "has no function 'number'"),
        ("missing", "has no function 'missing'"),
    ],
)
def test_what_it_does_wrong_is_told_in_one_line(file, function, said):
    with pytest.raises(UsageError) as raised:
        host_policies.make(f"{file}:{function}").begin(MODEL, 0, 7, 9)(3, {})
    assert said in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("expert", "unknown policy 'expert'"),
        ("nowhere.py:act", "there is no file nowhere.py"),
        ("nowhere.py", "'nowhere.py' names no function"),
        ("nowhere.py:a.b", "names no function"),
    ],
)
def test_what_is_no_policy_is_told_without_importing_it(text, said):
    with pytest.raises(UsageError) as raised:
        host_policies.check(text)
    assert said in str(raised.value)


def test_noise_that_is_none_is_told(file):
    with pytest.raises(UsageError, match="beta=9"):
        host_policies.check("noise", beta=9.0)
    with pytest.raises(UsageError, match="scale=-1"):
        host_policies.make("noise", scale=-1.0)
    with pytest.raises(UsageError, match=r"beta=1\.0 goes with noise, not with zero"):
        host_policies.make("zero", beta=1.0)
    with pytest.raises(UsageError, match=r"scale=0\.5 goes with noise, not with .*own\.py:draw"):
        host_policies.check(f"{file}:draw", scale=0.5)


def test_a_file_that_does_not_import_is_told(tmp_path):
    (tmp_path / "broken.py").write_text("x = 1\ny = = 2\n")
    with pytest.raises(UsageError, match=r"broken.py raised SyntaxError: invalid syntax") as raised:
        host_policies.make(f"{tmp_path}/broken.py:act")
    assert "line 2" in str(raised.value)
    (tmp_path / "needs.py").write_text("\nimport a_module_that_nobody_has\n")
    with pytest.raises(UsageError, match=r"needs.py raised ModuleNotFoundError in line 2: .*a_module_that_nobody_has"):
        host_policies.make(f"{tmp_path}/needs.py:act")
