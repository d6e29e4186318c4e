"""The models of a dataset's runs: their own, whatever environment of Playground is called alike."""

from pathlib import Path
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest
from synthetic import dataset, episode

import jacdb
from jacdb.dataset.layout import Run
from jacdb.errors import UsageError
from jacdb.ingest.environments.kinematic_tree import parents
from jacdb.ingest.models.loading import binary, hash_of
from jacdb.ingest.sources import run_models

ENV = "CheetahRun"  # a name of Playground's, in runs that are not
CHAIN = """<mujoco><worldbody><body name="arm"><joint axis="0 1 0"/><geom size=".1"/>
<body name="hand" pos=".3 0 0"><joint axis="0 1 0"/><geom size=".1"/></body></body></worldbody></mujoco>"""
APART = """<mujoco><worldbody><body name="arm"><joint axis="0 1 0"/><geom size=".1"/></body>
<body name="hand" pos=".3 0 0"><joint axis="0 1 0"/><geom size=".1"/></body></worldbody></mujoco>"""


def kept(root: Path, run_id: str, xml: str, seed: int = 0) -> None:
    """Write a run of a recording that keeps its model."""
    model = mujoco.MjModel.from_xml_string(xml)
    made = [episode(0, np.ones((2, 4, 4)), np.ones((2, 4, 1)))]
    dataset(root, ENV, made, run_id=run_id, seed=seed, suite="file", model=hash_of(model))
    path = root / Run(ENV, run_id).model
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(binary(model))


def tree(root: Path, *run_ids: str, bodies: tuple[str, ...] = ("arm", "hand")) -> dict[str, str]:
    with jacdb.open(root) as opened:
        return run_models.tree_of_runs(opened, ENV, run_ids, set(bodies), parents)


@pytest.mark.slow
def test_a_tree_is_of_the_model_that_the_run_keeps(tmp_path):
    kept(tmp_path, "run-a", CHAIN)
    assert tree(tmp_path, "run-a") == {"hand": "arm"}
    with pytest.raises(UsageError, match="the model of CheetahRun has no body 'torso', which axes of its runs name"):
        tree(tmp_path, "run-a", bodies=("arm", "hand", "torso"))


@pytest.mark.slow
def test_runs_of_robots_with_other_trees_have_none(tmp_path):
    for number, (run_id, xml) in enumerate(
        {"run-a": CHAIN, "run-b": CHAIN.replace(".3", ".4"), "run-c": APART}.items()
    ):
        kept(tmp_path, run_id, xml, seed=number)
    assert tree(tmp_path, "run-a", "run-b") == {"hand": "arm"} and tree(tmp_path, "run-c") == {}
    with pytest.raises(UsageError, match="robots with different kinematic trees: keep them in datasets of their own"):
        tree(tmp_path, "run-a", "run-c")


@pytest.mark.slow
def test_a_model_that_is_not_here_is_told_unless_another_run_has_one(tmp_path):
    kept(tmp_path, "run-a", CHAIN)
    kept(tmp_path, "run-b", CHAIN, seed=1)
    (tmp_path / Run(ENV, "run-a").model).unlink()
    assert tree(tmp_path, "run-a", "run-b") == {"hand": "arm"}
    with pytest.raises(UsageError, match="the run's model is not here: copy models/"):
        tree(tmp_path, "run-a")


@pytest.mark.slow
def test_only_runs_of_playground_are_of_its_environment(tmp_path, monkeypatch):
    model = mujoco.MjModel.from_xml_string(CHAIN)
    monkeypatch.setattr(run_models, "load_env", lambda name: SimpleNamespace(mj_model=model))
    dataset(tmp_path, ENV, [episode(0, np.ones((2, 4, 4)), np.ones((2, 4, 1)))])
    assert tree(tmp_path, "run-a") == {"hand": "arm"}
