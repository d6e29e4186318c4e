"""A dataset stays readable: tests/frozen has one of every schema version, and what its views said when it was frozen.

Neither is ever written again. What a later version adds may be null there; nothing that was there goes, or changes.
"""

import json

import numpy as np
import pytest
from conftest import ROOT

import jacdb
from jacdb import exports, output, queries, schemas
from jacdb.dataset import integrity, manifest

FROZEN = ROOT / "tests" / "frozen"


def test_there_is_one_of_every_version():
    assert sorted(path.name for path in FROZEN.glob("v*[0-9]")) == [
        f"v{version}" for version in range(1, schemas.SCHEMA_VERSION + 1)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("root", sorted(FROZEN.glob("v*[0-9]")), ids=lambda path: path.name)
def test_an_old_dataset_says_what_it_said(root):
    expected = json.loads(root.with_suffix(".json").read_text())
    assert not [*integrity.check_runs(root, manifest.finished(root))]
    with jacdb.open(root) as opened:
        for view, rows in expected.items():
            assert view in queries.VIEWS
            found = [with_numbers(row) for row in json.loads(output.encode(opened.fetch(opened.view(view)), "json"))]
            kept = [{name: row[name] for name in rows[0]} for row in found] if rows else found
            assert in_order(kept) == in_order(rows), view


def with_numbers(row: dict) -> dict:
    """What was frozen has ids as numbers; JSON has them as text since."""
    return {name: int(value) if name in output.IDS and value is not None else value for name, value in row.items()}


def in_order(rows: list[dict]) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


@pytest.mark.slow
def test_a_reward_that_a_source_does_not_have_is_nan_in_batches_and_exports(tmp_path):
    with jacdb.open(FROZEN / "v3") as opened:
        [batch] = opened.batches("cart3", batch_size=64, columns=("reward", "replay_error"))
        assert opened.episodes()["total_reward"].null_count() == 1
        for format in ("npz", "lerobot"):
            exports.export(opened, format, "cart3", tmp_path / f"cart.{format}")
    assert np.isnan(batch["reward"]).all() and (batch["replay_error"] == 0).all() and len(batch["reward"]) == 20
    with np.load(tmp_path / "cart.npz") as kept:
        assert len(kept["state"]) == 20
