"""The command line, as a process of its own: answers on stdout, one line on stderr when it says no."""

import json
import re
import subprocess
import sys

import polars as pl
import pytest
from conftest import call_jacdb, run_jacdb

NO_SIMULATOR = """
import sys
for name in ("jax", "jaxlib", "mujoco", "mujoco_playground", "brax", "flax"):
    sys.modules[name] = None  # importing it raises ImportError
"""


# To import any of these takes longer than all of the help.
SLOW_TO_IMPORT = {"duckdb", "huggingface_hub", "jax", "matplotlib", "mujoco", "networkx", "numpy", "polars", "pyarrow"}


def test_help_imports_nothing_that_is_slow():
    program = """
import sys
from jacdb import cli
sys.argv = ["jacdb", "--help"]
try:
    cli.main()
finally:
    print("imported:", *sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    _, imported = ran.stdout.split("imported:")
    assert SLOW_TO_IMPORT.isdisjoint(imported.split())


def test_query_and_sql_in_every_format(cartpole, tmp_path):
    data = ("--data", str(cartpole))
    [row] = json.loads(call_jacdb("query", "global_sparsity", *data, "--format", "json").stdout)
    assert (row["env"], row["d_state"], row["zero_state"], row["samples"]) == ("CartpoleBalance", 4, 3, 120)
    assert call_jacdb("query", "global_sparsity", *data, "--format", "csv").stdout.startswith("env,d_state,d_action,")
    assert "CartpoleBalance" in call_jacdb("query", "global_sparsity", *data).stdout
    assert call_jacdb("query", "axes", *data, "--format", "markdown").stdout.startswith("| env")
    out = tmp_path / "steps.parquet"
    assert call_jacdb("query", "steps", *data, "--format", "parquet", "--out", str(out)).returncode == 0
    assert len(pl.read_parquet(out)) == 120
    counted = call_jacdb("sql", "select count(*) as n from steps", "--format", "csv", JACDB_DATA=str(cartpole))
    assert counted.stdout == "n\n120\n"
    odd = call_jacdb("sql", "select 'nan'::double as x, [1.0, 'inf'::double] as y, '\\xAB'::blob as z",
                    *data, "--format", "json")  # fmt: skip
    assert json.loads(odd.stdout, parse_constant=pytest.fail) == [{"x": None, "y": [1.0, None], "z": "ab"}]
    nested = call_jacdb("sql", "select state from steps limit 1", *data, "--format", "csv").stdout
    assert nested.startswith('state\n"[')


def test_a_condition(cartpole):
    ran = call_jacdb("query", "episodes", "--data", str(cartpole), "--where", "step < 7")
    assert ran.returncode == 2 and "does not apply to episodes" in ran.stderr
    ran = call_jacdb("query", "global_sparsity", "--data", str(cartpole), "--where", "step < 7", "--format", "json")
    assert json.loads(ran.stdout)[0]["samples"] == 21


def test_envs_lists_all():
    rows = json.loads(call_jacdb("envs", "--format", "json").stdout)
    assert len(rows) == 54
    d_state = {row["env"]: row["d_state"] for row in rows}
    assert (d_state["CheetahRun"], d_state["PandaPickCube"], d_state["PandaRobotiqPushCube"]) == (18, 38, 52)


def test_no_models_and_no_network_is_one_line_with_both_remedies(tmp_path):
    ran = run_jacdb(
        "ingest", "--env", "PandaPickCube", "--data", str(tmp_path / "data"),
        MENAGERIE_ROOT="", JACDB_MENAGERIE_URL=f"file://{tmp_path}/nowhere", XDG_CACHE_HOME=str(tmp_path),
    )  # fmt: skip
    assert ran.returncode == 2
    last = ran.stderr.splitlines()[-1]
    assert last.startswith("jacdb: ") and "network" in last and "MENAGERIE_ROOT" in last
    assert "Traceback" not in ran.stderr and not (tmp_path / "data").exists()


def test_plot_writes_the_file_and_refuses_another_format(cartpole, tmp_path):
    words = ("plot", "heatmap", "--env", "CartpoleBalance", "--data", str(cartpole), "--out")
    assert call_jacdb(*words, str(tmp_path / "it.svg")).returncode == 0
    assert re.search("<text.*>slider.vel</text>", (tmp_path / "it.svg").read_text())  # text, and not its outlines
    ran = call_jacdb(*words, str(tmp_path / "it.gif"))
    assert (ran.returncode, len(ran.stderr.splitlines())) == (2, 1) and ".png, .pdf, .svg" in ran.stderr


def test_a_consumer_needs_no_simulator(cartpole):
    """import jacdb, every view and every reading command, with JAX and MuJoCo out of reach."""
    script = f"""{NO_SIMULATOR}
import jacdb
from jacdb import queries
with jacdb.open({str(cartpole)!r}) as dataset:
    lengths = {{name: len(dataset.fetch(dataset.view(name))) for name in queries.VIEWS}}
    # nothing switches in so short a time, and there is one method
    empty = {{"zero_durations", "pattern_switches", "method_comparison"}}
    assert {{name for name, rows in lengths.items() if not rows}} == empty
from jacdb.cli import main
sys.argv = ["jacdb", *sys.argv[1:]]
main()
"""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True)

    for words in (["envs"], ["query", "global_sparsity", "--data", str(cartpole)]):
        ran = run(*words)
        assert (ran.returncode, ran.stderr) == (0, "")
    ran = run("verify", "--data", str(cartpole))
    assert ran.returncode == 0 and "the simulator is not installed (jax is missing)" in ran.stdout
    ran = run("ingest", "--env", "CheetahRun")
    assert ran.returncode == 2 and "pip install 'jacdb[ingest]'" in ran.stderr
