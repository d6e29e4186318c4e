"""The card is true of what is published: suites, licences, engines, and how well steps were replayed."""

import json
import shutil

import numpy as np
import pytest
import yaml
from conftest import ROOT
from synthetic import dataset, episode

import jacdb
from jacdb import report
from jacdb.dataset import run_status
from jacdb.publishing import card, licences

FROZEN = ROOT / "tests" / "frozen" / "v3"  # a run of Playground's CartpoleBalance, and one of a model: cart3
OWN_MODEL = "| cart3 | noise-seed0-d24b0e51e5 | model | cart3.xml | - |"


@pytest.fixture(scope="module")
def mixed():
    with jacdb.open(FROZEN) as dataset:
        yield dataset


def head(text: str) -> dict:
    return yaml.safe_load(text.split("---")[1])


@pytest.mark.slow
def test_a_card_of_several_suites_names_each_with_its_licence_and_engine(mixed):
    text = card.write(mixed, "alice/mixed")
    said = head(text)
    assert (said["license"], said["license_name"]) == ("other", "of-each-source")
    heading = said["license_link"].split("#")[1]
    assert f"## {heading.replace('-', ' ').capitalize()}\n" in text
    assert f"{OWN_MODEL} not stated | 0 | 1e-06 | 0 |" in text
    assert "| CartpoleBalance | noise-seed0-8b3e2731c4 | playground | - | - | apache-2.0 | 0 | - | - |" in text
    assert "Of Playground's environments on MJX" in text and "is not Playground, of MuJoCo's C engine" in text


@pytest.mark.slow
def test_environments_without_actions_steps_or_zeros_are_in_the_card_and_the_report(tmp_path):
    """One has no actuators, one no step that counts and the largest matrices, one rows by finite differences alone."""
    ones = lambda *shape: np.ones((4, *shape))  # noqa: E731
    dataset(tmp_path, "Free", [episode(0, ones(2, 2), ones(2, 0), columns={"reward": np.full(4, np.inf)})])
    dataset(tmp_path, "Excluded", [episode(0, ones(3, 3) * np.nan, ones(3, 1))])
    dataset(tmp_path, "Differences", [episode(0, ones(4, 4), ones(4, 1), method="fd")], method="fd")
    with jacdb.open(tmp_path) as opened:
        text, picture = card.write(opened, "alice/odd"), card.picture(opened)
        facts = report.facts(opened)["environments"]
    json.dumps(facts, allow_nan=False)
    assert facts["Free"]["returns"][0]["mean"] == "infinite"
    assert "| Free | 2 | 0 |" in text and "| 0 % |" in text and "of Free's steps" in text
    assert "| Differences | - |" in text and "| 0 | - | 0 % |" in text and "None" not in text and picture
    assert {env: of["table1"]["samples"] for env, of in facts.items()} == {"Differences": 0, "Excluded": 0, "Free": 4}
    with jacdb.open(shutil.copytree(tmp_path, tmp_path / "x", ignore=shutil.ignore_patterns("*Free", "x"))) as opened:
        assert card.picture(opened) is None
        assert "heatmap.png" not in card.write(opened, "alice/odd")


@pytest.mark.slow
def test_a_card_of_one_engine_says_nothing_of_the_other(tmp_path):
    with jacdb.open(ROOT / "datasets" / "sample") as sample:
        text = card.write(sample, "alice/sample")
    assert head(text)["license"] == "apache-2.0" and "mujoco-playground" in head(text)["tags"]
    assert "C engine" not in text and "model.mjb" not in text and "\nOn MJX in float64" in text
    root = shutil.copytree(FROZEN, tmp_path / "cart3", ignore=shutil.ignore_patterns("environment=CartpoleBalance"))
    with jacdb.open(root) as of_a_model:
        text = card.write(of_a_model, "alice/cart3")
    assert not [word for word in ("MJX", "Playground", "zakka2025", "mujoco-playground") if word in text]
    assert "Of MuJoCo's C engine in float64" in text and "model.mjb" in text


@pytest.mark.parametrize(
    ("runs", "lines"),
    [
        ([("playground", None), ("dm_control", None)], ["license: apache-2.0"]),
        ([("playground", None), ("minari", "CC BY 4.0")], ["license:", "- apache-2.0", "- cc-by-4.0"]),
        ([("file", "CC-BY-4.0"), ("lerobot", "cc-by-4.0")], ["license: cc-by-4.0"]),
        ([("playground", None), ("minari", None)], ["license: other", "license_name: of-each-source"]),
        ([("file", "mine\nlicense: mit")], ["license: other", "license_name: of-each-source"]),
    ],
)
def test_the_head_says_a_licence_only_if_every_source_does(runs, lines):
    rows = [{"suite": suite, "licence": licence} for suite, licence in runs]
    found = licences.header(rows, "alice/data")
    assert [line for line in found if not line.startswith("license_link")] == lines
    assert head("\n".join(["---", *found, "---"]))["license"] != "mit"


@pytest.mark.slow
def test_the_report_and_the_list_of_runs_say_how_well_steps_were_replayed(mixed):
    facts = report.facts(mixed)
    assert [(run["env"], run["suite"], run["replay_error"]) for run in facts["runs"]] == [
        ("CartpoleBalance", "playground", None),
        ("cart3", "model", 0.0),
    ]
    assert f"{OWN_MODEL} - | 1e-06 | 0 | 0 |" in report.markdown(facts)
    told = run_status.status(FROZEN).select("env", "excluded", "replay_error").rows()
    assert told == [("CartpoleBalance", 0, None), ("cart3", 0, 0.0)]


def test_an_environment_that_is_called_like_a_table_has_a_config_of_its_own():
    names = [config.name for config in card.configs(["Cart", "learning_runs", "runs", "steps"], ["learning_runs"])]
    assert names[:4] == ["Cart", "environment=learning_runs", "environment=runs", "steps"]
    assert len(names) == len(set(names))
