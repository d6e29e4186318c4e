"""Load a person's own Python file, and find what else of its folder it imports: that determines it as the file does.

A file may import what lies beside it, and if its folder is a package, through that, as `from mine.net import depth` or
`from ..net import depth`. Python keeps one module of a name: modules of one file's folder are forgotten when the next
is loaded, so that two files whose modules have one name each get their own.
"""

import ast
import functools
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

NOT_OWN = "jacdb"  # its version is kept with the results
INSTALLED = ("site-packages", "dist-packages")
_NO_PACKAGE = "attempted relative import with no known parent package"

# Folders at the end of Python's path, those of the latest file first; of each the modules that were there before it.
_folders_in_path: dict[str, frozenset[str]] = {}


def load(path: Path) -> ModuleType:
    """Return the module that a file defines, with what it imports read anew.

    Raises:
        Exception: whatever the file raises.
    """
    folders = _folders(path.resolve().parent)
    _put_in_path(folders, anew=True)
    package = _package(path.resolve().parent)
    # beside the module that importing it by its name gives, so that the package itself may import that
    name = ".".join([*package, f"jacdb_file_{path.stem}"])
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # the name ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look for it there
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        if _NO_PACKAGE not in str(error):
            raise
        remedy = "write `import NAME` of what lies beside the file, or add __init__.py to make its folder a package"
        raise ImportError(f"{error}: {remedy}").with_traceback(error.__traceback__) from None
    return module


def imports(path: Path) -> dict[str, Path]:
    """Return the modules that import statements of a file name in its own folder, and those that these do, by name.

    If the folder is a package, they may also name them from the folder above its topmost package. A module of the name
    that Python finds elsewhere first, an installed one say, is what they get, and is left out. Nothing is imported, so
    what a function imports when it is called is found too.
    """
    folders, found = _folders(path.resolve().parent), dict[str, Path]()
    _put_in_path(folders, anew=False)
    is_own = functools.cache(lambda name: name != NOT_OWN and _is_in(name, folders))
    waiting = [(path.resolve(), ".".join(_package(path.resolve().parent)))]
    while waiting:
        file, package = waiting.pop()
        for words in _named(file, package):
            for n in range(1, len(words) + 1):
                name, places = ".".join(words[:n]), [folder.joinpath(*words[:n]) for folder in folders]
                files = (file for at in places for file in (at / "__init__.py", at.with_suffix(".py")))
                module = next((one for one in files if one.is_file()), None)
                if module is None or name in found or module == path.resolve() or not is_own(words[0]):
                    continue
                found[name] = module
                waiting.append((module, name if module.name == "__init__.py" else name.rpartition(".")[0]))
    return dict(sorted(found.items()))


def _folders(own: Path) -> list[Path]:
    """Return a file's folder, and if that is a package the folder above its topmost; not one of installed packages."""
    above = _above(own)
    return [own] if above == own or above.name in INSTALLED else [own, above]


def _above(own: Path) -> Path:
    """Return the folder above a folder's topmost package; the folder itself if it is none."""
    while (own / "__init__.py").is_file():
        own = own.parent
    return own


def _package(own: Path) -> tuple[str, ...]:
    """Return the words of a folder's name as a package; none if it is none, or Python finds another of its name."""
    above = _above(own)
    words = own.relative_to(above).parts
    return words if words and _is_in(words[0], [above]) else ()


def _is_in(name: str, folders: Sequence[Path]) -> bool:
    """Return whether what Python imports by a name without a dot lies in one of the folders."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # such as __main__, which has none
        return False
    if spec is None:
        return False
    places = [spec.origin] if spec.has_location else list(spec.submodule_search_locations or [])
    return any(_lies_in(place, name, folder) for place in places if place for folder in folders)


def _lies_in(place: str, name: str, folder: Path) -> bool:
    at = folder / name
    return Path(place).resolve() in {file.resolve() for file in (at, at / "__init__.py", at.with_suffix(".py"))}


def _put_in_path(folders: Sequence[Path], *, anew: bool) -> None:
    """Have Python look in some folders last, so that nothing there hides what else the program imports.

    Args:
        folders: the folders of a file.
        anew: whether to forget modules of them that are loaded already, as those of other files' folders are.
    """
    wanted = [folder for folder in map(str, folders) if folder in _folders_in_path or folder not in sys.path]
    if not anew and list(_folders_in_path)[: len(wanted)] == wanted:
        return
    _forget_modules()
    former = dict(_folders_in_path)
    _folders_in_path.clear()
    _folders_in_path.update({folder: former.pop(folder, frozenset(sys.modules)) for folder in wanted})
    _folders_in_path.update(former)
    sys.path[:] = [*(folder for folder in sys.path if folder not in _folders_in_path), *_folders_in_path]
    importlib.invalidate_caches()


def _forget_modules() -> None:
    """Forget modules that were imported out of files' folders; not those that the program had imported before."""
    forgotten = set()
    for folder, before in _folders_in_path.items():
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), None)
            if "." not in name and name not in before and file and _lies_in(file, name, Path(folder)):
                forgotten.add(name)
    for name in list(sys.modules):
        if name.partition(".")[0] in forgotten - {NOT_OWN}:
            del sys.modules[name]


def _named(file: Path, package: str) -> Iterator[list[str]]:
    """Yield the names of modules that a file may import, as lists of words; a file that is no Python has none."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".") if package and node.level else []
            start = above[: len(above) - node.level + 1] if node.level else []
            start += node.module.split(".") if node.module else []
            yield from ([*start, alias.name] for alias in node.names)
