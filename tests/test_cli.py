"""The command line, as a process of its own: answers on stdout, one line on stderr when it says no."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import ROOT, call_jacdb, run_jacdb
from synthetic import dataset, episode

from jacdb import FailureError, __main__, __version__, exports, figures, output, queries
from jacdb.cli import printing
from jacdb.learning import baselines
from jacdb.learning.models import registry

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


def test_users_33_help_names_all_that_may_be_given():
    named = {"query": queries.VIEWS, "plot": figures.FIGURES, "export": exports.FORMATS, "learn": registry.BUILT_IN,
             "score": baselines.BASELINES}  # fmt: skip
    for command, names in named.items():
        words = re.findall(r"\w+", call_jacdb(command, "--help").stdout)
        assert set(names) <= set(words), command


def test_query_and_sql_in_every_format(cartpole, tmp_path):
    data = ("--data", str(cartpole))
    [row] = json.loads(call_jacdb("query", "global_sparsity", *data, "--format", "json").stdout)
    assert (row["env"], row["d_state"], row["zero_state"], row["samples"]) == ("CartpoleBalance", 4, 3, 120)
    assert call_jacdb("query", "global_sparsity", *data, "--format", "csv").stdout.startswith(
        "env,zero_state,zero_state_pct,"
    )
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


@pytest.mark.slow
def test_users_33_a_view_without_a_row_says_why_on_stderr(tmp_path):
    dataset(tmp_path, "Still", [episode(0, np.ones((12, 2, 2)), np.ones((12, 2, 1)))])
    data = ("--data", tmp_path, "--format", "csv")
    never = "zero_durations has no row of Still: in its 12 steps no entry becomes zero or ceases to be within an"
    unmet = "global_sparsity has no row: no step of it that counts meets the condition in_contact\n"
    unchanged = (
        "pattern_switches has no row: in its 9 steps that meet step < 9 the zero pattern never changes within an"
        " episode; longer episodes may visit more\n"
    )
    unlearned = "leaderboard has no row: no model was trained or scored; `jacdb learn` and `jacdb score` do\n"
    for words, told in (
        (("zero_durations", "--env", "Still"), f"{never} episode; longer episodes may visit more\n"),
        (("global_sparsity", "--where", "in_contact"), unmet),
        (("leaderboard",), unlearned),
        (("pattern_switches", "--where", "step < 9"), unchanged),
        (("global_sparsity",), ""),
    ):
        ran, quiet = call_jacdb("query", *words, *data), call_jacdb("query", *words, *data, "--quiet")
        assert (ran.returncode, ran.stderr, len(ran.stdout.splitlines())) == (0, told, 1 if told else 2)
        assert (quiet.stdout, quiet.stderr) == (ran.stdout, "")


def test_envs_lists_all():
    rows = json.loads(call_jacdb("envs", "--format", "json").stdout)
    assert len([row for row in rows if row["package"] == "playground"]) == 54
    d_state = {row["env"]: row["d_state"] for row in rows}
    assert (d_state["CheetahRun"], d_state["PandaPickCube"], d_state["PandaRobotiqPushCube"]) == (18, 38, 52)


@pytest.mark.slow
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
    # nothing switches in so short a time, there is one method, and nothing was learned
    empty = {{"zero_durations", "pattern_switches", "method_comparison", *queries.RESULTS}}
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


SAMPLE = ("--data", str(ROOT / "datasets" / "sample"))


def test_users_05_options_add_up_or_are_refused():
    asked = [word for env in ("WalkerRun", "CheetahRun") for word in ("--env", env)]
    rows = json.loads(call_jacdb("query", "global_sparsity", *SAMPLE, *asked, "--format", "json").stdout)
    assert [row["env"] for row in rows] == ["CheetahRun", "WalkerRun"]
    ran = call_jacdb("plot", "heatmap", *SAMPLE, *asked, "--out", "heatmap.png")
    assert (ran.returncode, ran.stderr) == (2, "jacdb: heatmap shows one environment, not 2: learning shows several\n")
    ran = call_jacdb("graph", *SAMPLE, *asked, "--out", "it.graphml")
    assert (ran.returncode, ran.stderr) == (2, "jacdb: --env is given 2 times: it takes one value\n")


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["query", "steps", *SAMPLE], id="query"),
        pytest.param(["sql", "from steps", *SAMPLE], id="sql", marks=pytest.mark.slow),
    ],
)
def test_users_05_the_suffix_of_a_file_decides_its_format_and_it_has_all_rows(words, tmp_path):
    form = {".csv": pl.read_csv, ".json": pl.read_json, ".parquet": pl.read_parquet}
    for suffix, read in form.items():
        out = tmp_path / f"it{suffix}"
        ran = call_jacdb(
            *words,
            "--env" if words[0] == "query" else "--where",
            *(["CheetahRun"] if words[0] == "query" else ["env = 'CheetahRun'"]),
            "--out",
            out,
        )
        assert ran.returncode == 0, ran.stderr
        assert len(read(out)) == 400, suffix
    for suffix in (".txt", ".md"):
        assert call_jacdb(*words, "--out", tmp_path / f"it{suffix}").returncode == 0
        rows = [line for line in (tmp_path / f"it{suffix}").read_text().splitlines() if line[0] in "│|"]
        assert len(rows) > 6000, "a table in a file is not cut"
    ran = call_jacdb(*words, "--out", tmp_path / "it.csv", "--format", "json")
    assert ran.returncode == 2 and "say different formats" in ran.stderr
    ran = call_jacdb(*words, "--out", tmp_path / "it")
    assert ran.returncode == 2 and ".parquet" in ran.stderr


@pytest.mark.slow
def test_users_19_sql_from_a_file_from_standard_input_and_with_a_comment_first(tmp_path, monkeypatch):
    text = "-- how many?\nselect count(*) as n from steps where env = 'CheetahRun'"
    path = tmp_path / "question.sql"
    path.write_text(text)
    for words in ([text], ["--", text], ["--file", path], ["-f", path], ["-"], ["--file", "-"]):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        ran = call_jacdb("sql", *SAMPLE, "--format", "csv", *words)
        assert (ran.returncode, ran.stdout) == (0, "n\n400\n"), ran.stderr
    for words, told in (([], "as text"), ([text, "--file", path], "one SELECT"), (["-f", "none.sql"], "none.sql")):
        ran = call_jacdb("sql", *SAMPLE, *words)
        assert ran.returncode == 2 and told in ran.stderr


@pytest.mark.slow
def test_users_19_limit_quiet_and_episodes_without_matrices():
    whole = call_jacdb("query", "episodes", *SAMPLE, "--format", "csv")
    assert "largest_state" not in whole.stdout.splitlines()[0] and "largest_state" in whole.stderr
    one = call_jacdb("query", "episodes", *SAMPLE, "--format", "csv", "--limit", 1, "--quiet")
    assert (len(one.stdout.splitlines()), one.stderr) == (2, "")
    cut = call_jacdb("query", "axes", *SAMPLE)
    assert len(cut.stdout.splitlines()) == 104 and "only the first 100 rows" in cut.stderr
    assert len(call_jacdb("query", "axes", *SAMPLE, "--limit", 120).stdout.splitlines()) == 124
    assert call_jacdb("query", "episodes", *SAMPLE, "--format", "csv", "--limit", 2**64).stdout == whole.stdout
    assert call_jacdb("query", "-h").stdout == call_jacdb("query", "--help").stdout


def test_users_19_a_table_fits_the_screen_and_a_column_has_one_notation():
    frame = pl.DataFrame({"name": ["x" * 150, "y"], "size": [0.5, 1e-13], "share": [12.25, None], "steps": [7, 1200]})
    text, left_out = output.table(frame, 80)
    assert left_out == [] and max(map(len, text.splitlines())) <= 80
    body = [[cell.strip(" │") for cell in line.split("┆")] for line in text.splitlines()[3:-1]]
    assert [row[1:] for row in body] == [["5.0e-01", "12.25", "7"], ["1.0e-13", "null", "1200"]]
    text, left_out = output.table(frame, 60)
    assert left_out == ["share", "steps"] and max(map(len, text.splitlines())) <= 60
    assert output.encode(frame, "table").decode().count("x" * 150) == 1, "a file is as wide as it has to be"


@pytest.mark.slow
def test_users_19_the_shell_completes_environments_and_views():
    def completed(words: str) -> list[str]:
        program = "from jacdb.__main__ import main; import sys; sys.argv[0] = 'jacdb'; main()"
        asking = {"_JACDB_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        ran = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, **asking}
        )
        return ran.stdout.split()

    assert completed("jacdb ingest --env CheetahR") == ["CheetahRun"]
    assert completed("jacdb query zero_d") == ["zero_durations"]
    assert completed("jacdb verif") == ["verify"]


@pytest.mark.slow
def test_users_19_alarms_of_xla_are_not_told():
    """It calls whatever it computes for more than a second at compile time an error."""
    program = """
