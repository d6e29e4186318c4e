"""The table of other suites' environments: read without them, and one line for whatever is not in it."""

import subprocess
import sys

import pytest

from jacdb.errors import UsageError
from jacdb.ingest.sources import suites


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("gymnasium:HalfCheeta-v5", "did you mean HalfCheetah-v5?"),
        ("gymnasium:", "HalfCheetah-v5"),
        ("gymnasum:HalfCheetah-v5", "did you mean gymnasium?"),
        ("dm_control:walker-fly", "did you mean walker-walk?"),
        ("dm_control:point_mass-hard", "another transmission in each episode"),
    ],
)
def test_an_unknown_environment_is_told_with_near_names(typed, said):
    with pytest.raises(UsageError) as raised:
        suites.find(typed)
    assert said in str(raised.value)


def test_a_suite_that_is_not_installed_is_told_with_what_to_install(monkeypatch):
    monkeypatch.setitem(suites.MODULES, "gymnasium", ("gymnasium", "a_module_that_nobody_has"))
    assert suites.version("gymnasium") is None
    with pytest.raises(UsageError, match=r"a_module_that_nobody_has.*pip install 'jacdb\[gymnasium\]'"):
        suites.require("gymnasium")


def test_of_each_suite_that_is_installed_all_sources_are_listed(monkeypatch):
    counts = {"gymnasium": 11, "dm_control": 47}
    monkeypatch.setattr(suites, "version", lambda suite: "1.0" if suite == "dm_control" else None)
    assert {env.suite for env in suites.installed_envs()} == {"dm_control"}
    monkeypatch.setattr(suites, "version", lambda suite: "1.0")
    listed = [env.suite for env in suites.installed_envs()]
    assert {suite: listed.count(suite) for suite in listed} == counts


def test_the_table_is_read_without_suite_and_simulator():
    program = "import sys; from jacdb.ingest.sources import suites; suites.all_envs(); suites.version('gymnasium')"
    program += "; print({'gymnasium', 'mujoco', 'numpy', 'jax'} & {*sys.modules})"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
