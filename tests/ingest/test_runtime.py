"""How XLA compiles for jacdb, and when Python's cycle collector rests."""

import gc
import os
import subprocess
import sys
import weakref

import pytest

from jacdb.ingest import runtime
from jacdb.ingest.pipeline import ingest
from jacdb.ingest.run_plan import Request

PROGRAM = """
import jax, jax.numpy as jnp
from jacdb.ingest import runtime
runtime.configure()
print("ynn" in jax.jit(lambda x: (x * x).sum(-1)).lower(jnp.ones((68, 6, 8, 3))).compile().as_text())
"""


def calls_ynnpack(flags: str) -> bool:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env={**os.environ, "XLA_FLAGS": flags}
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip() == "True"


@pytest.mark.slow
def test_users_28_a_robots_small_sums_are_compiled_and_no_library_called():
    assert not calls_ynnpack("")


@pytest.mark.slow
def test_users_28_flags_of_the_users_own_are_kept():
    every_sum = "--xla_cpu_experimental_ynn_fusion_type=LIBRARY_FUSION_TYPE_REDUCE"
    assert calls_ynnpack(every_sum)


@pytest.mark.slow
def test_the_cycle_collector_rests_during_an_ingest_and_not_after(tmp_path):
    at_rest = []

    def stop(event):
        at_rest.append(not gc.isenabled())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(Request("CartpoleBalance", episodes=3, steps=40), tmp_path, report=stop)
    assert at_rest and all(at_rest) and gc.isenabled()


def test_what_was_there_before_the_collector_rested_is_not_walked_through():
    walks = []
    gc.callbacks.append(lambda phase, info: walks.append(info["generation"]))
    try:
        with runtime.without_collector():
            kept = [[] for _ in range(100_000)]
            assert not walks
    finally:
        gc.callbacks.pop()
    assert kept and set(walks) == {0}


def test_cycles_that_came_to_be_while_the_collector_rested_are_gone_after():
    class Cycle:
        pass

    with runtime.without_collector():
        one = Cycle()
        one.itself = one
        left = weakref.ref(one)
        del one
        assert left()
    assert not left()