import sys
from jacdb import cli
sys.argv = ["jacdb", "--version"]
try:
    cli.main()
except SystemExit:
    pass
import jax
import jax.numpy as jnp
import numpy as np
numbers = np.ones((300, 300))
sums = jax.jit(lambda: jax.lax.reduce_window(jnp.asarray(numbers), 0.0, jax.lax.add, (51, 51), (1, 1), "SAME"))
sums.lower().compile()
"""
    ours = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}  # JAX has set it here
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=ours)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.slow
def test_users_19_info_says_what_is_installed_and_where_things_are_kept(tmp_path):
    rows = json.loads(run_jacdb("info", "--format", "json", XDG_CACHE_HOME=str(tmp_path), JACDB_DATA="there").stdout)
    told = {row["what"]: row["value"] for row in rows}
    assert told["jacdb"] == __version__ and told["reading: polars"] == pl.__version__
    assert told["cache: compiled code"] == f"{tmp_path}/jacdb/xla (not there yet)"
    assert told["variable: JACDB_DATA"] == "there" and "devices" not in told


@pytest.mark.parametrize("form", output.FORMATS)
def test_a_closed_stdout_is_told_before_any_work(form, monkeypatch, tmp_path):
    suffix = next(suffix for suffix, of in output.SUFFIXES.items() if of == form)
    frame, out = pl.DataFrame({"a": [1]}), tmp_path / f"a{suffix}"
    monkeypatch.setattr(sys, "stdout", None)  # as Python has it after `jacdb runs >&-`
    stdout = Path("/dev/stdout")
    asked = [lambda out=out: printing.check_form(form, out) for out in (None, stdout)]
    for ask in (*asked, lambda: printing.print_frame(frame, form, None)):
        with pytest.raises(FailureError, match=r"stdout is closed, so .*: leave it open, or give --out FILE"):
            ask()
    printing.check_form(form, out)
    printing.print_frame(frame, form, out)
    assert out.stat().st_size > 0


def test_no_file_has_the_number_of_a_closed_stream(tmp_path):
    """Or what XLA logs on stderr would be written into it."""
    program = (
        "import os, sys; from jacdb import __main__, cli\n"
        "cli.main = lambda: os.write(made := os.open(sys.argv[1], os.O_CREAT | os.O_RDWR), str(made).encode())\n"
        "__main__.main()"
    )
    made = tmp_path / "made"
    closed = ["sh", "-c", '"$0" "$@" <&- >&- 2>&-', sys.executable, "-c", program, str(made)]
    subprocess.run(closed, check=True)
    assert int(made.read_text()) > 2


@pytest.mark.parametrize("code", [0, 1])
def test_the_process_ends_as_usual_where_stdout_is_closed(code, monkeypatch):
    left = []
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(__main__.os, "_exit", left.append)
    monkeypatch.setattr(__main__.atexit, "_run_exitfuncs", lambda: None)
    __main__._leave(code)
    assert left == [code]
