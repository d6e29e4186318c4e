"""Threads, forks and Ctrl-C at one open dataset: calls take turns, and nobody waits for one who is gone."""

import multiprocessing
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import duckdb
import numpy as np
import polars as pl
import pytest
from conftest import ROOT
from synthetic import dataset, episode

import jacdb
from jacdb import FailureError, JacdbError, UsageError

PATIENCE = 60  # seconds; who hangs is found out


@pytest.fixture
def small(tmp_path):
    dataset(tmp_path / "data", "E", [episode(0, np.ones((3, 2, 2)), np.ones((3, 2, 1)))])
    return tmp_path / "data"


@pytest.fixture
def opened(small):
    with jacdb.open(small) as one:
        yield one


@pytest.mark.slow
@pytest.mark.parametrize(
    "ask",
    [
        lambda one: one.sql("select 1"),
        lambda one: one.samples(),
        lambda one: one.explain("samples"),
        lambda one: one.where("finite"),
        lambda one: one.batches("E"),
        lambda one: one.tangent_space("E"),
        lambda one: one.within_limits(lambda: 1),
        lambda one: one.register("own", pl.DataFrame({"a": [1]})),
    ],
)
def test_a_closed_dataset_says_so_and_what_it_gave_goes_on(small, ask):
    with jacdb.open(small) as one:
        batches, narrowed = one.batches("E", ("state",)), one.where("finite")
    with pytest.raises(UsageError, match=r"^the dataset '.*' is closed: open it again, by jacdb\.open$"):
        ask(one)
    one.close()
    assert sum(len(batch["state"]) for batch in batches) == 3 and len(narrowed.samples()) == 1
    assert len(pickle.loads(pickle.dumps(one)).samples()) == 1


@pytest.mark.slow
def test_threads_that_share_a_dataset_take_turns(opened):
    begin = threading.Barrier(6)

    def ask(number):
        begin.wait()
        for step in range(1, 4):
            rows = pl.DataFrame({"own": [number]})
            opened.register(f"own{number}", rows)
            assert opened.samples()["samples"].to_list() == [3]
            assert opened.fetch(opened.sql(f"select own + step as it from own{number}, steps")).height == 3
            assert opened.where(f"step < {step}").samples()["samples"].to_list() == [step]
            assert opened.batches("E", ("state",)).n_rows == 3
            assert opened.explain("samples")
        return number

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ask, range(6), timeout=PATIENCE)) == list(range(6))


@pytest.mark.slow
def test_a_job_has_the_turn_of_who_waits_for_it_until_it_is_given_up(small):
    go_on = threading.Event()
    with jacdb.Dataset(small, timeout=PATIENCE) as patient:
        assert len(patient.within_limits(patient.samples)) == 1
    with jacdb.Dataset(small, timeout=0.1) as limited:

        def job():
            limited.samples()  # within the turn
            go_on.wait()
            return limited.samples()  # given up: in a turn of its own

        with ThreadPoolExecutor(1) as pool:
            with pytest.raises(FailureError, match="stopped after"):
                limited.within_limits(job)
            assert len(pool.submit(limited.samples).result(PATIENCE)) == 1
            go_on.set()
            assert len(pool.submit(limited.samples).result(PATIENCE)) == 1


def test_a_relation_that_another_thread_reads_is_told_with_the_remedy(opened):
    slow = opened.sql("select sum(random()) from range(1000000000000)")

    def read():
        while True:
            try:
                slow.fetchall()
            except duckdb.InterruptException:
                return
            except duckdb.Error:
                continue  # the other thread's call was first

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        try:
            with pytest.raises(JacdbError, match=r"read it by dataset\.fetch, .* or open a dataset in each thread$"):
                while not reading.done():
                    opened.samples()
        finally:
            while not reading.done():
                opened._connection.interrupt()
        reading.result()


@pytest.mark.slow
def test_ctrl_c_ends_the_wait_for_a_turn():
    program = f"""
import os, signal, threading
import jacdb
dataset, begun = jacdb.open({str(ROOT / "datasets" / "sample")!r}), threading.Event()
job = lambda: (begun.set(), threading.Event().wait())
threading.Thread(target=lambda: dataset.within_limits(job), daemon=True).start()
begun.wait()
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    dataset.sql("select 1")
except KeyboardInterrupt:
    print("ended", flush=True)
    os._exit(0)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ran.stdout == "ended\n", ran.stderr


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning", "ignore:.*fork:RuntimeWarning")
def test_a_fork_while_another_thread_has_its_turn_does_not_wait_for_it(opened):
    begun, go_on = threading.Event(), threading.Event()

    def job():
        begun.set()
        go_on.wait()

    opened.samples()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(opened.within_limits, job)
        begun.wait(PATIENCE)
        child = multiprocessing.get_context("fork").Process(target=opened.samples, daemon=True)
        child.start()
        child.join(PATIENCE)
        code = child.exitcode
        if code is None:
            child.kill()
        go_on.set()
        waiting.result(PATIENCE)
    assert code == 0
