"""Killed, out of disk, or two at once: no row is lost or doubled, and the dataset answers at every moment.

``--kills 50`` kills a real ingest at so many random moments; the suite does it a few times.
"""

import functools
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

import polars as pl
import pytest
from conftest import call_jacdb

import jacdb
from jacdb import FailureError, UsageError, queries
from jacdb.dataset import manifest
from jacdb.ingest import pipeline
from jacdb.ingest.pipeline import ingest
from jacdb.ingest.run_plan import Request
from jacdb.ingest.storage.run_writer import RunWriter

pytestmark = pytest.mark.slow

SMALL_PART = 15_000  # bytes: a dozen parts
REQUEST = Request("CartpoleBalance", episodes=24, steps=100, num_envs=4)
DRIVER = f"""
import functools
from jacdb.ingest import pipeline, run_plan, runtime
from jacdb.ingest.storage.run_writer import RunWriter
runtime.configure()
pipeline.RunWriter = functools.partial(RunWriter, part_bytes={SMALL_PART})
request = run_plan.Request("CartpoleBalance", episodes=24, steps=100, num_envs=4)
pipeline.ingest(request, {{root!r}}, report=lambda event: print(flush=True))
"""


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(pipeline, "RunWriter", functools.partial(RunWriter, part_bytes=SMALL_PART))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The rows of a run that nothing interrupted; ``events``, how often it reported."""
    root, events = tmp_path_factory.mktemp("whole"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "RunWriter", functools.partial(RunWriter, part_bytes=SMALL_PART))
        ingest(REQUEST, root, report=events.append)
    return rows(root) | {"events": len(events)}


def rows(root) -> dict[str, pl.DataFrame]:
    """All that a dataset says, in an order of its own; how long it took and which part has what left out."""
    left_out = {"runs": ["started", "seconds"], "episodes": ["part"]}
    with jacdb.open(root) as opened:
        tables = {name: getattr(opened, name)().drop(left_out.get(name, [])) for name in queries.TABLES}
    keys = ("env", "run_id", "episode", "step", "space", "index", "pattern_id")
    return {name: table.sort([key for key in keys if key in table.columns]) for name, table in tables.items()}


def same(found: dict[str, pl.DataFrame], expected: dict[str, pl.DataFrame]) -> None:
    for name in queries.TABLES:
        assert found[name].equals(expected[name]), name


@pytest.mark.thorough
def test_a_run_that_is_killed_is_completed_to_the_same_rows(whole, tmp_path, pytestconfig):
    """Killed without warning, again and again, at random moments of all that it does."""
    chance = random.Random(0)
    answered = finished = 0
    for _ in range(pytestconfig.getoption("kills")):
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER.format(root=str(tmp_path))], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout
        for _ in range(chance.randrange(whole["events"])):
            process.stdout.readline()
        time.sleep(chance.uniform(0, 0.2))
        process.kill()
        process.wait()
        if list(tmp_path.glob("axes/*/*/*.parquet")):
            with jacdb.open(tmp_path) as opened:
                for view in queries.VIEWS:
                    opened.fetch(opened.view(view))
            answered += 1
        if manifest.finished(tmp_path):
            finished += 1
            same(rows(tmp_path), whole)
            shutil.rmtree(tmp_path)
    ingest(REQUEST, tmp_path)
    same(rows(tmp_path), whole)
    assert not list(tmp_path.rglob("*.tmp")) and not list(tmp_path.rglob("progress.json"))
    print(f"all views answered after {answered} of the kills; the run was whole after {finished}")


def test_users_10_an_ingest_that_is_interrupted_keeps_finished_episodes(whole, tmp_path):
    """In parts so large that nothing is on disk before the run's end, unless who stops it writes it."""
    program = f"""
from jacdb import interruption
with interruption.handled():
    from jacdb.ingest import pipeline, run_plan, runtime
    runtime.configure()
    request = run_plan.Request("CartpoleBalance", episodes=24, steps=100, num_envs=4)
    pipeline.ingest(request, {str(tmp_path)!r}, report=lambda event: print(event.done, flush=True))
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if int(line) >= 800:
                process.send_signal(signal.SIGINT)
                break
        _, err = process.communicate()
    assert (process.returncode, err) == (130, "jacdb: stopped; repeat the command to begin anew\n")
    assert 800 <= status(tmp_path)["steps"].item() < 2400
    ingest(REQUEST, tmp_path)
    same(rows(tmp_path), whole)


def test_a_full_disk_loses_nothing_and_runs_say_how_far_they_are(whole, small_parts, tmp_path):
    """From the middle on, files may not grow beyond a size that a part does not fit into; then they may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    at_work = []

    def fill(event):
        if event.done >= 1200 and not at_work:
            at_work.append(status(tmp_path))
            resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, hard))

    try:
        with pytest.raises(FailureError, match=r"could not write .* the same command goes on"):
            ingest(REQUEST, tmp_path, report=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert at_work[0].select("status", "doing", "total").row(0) == ("at work", "rolling out CartpoleBalance", 2400)
    stopped = status(tmp_path)
    assert stopped["status"].item() == "stopped" and 0 < stopped["steps"].item() < stopped["total"].item() == 2400
    assert not list(tmp_path.rglob("part-*.tmp"))
    ingest(REQUEST, tmp_path)
    same(rows(tmp_path), whole)
    assert status(tmp_path).select("status", "steps", "doing").row(0) == ("finished", 2400, None)
    [log] = tmp_path.glob("journal/*/*/ingest.log")
    assert "stopped: OSError" in log.read_text() and log.read_text().endswith("finished\n")


def status(root) -> pl.DataFrame:
    return pl.read_json(call_jacdb("runs", "--data", root, "--format", "json").stdout.encode())


def test_what_the_disk_cannot_hold_is_refused_beforehand(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 9_000, 9_000))
    with pytest.raises(UsageError, match=r"2,400 steps take up to .* GiB, 8.38e-06 are free"):
        ingest(REQUEST, tmp_path)
    assert not list(tmp_path.rglob("part-*"))
