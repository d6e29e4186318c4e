"""House rules that a machine can hold: private names in one place, short files, docstrings that open plainly."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from conftest import ROOT

FOLDERS = ("jacdb", "ingest", "queries", "schemas", "benchmarks")
LINES_OF_A_FILE, LINES_OF_A_FUNCTION = 400, 60
# Path or path:function -> why it may be longer
LONG: dict[str, str] = {}
TELEGRAM = re.compile(r"(Of|The same|With|What|Whether)\b")


def sources() -> list[Path]:
    """Every Python file of the folders, once: links are other names of files."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *FOLDERS],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [ROOT / name for name in listed.stdout.split() if name.endswith(".py") and (ROOT / name).is_file()]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def is_private(node: ast.AST) -> bool:
    """Whether a piece of code reaches behind the public names of MJX, Playground or Brax."""
    if isinstance(node, ast.ImportFrom):
        return "_src" in (node.module or "").split(".") or any(alias.name == "_src" for alias in node.names)
    if isinstance(node, ast.Import):
        return any("_src" in alias.name.split(".") for alias in node.names)
    return isinstance(node, ast.Attribute) and node.attr == "_impl"


def test_private_names_of_mjx_playground_and_brax_stand_in_compat_alone():
    outside = [path for path in sources() if path.parent != ROOT / "ingest" / "compat"]
    found = [
        f"{name_of(path)}:{node.lineno}" for path in outside for node in ast.walk(ast.parse(path.read_text()))
        if is_private(node)
    ]  # fmt: skip
    assert not found, f"give them a name in ingest/compat: {found}"


def test_functions_and_files_stay_short():
    long = set()
    for path in sources():
        if len(path.read_text().splitlines()) > LINES_OF_A_FILE:
            long.add(name_of(path))
        for function in functions(path):
            if function.end_lineno - function.lineno + 1 > LINES_OF_A_FUNCTION:
                long.add(f"{name_of(path)}:{function.name}")
    assert long == LONG.keys(), "split them by idea, or say in LONG why not; and take out of it what is short by now"


def is_overload(node: ast.AST) -> bool:
    return any(getattr(decorator, "id", "") == "overload" for decorator in getattr(node, "decorator_list", ()))


def test_public_functions_and_classes_say_what_they_are():
    silent = []
    for path in sources():
        tree = ast.parse(path.read_text())
        for node in [tree, *(node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef))]:
            name = getattr(node, "name", "")
            if name.startswith("_") or is_overload(node) or path.parent.name == "benchmarks":
                continue
            if ast.get_docstring(node) is None:
                silent.append(f"{name_of(path)}:{name}")
    assert not silent, f"without a docstring: {silent}"


def test_docstrings_open_with_a_verb_or_say_what_an_instance_is():
    telegrams = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            said = ast.get_docstring(node) or ""
            if TELEGRAM.match(said):
                telegrams.append(f"{name_of(path)}:{getattr(node, 'name', '')}: {said.splitlines()[0]}")
    assert not telegrams, "say it in a plain sentence:\n" + "\n".join(telegrams)
