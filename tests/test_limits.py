"""A query and its answer stay within limits of memory and time."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from synthetic import dataset, episode

import jacdb
from jacdb import FailureError, UsageError
from jacdb.dataset import limits
from jacdb.dataset.limits import Limits

GIB = 2**30


# Runs a command and prints its peak memory: Linux counts that of a process's parent with it, and a test's own is large
MEASURED = """
import resource, subprocess, sys
ran = subprocess.run([sys.executable, "-m", "jacdb", *sys.argv[1:]])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(ran.returncode)
"""


@pytest.fixture
def small(tmp_path):
    root = tmp_path / "data"
    dataset(root, "E", [episode(0, np.ones((3, 2, 2)), np.ones((3, 2, 1)))])
    return root


# DuckDB works constants out before it begins, in one go that nothing interrupts, and outside its own limit of memory
@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "words", "told"),
    [
        ("select unnest(range(60000000))", ["--memory", "0.3"], "take more than 0.3 GiB"),
        ("select unnest(range(60000000))", ["--timeout", "1"], "stopped after 1 s"),
        ("select range, random() as r from range(60000000)", ["--memory", "0.3"], "take more than 0.3 GiB"),
    ],
)
def test_users_09_a_large_answer_is_one_line_and_little_memory(small, query, words, told):
    """As a person runs it: the process ends, whatever DuckDB is at, and never had much more than it may."""
    words = ["sql", query, "--data", str(small), "--format", "csv", *words]
    ran = subprocess.run([sys.executable, "-c", MEASURED, *words], capture_output=True, text=True)
    *out, peak = ran.stdout.splitlines()
    assert (ran.returncode, out, ran.stderr.count("\n")) == (1, [], 1) and told in ran.stderr
    if sys.platform == "linux" and "--memory" in words:
        assert int(peak) * 1024 < 2 * GIB


@pytest.mark.slow
def test_users_09_what_nothing_interrupts_is_given_up(small):
    go_on = threading.Event()
    with jacdb.Dataset(small, timeout=0.1) as limited:
        before = limited.sql("select 1")
        with pytest.raises(FailureError, match=r"stopped after 0\.1 s"):
            limited.within_limits(go_on.wait)
        assert limits.is_running()
        assert len(limited.steps()) == 3 and len(before.fetchall()) == 1  # and the dataset goes on
    go_on.set()


def test_users_09_what_a_job_raises_is_raised_where_it_was_asked_for():
    def job():
        raise KeyError("k")

    with pytest.raises(KeyError, match="k"):
        Limits.of().run(job, lambda: None, lambda: None)


@pytest.mark.parametrize(
    ("groups", "files", "limit"),
    [
        ("0::/\n", {"memory.max": "1073741824"}, GIB),  # version 2, in a container
        ("0::/a/b\n", {"a/memory.max": "1073741824", "a/b/memory.max": "max"}, GIB),
        ("0::/a/b\n", {"a/memory.max": "2147483648", "a/b/memory.max": "1073741824"}, GIB),
        ("4:cpu:/\n5:memory:/host/path\n0::/\n", {"memory/memory.limit_in_bytes": "1073741824"}, GIB),  # version 1
        ("4:memory:/a\n", {"memory/a/memory.limit_in_bytes": "9223372036854771712"}, None),  # no limit
        ("0::/a\n", {}, None),
        (None, {}, None),
    ],
)
def test_users_09_the_containers_memory_is_the_limit(groups, files, limit, tmp_path):
    for name, text in files.items():
        (tmp_path / "sys" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys" / name).write_text(text + "\n")
    if groups is not None:
        (tmp_path / "cgroup").write_text(groups)
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert limits.available(tmp_path / "cgroup", tmp_path / "sys") == (limit or machine)


@pytest.mark.slow
def test_users_09_by_default_a_query_has_what_the_container_has_left(small, monkeypatch):
    left = int(0.3 * GIB)
    monkeypatch.setattr(limits, "available", lambda: limits.resident() + left)
    with jacdb.open(small) as opened:
        setting = opened.sql("select current_setting('memory_limit')").fetchall()[0][0]
        assert setting.startswith(f"{int(0.8 * left / 2**20)}.")  # MiB
        with pytest.raises(FailureError, match=r"take more than 0\.24 GiB"):
            opened.fetch(opened.sql("select random() from range(1000000000)"))


@pytest.mark.parametrize(
    "limit",
    [{"memory": 0}, {"memory": -1}, {"timeout": float("nan")}, {"memory": "1"}, {"timeout": "5"}, {"memory": True}],
)
def test_a_limit_is_a_number_above_0(limit):
    with pytest.raises(UsageError, match="above 0"):
        Limits.of(limit.get("memory"), limit.get("timeout"))


@pytest.mark.parametrize(
    ("memory", "error", "told"),
    [
        (0.0005, FailureError, r"0\.0005 GiB of memory is too little to open a dataset: allow more"),
        (1e-9, FailureError, "1e-09 GiB of memory is too little"),
        (1e12, UsageError, r"memory=1e\+12: give a number of GiB, 1,048,576 at most"),
    ],
)
def test_memory_at_its_ends_is_one_line(memory, error, told, small):
    with pytest.raises(error, match=told):
        jacdb.Dataset(small, memory=memory)
    with jacdb.Dataset(small, memory=np.float16(1)) as opened:
        assert opened.samples()["samples"].to_list() == [3]
