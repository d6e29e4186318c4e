"""The engine's number: in the run id, in `runs`, and raised by whoever changes rows."""

import json

import pytest
import reference_rows

import jacdb
from jacdb.ingest import provenance
from jacdb.ingest.run_plan import Request, RunPlan


def test_users_02_two_engines_have_two_run_ids(monkeypatch):
    def run_id() -> str:
        provenance.versions.cache_clear()
        plan = RunPlan.resolve(Request("CartpoleBalance", episodes=1, steps=2))
        assert json.loads(plan.row()["versions"])["engine"] == provenance.ENGINE_VERSION
        return plan.run_id

    now = run_id()
    monkeypatch.setattr(provenance, "ENGINE_VERSION", provenance.ENGINE_VERSION + 1)
    assert run_id() != now
    monkeypatch.undo()
    assert run_id() == now


@pytest.mark.slow
def test_users_02_rows_of_cartpole_are_this_engines(cartpole, pytestconfig):
    with jacdb.open(cartpole) as opened:
        reference_rows.check(opened, "CartpoleBalance", pytestconfig.getoption("reference"))
