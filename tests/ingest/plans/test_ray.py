"""A run on a Ray cluster, two of whose workers are killed, is the run in one piece."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_merging import rows, same

from jacdb import UsageError
from jacdb.dataset.shards import MARK
from jacdb.ingest.plans.ray_cluster import Cluster

pytestmark = pytest.mark.slow
pytest.importorskip("ray")

RUN = ["ingest", "--env", "CartpoleBalance", "--episodes", "12", "--steps", "60"]
SHARDS, WORKERS, KILLS = 6, 3, 2


def at_work(data: Path) -> dict[int, Path]:
    """The processes that make shards, by their number, with the folder of their journal."""
    found = {}
    for path in data.glob("shards/*/journal/*/*/progress.json"):
        with contextlib.suppress(OSError, ValueError):  # finished meanwhile
            found[json.loads(path.read_text())["process"]] = path.parent
    return found


def test_workers_that_are_killed_cost_their_shard_and_no_row(tmp_path):
    jacdb = [sys.executable, "-m", "jacdb"]
    subprocess.run([*jacdb, *RUN, "--data", tmp_path / "whole"], check=True, capture_output=True)
    share = os.cpu_count() / WORKERS * 0.99
    words = [*RUN, "--shards", SHARDS, "--ray", "local", "--task-cpus", share, "--data", tmp_path / "data"]
    killed = []
    with subprocess.Popen(
        [*jacdb, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None:
            for worker, journal in at_work(tmp_path / "data").items():
                if len(killed) < KILLS and worker not in killed and not (journal / MARK).exists():
                    os.kill(worker, signal.SIGKILL)
                    killed.append(worker)
            time.sleep(0.01)
        out, err = process.communicate()
    assert process.returncode == 0, err
    assert len(killed) == KILLS, "the run was over too soon"
    # two shards that end at once may both find that the run is whole
    assert out.count("shard ") >= SHARDS and "the run is whole" in out
    same(rows(tmp_path / "data"), rows(tmp_path / "whole"))
    assert not (tmp_path / "data" / "shards").exists()


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
