"""The engine's number: in the run id, in `runs`, and raised by whoever changes rows."""

import json

import pytest
import reference_rows
from reference_rows import difference, load

import jacdb
from jacdb.ingest import provenance
from jacdb.ingest.run_plan import Request, RunPlan

UP, TURN = 11, 28  # of PandaPickCube's axes: box.z, box.angvel_y


@pytest.mark.slow
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


def test_users_02_an_entry_that_rounding_leaves_may_not_grow_to_the_threshold():
    kept = load("PandaPickCube")
    assert (abs(kept["j_state"][:, TURN, UP]) < 1e-13).all()
    assert difference(kept, kept) is None
    moved = kept | {"j_state": kept["j_state"].copy()}
    moved["j_state"][2, TURN, UP] = 1.1e-12  # as engine 1 had it
    assert "entry 1075 of j_state in step 4 was" in str(difference(kept, moved))
    rounded = kept | {name: kept[name] * (1 + 1e-8) for name in ("j_state", "state")}  # another processor's
    assert difference(kept, rounded) is None
    assert f"is engine {kept['engine'] + 1}" in str(difference(kept, kept | {"engine": kept["engine"] + 1}))


@pytest.mark.slow
def test_users_02_rows_of_cartpole_are_this_engines(cartpole, pytestconfig):
    with jacdb.open(cartpole) as opened:
        reference_rows.check(opened, "CartpoleBalance", pytestconfig.getoption("reference"))
