"""A run on a Ray cluster, two of whose workers are killed, is the run in one piece."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from conftest import call_jacdb
from shard_rows import rows, same

from jacdb import UsageError
from jacdb.dataset.shards import MARK
from jacdb.ingest.plans.ray_cluster import Cluster

pytestmark = pytest.mark.thorough
pytest.importorskip("ray")

RUN = ["ingest", "--env", "CartpoleBalance", "--episodes", "12", "--steps", "60"]
SHARDS, WORKERS, KILLS = 4, 2, 2
JACDB = [sys.executable, "-m", "jacdb"]


TASKS = ["--shards", SHARDS, "--ray", "local", "--task-cpus", os.cpu_count() / WORKERS * 0.99]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The rows of the run in one piece."""
    root = tmp_path_factory.mktemp("whole")
    assert call_jacdb(*RUN, "--data", root).returncode == 0
    return rows(root)


def at_work(folder: Path) -> dict[int, Path]:
    """The processes that make shards, by their number, with the folder of their journal."""
    found = {}
    for path in folder.glob("**/shards/*/journal/*/*/progress.json"):
        with contextlib.suppress(OSError, ValueError):  # finished meanwhile
            found[json.loads(path.read_text())["process"]] = path.parent
    return found


def killing(kills: int, folder: Path, words: list, **environment: object) -> tuple[int, str, str]:
    """Call jacdb, and kill some of the processes that make shards in a folder; return exit code, stdout and stderr."""
    killed: list[int] = []
    env = {**os.environ, **{name: str(value) for name, value in environment.items()}}
    command = [*JACDB, *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        while len(killed) < kills and process.poll() is None:
            for worker, journal in at_work(folder).items():
                if len(killed) < kills and worker not in killed and not (journal / MARK).exists():
                    os.kill(worker, signal.SIGKILL)
                    killed.append(worker)
            time.sleep(0.01)
        out, err = process.communicate()
    assert len(killed) == kills, "the run was over too soon"
    return process.returncode, out, err


def test_workers_that_are_killed_cost_their_shard_and_no_row(whole, tmp_path):
    code, out, err = killing(KILLS, tmp_path, [*RUN, *TASKS, "--data", tmp_path / "data"])
    assert code == 0, err
    # two shards that end at once may both find that the run is whole
    assert out.count("shard ") >= SHARDS and "the run is whole" in out
    same(rows(tmp_path / "data"), whole)
    assert not (tmp_path / "data" / "shards").exists()


def test_nodes_that_share_no_folder_leave_shards_in_a_store(whole, tmp_path):
    for name in ("node", "store"):
        (tmp_path / name).mkdir()
    words = [*RUN, *TASKS, "--data", tmp_path / "data", "--store", f"file://{tmp_path}/store"]
    code, out, err = killing(1, tmp_path / "node", words, TMPDIR=tmp_path / "node", RAY_TMPDIR=tempfile.gettempdir())
    assert code == 0, err
    assert out.count("steps of CartpoleBalance") == SHARDS and out.count("the run is whole") == 1
    same(rows(tmp_path / "data"), whole)
    assert not (tmp_path / "data" / "shards").exists()
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


def test_a_task_takes_a_node_or_a_gpu_unless_told_otherwise():
    def node(cpus: float, gpus: float = 0.0) -> dict:
        return {"Alive": True, "Resources": {"CPU": cpus, "GPU": gpus}}

    assert Cluster("auto").resources([node(8), node(16)]) == (8, 0, 8)
    assert Cluster("auto", cpus=2).resources([node(8), node(16)]) == (2, 0, 2)
    assert Cluster("auto").resources([node(8), node(16, 4)]) == (1, 1, 4)
    assert Cluster("auto").resources([node(8) | {"Alive": False}, node(4)]) == (4, 0, 4)
    with pytest.raises(UsageError, match=r"--task-cpus 9: no node"):
        Cluster("auto", cpus=9).resources([node(8)])
    with pytest.raises(UsageError, match=r"--task-gpus 1: no node"):
        Cluster("auto", gpus=1).resources([node(8)])
