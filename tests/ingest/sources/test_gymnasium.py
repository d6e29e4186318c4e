"""Gymnasium's environments as sources, held against Gymnasium itself."""

import pytest

from jacdb.errors import UsageError
from jacdb.ingest.sources import gymnasium, suites

NAMES = [env.name for env in suites.all_envs().values() if env.suite == "gymnasium"]
pytestmark = pytest.mark.skipif(suites.version("gymnasium") is None, reason="needs the gymnasium extra")


@pytest.mark.parametrize("name", NAMES)
def test_the_table_states_what_gymnasium_loads(name):
    env, (model, n_substeps, _) = suites.find(f"gymnasium:{name}"), gymnasium.load(name)
    sizes = (model.nq, model.nv, model.na, model.nu, n_substeps)
    assert (env.nq, env.nv, env.na, env.nu, env.n_substeps) == sizes


def test_options_reach_the_environment():
    assert gymnasium.load("Reacher-v5", frame_skip=7)[1] == 7


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("HalfCheeta-v5", {}, "HalfCheeta-v5"),
        ("HalfCheetah-v2", {}, "HalfCheetah-v2"),
        ("CartPole-v1", {}, "no MuJoCo model"),
        ("Reacher-v5", {"speed": 3}, "speed"),
        ("Reacher-v5", {"xml_file": "/nowhere.xml"}, "/nowhere.xml"),
    ],
)
def test_what_gymnasium_can_not_make_is_told_in_one_line(name, options, said):
    with pytest.raises(UsageError) as raised:
        gymnasium.load(name, **options)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
