"""How XLA compiles for jacdb."""

import os
import subprocess
import sys

import pytest

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
