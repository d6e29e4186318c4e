"""Are the views of Spark and Sail DuckDB's, and how long does each take, on a million steps?

    make spark; python benchmarks/spark.py [--steps N] [--data DIR]

The rows are the sample's CheetahRun steps, written under other run ids and episode numbers. DuckDB answers from steps,
as the others do: these runs keep no partial statistics. Prints a row of docs/scale.md's table for each view.
"""

import argparse
import json
import math
import runpy
import site
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import jacdb
from jacdb import queries

ROOT = Path(__file__).parent.parent
READING = runpy.run_path(str(ROOT / "docs" / "reading_matrix.py"))
ENGINES = {engine.name: engine for engine in READING["engines"](READING["PAGE"].read_text())}
VIEWS = [name for name in queries.SPARK if name in queries.STATISTICS]
EPISODES = 25  # how many times the sample's four are in a run of the million


def interpreter(name: str) -> Path | None:
    """Return the interpreter that has Spark or Sail, if `make spark` made one."""
    folder: Path = READING["place"](ENGINES[name], ROOT / "build" / "reading")
    return folder / "bin" / "python" if (folder / "ready").exists() else None


def ask(python: Path, engine: str, data: list[Path], views: list[str]) -> dict[str, Any]:
    """Return what an engine answers: its version and, of each folder, the views' rows and seconds, or errors.

    Args:
        python: an interpreter that has it.
        engine: sail, or Spark's master.
        data: folders of datasets.
        views: their names.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "answers.json"
        question = {"engine": engine, "data": [str(one) for one in data], "views": views, "out": str(out)}
        question["paths"] = [str(ROOT), *site.getsitepackages()]
        script = [str(python), str(ROOT / "benchmarks" / "spark_session.py"), json.dumps(question)]
        ran = subprocess.run(script, capture_output=True, text=True, cwd=folder)
        if ran.returncode:
            raise SystemExit(f"{engine} failed:\n{ran.stderr[-3000:]}")
        return dict(json.loads(out.read_text()))


def same(one: Any, other: Any) -> bool:
    """Return whether two answers are equal: numbers to a relative 1e-12, as sums are added up in any order."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-12)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def grow(root: Path, steps: int) -> None:
    """Write the sample's CheetahRun steps so many times that there are at least so many."""
    [run] = (ROOT / "datasets/sample/runs/environment=CheetahRun").glob("run=*")
    tables = {}
    for table in queries.TABLES:
        [part] = (ROOT / "datasets/sample" / table / "environment=CheetahRun" / run.name).glob("*.parquet")
        tables[table] = pq.ParquetFile(part).read()
    for table in ("steps", "episodes"):
        rows = tables[table]
        place, episodes = rows.schema.get_field_index("episode"), rows["episode"].to_numpy()
        shifted = [pa.array(episodes + 4 * turn, pa.int32()) for turn in range(EPISODES)]
        field = rows.schema.field(place)
        tables[table] = pa.concat_tables([rows.set_column(place, field, episode) for episode in shifted])
    for number in range(math.ceil(steps / tables["steps"].num_rows)):
        for table, rows in tables.items():
            place, run_id = rows.schema.get_field_index("run_id"), f"repeated-{number:04}"
            column = pa.array([run_id] * rows.num_rows)
            folder = root / table / "environment=CheetahRun" / f"run={run_id}"
            folder.mkdir(parents=True)
            written = rows.set_column(place, rows.schema.field(place), column)
            pq.write_table(written, folder / "part-00000.parquet", compression="zstd", use_dictionary=["run_id", "env"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--data", type=Path, help="a folder to keep the rows in, or that has them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = (options.data or Path(folder) / "grown").resolve()
        if not data.exists():
            grow(data, options.steps)
        columns: dict[str, dict[str, str]] = {"DuckDB": {}}
        expected = {}
        with jacdb.open(data) as dataset:
            for view in VIEWS:
                start = time.perf_counter()
                expected[view] = dataset.fetch(dataset.view(view)).rows()
                columns["DuckDB"][view] = f"{time.perf_counter() - start:.1f} s"
        for name, engine in (("Spark", "local[2]"), ("Sail", "sail")):
            python = interpreter(name)
            if python is None:
                print(f"no {name}: `make spark` installs it", file=sys.stderr)
                continue
            found = ask(python, engine, [data], VIEWS)
            answers = found["answers"][str(data)]
            print(f"{name} {found['version']}: registered in {answers['register']:.1f} s", file=sys.stderr)
            columns[name] = {view: _cell(answers["views"][view], expected[view]) for view in VIEWS}
    print(f"| view | {' | '.join(columns)} |\n|{'---|' * (1 + len(columns))}")
    for view in VIEWS:
        print(f"| {view} | {' | '.join(column[view] for column in columns.values())} |")


def _cell(answer: dict[str, Any], expected: list[tuple[Any, ...]]) -> str:
    if "error" in answer:
        return str(answer["error"]).splitlines()[0]
    return f"{answer['seconds']:.1f} s{'' if same(answer['rows'], expected) else ', another answer'}"


if __name__ == "__main__":
    main()
