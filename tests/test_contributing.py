"""The examples of CONTRIBUTING.md do what it says of them."""

import csv
import io
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import ROOT
from matplotlib.figure import Figure
from synthetic import dataset as dataset_of
from synthetic import episode

import jacdb
from jacdb import exports, figures, queries
from jacdb.dataset.dataset import Dataset
from jacdb.errors import UsageError
from jacdb.exports.trajectories import Source
from jacdb.figures import style
from jacdb.ingest.environments import registry
from jacdb.ingest.policies.base import Policy
from jacdb.ingest.run_plan import Request

SAMPLE = ROOT / "datasets" / "sample"


def example(title: str) -> str:
    """The first block of code under a heading of CONTRIBUTING.md."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    section = page.split(f"\n## {title}\n")[1].split("\n## ")[0]
    [block] = re.findall(r"^```\w+\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return block


def defined(title: str, name: str, **names: Any) -> Any:
    scope = dict(names)
    exec(example(title), scope)
    return scope[name]


def test_a_view(monkeypatch):
    text, original = example("Add a view"), queries.sql
    monkeypatch.setattr(queries, "sql", lambda name: text if name == "contact_share" else original(name))
    for names in ("VIEWS", "REGISTERED"):  # what follows from its name in STATISTICS
        monkeypatch.setattr(queries, names, (*getattr(queries, names), "contact_share"))
    assert set(queries.header("contact_share")) == {"grain", "question", "columns"}
    with jacdb.open(SAMPLE) as dataset:
        found = dataset.fetch(dataset.view("contact_share"))
        steps = dataset.sql("select env, in_contact from steps where finite").pl()
    assert found.columns == queries.header("contact_share")["columns"].split()
    shares = steps.group_by("env").agg(pl.len().alias("steps"), pl.col("in_contact").mean().alias("contact_share"))
    assert found.sort("env").rows() == shares.sort("env").rows()


def test_a_figure(monkeypatch, tmp_path):
    names = {name: getattr(style, name) for name in ("COLUMN", "BLUE", "ORANGE", "answer", "nothing", "styled")}
    draw = defined("Add a figure", "zeros", Dataset=Dataset, Figure=Figure, **names)
    monkeypatch.setitem(figures.FIGURES, "zeros", figures.NamedFigure(draw, "How many entries are always zero."))
    with jacdb.open(SAMPLE) as dataset:
        drawn = figures.draw(dataset, "zeros", "CheetahRun")
    [axes] = drawn.axes
    assert drawn.get_figwidth() == figures.COLUMN and axes.xaxis.label.get_fontsize() == figures.POINTS
    assert [round(bar.get_width(), 2) for bar in axes.patches] == [5.25, 0.0]
    dataset_of(tmp_path, "Lost", [episode(0, np.full((2, 2, 2), np.nan), np.ones((2, 2, 1)))])
    with jacdb.open(tmp_path) as lost, pytest.raises(UsageError, match="nothing to draw of Lost"):
        figures.draw(lost, "zeros", "Lost")


def test_an_export(monkeypatch, tmp_path):
    write = defined("Add an export", "write", csv=csv, Path=Path, Source=Source)
    monkeypatch.setitem(exports.FORMATS, "returns", write)
    with jacdb.open(SAMPLE) as dataset:
        told = exports.export(dataset, "returns", "CheetahRun", tmp_path / "returns.csv")
        totals = dataset.sql("select total_reward from episodes where env = 'CheetahRun' order by episode").pl()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "returns.csv").read_text())))
    np.testing.assert_allclose([float(row["return"]) for row in rows], totals["total_reward"])
    assert told.endswith("(one line per episode)")


def test_a_policy():
    names = {"dataclass": dataclass, "asdict": asdict, "Any": Any, "np": np, "__name__": __name__}
    policy = defined("Add a policy", "SinePolicy", **names)()
    assert isinstance(policy, Policy)
    drawn = policy.noise(0, 3, 100, 2)
    assert drawn.shape == (100, 2) and np.abs(drawn).max() <= 1
    np.testing.assert_allclose(drawn[0], drawn[50])
    assert np.array_equal(policy.act(None, drawn[0]), drawn[0])
    assert Request("CartpoleBalance", policy=policy).policy.settings() == {"period": 50.0, "name": "sine"}


def test_an_environment():
    [row] = csv.DictReader(io.StringIO(example("Add an environment")))
    assert registry.spec_of_row(row) == registry.find("CartpoleBalance")
