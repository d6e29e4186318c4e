"""Run the code of docs/reading.md, each engine in an environment of its own, and write the page's matrix.

    python docs/reading_matrix.py [ENGINE …] [--data DIR] [--venvs DIR]

Every section of the page that installs something is an engine: its `sh` block says what pip installs, its `python`
block defines `read`, `rows_and_sum` and `ones`. Nothing of jacdb is imported: the matrix says what the files say. The
environments take 3 GB and are kept; Spark needs Java 17 on the PATH. With engines named, the page is left as it is.
"""

import argparse
import hashlib
import json
import re
import shlex
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reading.md"
BEGIN, END = "<!-- the matrix: written by docs/reading_matrix.py -->", "<!-- the end of the matrix -->"
# The column of each table that is added up; of words, the bits that are 1.
COLUMNS = {
    "steps": "n_zero_state",
    "patterns": "zero_state_words",
    "episodes": "n_steps",
    "axes": "index",
    "runs": "n_rows",
}
KEYS = ("environment", "run")

# What runs in an engine's environment: the page's code, once a table.
ASK = """
import importlib.metadata, json, sys
code, data, columns, packages, out = json.loads(sys.argv[1])
names = {"data": data}
exec(code, names)
tables = {}
for table, column in columns.items():
    words = table == "patterns"
    rows, total = names["rows_and_sum"](table, "d_state" if words else column)
    tables[table] = [int(rows), int(names["ones"](column) if words else total)]
frame = names["read"]("axes")
lists = [found for name in ("column_names", "columns") if isinstance(found := getattr(frame, name, None), list)]
columns = lists[0] if lists else frame.schema().names if hasattr(frame, "schema") else list(frame)
versions = {package: importlib.metadata.version(package) for package in packages}
with open(out, "w") as stream:
    json.dump({"tables": tables, "columns": list(columns), "versions": versions}, stream)
"""


@dataclass(frozen=True)
class Engine:
    """An engine as the page has it: its heading, what pip installs (the engine first), and its code."""

    name: str
    requirements: tuple[str, ...]
    code: str

    @property
    def packages(self) -> list[str]:
        """The names of its packages, without their versions."""
        return [requirement.split("==")[0] for requirement in self.requirements]


def engines(page: str) -> list[Engine]:
    """Return the engines of the page, in its order."""
    found = []
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        install = re.search(r"^```sh\npip install (.*?)$", section, re.MULTILINE)
        code = re.search(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
        if install and code:
            found.append(Engine(section.partition("\n")[0], tuple(shlex.split(install[1])), code[1]))
    return found


def ask(engine: Engine, python: Path, data: Path) -> dict[str, Any]:
    """Return what an engine says of the tables: rows and sum of each, the columns of `axes`, and versions.

    Args:
        engine: whose code is run.
        python: the interpreter that has it.
        data: the dataset's folder.

    Raises:
        SystemExit: the code failed; its last words are in the message.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "answer.json"
        question = json.dumps([engine.code, str(data), COLUMNS, engine.packages, str(out)])
        script = Path(folder) / "ask.py"  # Sail does not start from `python -c`
        script.write_text(ASK)
        ran = subprocess.run([str(python), str(script), question], capture_output=True, text=True, cwd=folder)
        if ran.returncode or not out.exists():
            raise SystemExit(f"{engine.name} failed:\n{ran.stderr[-3000:]}")
        return dict(json.loads(out.read_text()))


def place(engine: Engine, venvs: Path) -> Path:
    """Return the folder of an environment that has the engine; a file `ready` is in it when it is whole."""
    key = hashlib.sha256(repr((engine.requirements, sys.version)).encode()).hexdigest()[:10]
    return venvs / f"{engine.name.lower().replace(' ', '-')}-{key}"


def environment(engine: Engine, venvs: Path) -> Path:
    """Return the interpreter of an environment that has the engine; it is made when it is not there."""
    folder = place(engine, venvs)
    ready = folder / "ready"
    if not ready.exists():
        print(f"{engine.name}: pip install {' '.join(engine.requirements)}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, *engine.requirements], check=True)
        ready.touch()
    return folder / "bin" / "python"


def matrix(answers: dict[str, dict[str, Any]]) -> str:
    """Return the matrix as Markdown: a row an engine; in each table's cell its rows and its sum."""
    heads = [f"{table}: rows, {'bits of ' if table == 'patterns' else ''}{column}" for table, column in COLUMNS.items()]
    lines = [f"| engine | {' | '.join(heads)} | keys |", "|---" * (len(heads) + 2) + "|"]
    for name, answer in answers.items():
        package, version = next(iter(answer["versions"].items()))
        cells = [f"{rows}, {total}" for rows, total in answer["tables"].values()]
        keys = ", ".join(key for key in KEYS if key in answer["columns"]) or "none"
        label = f"{name} {version}" if package.lower() == name.lower() else f"{name} ({package} {version})"
        lines.append(f"| {label} | {' | '.join(cells)} | {keys} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help="a heading of the page; all of them if none")
    parser.add_argument("--data", type=Path, default=ROOT / "datasets" / "sample", help="the dataset's folder")
    parser.add_argument("--venvs", type=Path, default=ROOT / "build" / "reading", help="where environments are kept")
    options = parser.parse_args()
    page = PAGE.read_text()
    known = engines(page)
    if unknown := {name for name in options.engines if name not in [engine.name for engine in known]}:
        parser.error(f"{', '.join(sorted(unknown))}: not on the page; it has {', '.join(e.name for e in known)}")
    asked = [engine for engine in known if not options.engines or engine.name in options.engines]
    answers = {}
    for engine in asked:
        answers[engine.name] = ask(engine, environment(engine, options.venvs.resolve()), options.data.resolve())
        print(engine.name, answers[engine.name]["tables"], file=sys.stderr)
    table = matrix(answers)
    print(table)
    if len({json.dumps(answer["tables"]) for answer in answers.values()}) != 1:
        print("they differ: the page is left as it is", file=sys.stderr)
        return 1
    if asked == known and options.data == parser.get_default("data"):
        before, rest = page.split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
