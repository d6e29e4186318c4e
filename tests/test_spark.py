"""jacdb.spark: in real Spark and in Sail the named views say what DuckDB says. `make spark` installs both."""

import math
import runpy
import shutil

import numpy as np
import pytest
from conftest import ROOT, call_jacdb
from synthetic import dataset, episode

import jacdb
from jacdb import UsageError, queries, schemas, spark

BENCHMARK = runpy.run_path(str(ROOT / "benchmarks" / "spark.py"))
SAMPLE = ROOT / "datasets" / "sample"
VIEWS = [*BENCHMARK["VIEWS"], "axes"]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Two runs with NaN rows, an episode of one step, one by finite differences, float64; a folder without files."""
    root, rng = tmp_path_factory.mktemp("mixed 'of' all"), np.random.default_rng(1)
    for table in schemas.TABLES:
        (root / table.name / "environment=Empty" / "run=run-a").mkdir(parents=True)
    for run in ("run-a", "run-b"):
        episodes = []
        for number, steps in enumerate((30, 1, 17)):
            j = rng.normal(size=(steps, 6, 8)) * (rng.random((1, 6, 8)) < 0.6) * (rng.random((steps, 6, 1)) < 0.9)
            j[:, 2, 0] = 1e-13  # under the threshold, and no zero
            j[rng.random(steps) < 0.1, 1, 1] = np.nan
            touching = [["foot"] if step % 3 else [] for step in range(steps)]
            method = np.full(steps, "fd" if run == "run-b" and number == 2 else "implicit")
            method[1::5] = "fd"
            episodes.append(episode(number, j[..., :6], j[..., 6:], touching=touching, method=method))
        dataset(root, "Busy", episodes, run)
    nothing = np.full((4, 2, 3), np.nan)
    passive = np.where(np.arange(12).reshape(1, 3, 4) % 5 == 0, 0.0, 1.0)[:, :, :3].repeat(6, axis=0)
    dataset(root, "Passive", [episode(0, passive, np.zeros((6, 3, 0)))])  # it has no actuators
    dataset(root, "NeverFinite", [episode(0, nothing[..., :2], nothing[..., 2:])])
    stop(root, [episode(number, *np.split(rng.normal(size=(5, 2, 3)), [2], axis=2)) for number in range(3)])
    return root


def stop(root, episodes) -> None:
    """Write a run of these episodes that stopped between the steps and the episodes of its last part."""
    dataset(root, "Stopped", episodes, part_bytes=1)
    for table in ("runs", "partials", "journal"):
        shutil.rmtree(root / table / "environment=Stopped")
    (root / f"episodes/environment=Stopped/run=run-a/part-{len(episodes) - 1:05}.parquet").unlink()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "engine"),
    [pytest.param("Spark", "local-cluster[2,1,1024]", marks=pytest.mark.thorough), ("Sail", "sail")],
)
def test_an_engine_answers_every_view_as_duckdb_does(name, engine, mixed, monkeypatch):
    # few rows: Java's second compiler, for what runs long, and more threads that collect cost half of the time
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
    if name == "Spark" and shutil.which("java") is None:
        pytest.skip("no Java 17 on the PATH (Debian: apt-get install openjdk-17-jre-headless)")
    if (python := BENCHMARK["interpreter"](name)) is None:
        pytest.skip(f"no {name} in build/reading: `make spark` installs it")
    found = BENCHMARK["ask"](python, engine, [SAMPLE, mixed], VIEWS)["answers"]
    for data in (SAMPLE, mixed):
        with jacdb.open(data) as opened:
            for view in VIEWS:
                answer, expected = found[str(data)]["views"][view], opened.fetch(opened.view(view)).rows()
                assert "error" not in answer, f"{view}: {answer['error']}"
                assert len(answer["rows"]) == len(expected) > 0, f"{view} of {data}"
                for row, wanted in zip(answer["rows"], expected, strict=True):
                    assert BENCHMARK["same"](row, wanted), f"{view} of {data}: {row}, and in DuckDB {wanted}"


def test_statements_are_of_the_tables_and_of_what_builds_on_them():
    texts = spark.statements(SAMPLE, "CheetahRun")
    made = [text.split("temporary view ")[1].split()[0] for text in texts]
    assert {*queries.TABLES, *queries.SPARK} <= {*made} and len(made) == len({*made})
    told = call_jacdb("spark-views", "--data", SAMPLE, "--env", "CheetahRun")
    assert (told.returncode, told.stdout) == (0, "".join(f"{text};\n" for text in texts))
    assert f"path '{SAMPLE}/steps'" in told.stdout and "environment in ('CheetahRun')" in told.stdout


@pytest.mark.slow
def test_steps_are_joined_with_episodes_where_some_of_a_run_do_not_count_yet_and_nowhere_else(mixed):
    texts = "\n".join(spark.statements(mixed))
    assert texts.count("environment = 'Stopped' and run = 'run-a'") == 2 and texts.count("semi join stored_ep") == 1
    assert texts.index("view stored_episodes") < texts.index("view stored_steps")
    others = spark.statements(SAMPLE) + spark.statements(mixed, "Busy")
    assert not any("semi join stored_ep" in text for text in others)


@pytest.mark.slow
def test_matrices_have_the_type_that_the_files_have(mixed):
    def types(data):
        return next(text for text in spark.statements(data) if "`j_state`" in text)

    assert "`j_state` array<array<float>>" in types(SAMPLE)
    assert "`j_state` array<array<double>>" in types(mixed)


def test_a_folder_that_spark_would_read_as_a_pattern_is_refused(tmp_path):
    shutil.copytree(SAMPLE, tmp_path / "a[b]")
    with pytest.raises(UsageError, match="brackets"):
        spark.statements(tmp_path / "a[b]")
    with pytest.raises(UsageError, match="jacdb upgrade"):
        spark.statements(ROOT / "tests" / "frozen" / "v1")


def test_answers_count_as_the_same_to_the_twelfth_digit():
    """What the comparison above would let through."""
    same = BENCHMARK["same"]
    assert same([1, 0.1 + 0.2, ["a"], None], (1, 0.3, ["a"], None))
    assert not same([0.3 + 1e-10], [0.3]) and not same([None], [0.0]) and not same([1], [1, 2])
    assert not same([math.nan], [1.0])
