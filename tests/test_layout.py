"""House rules that a machine can hold: private names in one place, short files, docstrings that open plainly."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from conftest import ROOT

FOLDERS = ("jacdb", "ingest", "queries", "schemas", "benchmarks")
LINES_OF_A_FILE, LINES_OF_A_FUNCTION = 400, 60
# Path or path:function -> why it may be longer
LONG: dict[str, str] = {}
# Modules that people import who have more than the bare package, as their docstrings say
WITH_EXTRAS = ("ingest/", "jacdb/learning/", "jacdb/dataset/torch_batches.py", "benchmarks/")
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


def imported_with(body: list[ast.stmt]) -> Iterator[str]:
    """The packages that are imported as soon as a module is: not those for type checkers, nor within a function."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            yield from imported_with(node.body + node.orelse)
        elif isinstance(node, ast.Try | ast.With | ast.ClassDef):
            yield from imported_with(node.body)


def test_the_bare_package_imports_what_it_depends_on_alone():
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    bare = {re.match(r"[\w-]+", one)[0].replace("-py", "").replace("-", "_") for one in required}
    known = {"jacdb", *sys.stdlib_module_names, *(bare - {"pyyaml"}), "yaml"}
    more = {
        f"{name_of(path)}: {package}" for path in sources() if not name_of(path).startswith(WITH_EXTRAS)
        for package in imported_with(ast.parse(path.read_text()).body) if package not in known
    }  # fmt: skip
    assert not more, f"import it where it is used, or without it: {more}"


def test_files_of_text_are_read_and_written_in_a_named_encoding():
    """The system's may be another, and can't read what this package wrote in UTF-8."""
    unnamed = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and path.parent.name != "benchmarks":
                least = {"read_text": 1, "write_text": 2}.get(node.func.attr, 0)
                if len(node.args) < least and not any(word.arg == "encoding" for word in node.keywords):
                    unnamed.append(f"{name_of(path)}:{node.lineno}")
    assert not unnamed, f"say which, 'utf-8': {unnamed}"
