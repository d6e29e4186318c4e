"""Load a person's own Python file, and find what else of its folder it imports: that determines it as the file does.

A file may import what lies beside it, and if its folder is a package, through that, as `from mine.net import depth` or
`from ..net import depth`. Python keeps one module of a name: those that a file imported while it was loaded are
forgotten when the next is loaded, so that two files whose modules have one name each get their own. What functions
import when they are called is what Python has of that name by then.
"""

import ast
import functools
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

NOT_OWN = "jacdb"  # its version is kept with the results
INSTALLED = ("site-packages", "dist-packages")
_NO_PACKAGE = "attempted relative import with no known parent package"
_PREFIX = "jacdb_file_"  # of the names of files' modules


class _Beside(MetaPathFinder):
    """Finds modules in files' folders as if these were last in Python's path: nothing there hides what the path has.

    Attributes:
        folders: those of the latest file first.
        of_files: what says of modules that they are files': found here, or by others while a file was being loaded.
    """

    def __init__(self) -> None:
        self.folders: list[str] = []
        self.of_files: list[ModuleSpec] = []

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module lies; None if it is in a package, or Python's own path has it."""
        if path is not None:
            return None
        found = PathFinder.find_spec(fullname, [*sys.path, *self.folders])
        if found is None or _places(found) <= _places(PathFinder.find_spec(fullname)):
            return None
        self.of_files.append(found)
        return found


_BESIDE = _Beside()


def load(path: Path) -> ModuleType:
    """Return the module that a file defines, with what it imports read anew.

    Raises:
        Exception: whatever the file raises.
    """
    own = path.resolve().parent
    folders = _folders(own)
    _look_in(folders)
    _forget_modules()
    package = _package(own)
    # beside the module that importing it by its name gives, so that the package itself may import that
    name = ".".join([*package, f"{_PREFIX}{path.stem.replace('.', '_')}_{_hash(path.resolve())}"])
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # the name ends in .py
    module = importlib.util.module_from_spec(spec)
    before = dict(sys.modules)
    sys.modules[name] = module  # dataclasses and pickle look for it there
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if name in before:
            sys.modules[name] = before[name]
        if not isinstance(error, ImportError) or _NO_PACKAGE not in str(error):
            raise
        raise ImportError(f"{error}: {_remedy(own, package)}").with_traceback(error.__traceback__) from None
    finally:
        new = [_spec_of(one) for one in sys.modules.keys() - before.keys() if "." not in one]
        _BESIDE.of_files += [one for one in new if one is not None and _lies_in(one, folders)]
    return module


def imports(path: Path) -> dict[str, Path]:
    """Return the modules that import statements of a file name in its own folder, and those that these do, by name.

    If the folder is a package, they may also name them from the folder above its topmost package. A module of the name
    that Python finds elsewhere first, an installed one say, is what they get, and is left out. Nothing is imported, so
    what a function imports when it is called is found too.
    """
    folders, found = _folders(path.resolve().parent), dict[str, Path]()
    _look_in(folders)
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


def _remedy(own: Path, package: Sequence[str]) -> str:
    """Return what to do about a relative import of no package, of a file in a folder or of what it imports there."""
    if package:
        return f"write `from {'.'.join(package)} import NAME` of what lies beside the file"
    if words := own.relative_to(_above(own)).parts:
        return f"Python finds another module {words[0]!r}: rename the folder {_above(own) / words[0]}"
    return "write `import NAME` of what lies beside the file, or add __init__.py to make its folder a package"


def _hash(path: Path) -> str:
    """Return what tells files of one stem apart."""
    return hashlib.sha256(str(path).encode()).hexdigest()[:8]


def _is_in(name: str, folders: Sequence[Path]) -> bool:
    """Return whether what a file imports by a name without a dot, when it is loaded, lies in one of the folders."""
    if name in sys.modules and not _is_of_file(name):
        found = _spec_of(name)
    else:
        finders = (finder for finder in sys.meta_path if hasattr(finder, "find_spec"))
        found = next(filter(None, (finder.find_spec(name, None) for finder in finders)), None)
    return found is not None and _lies_in(found, folders)


def _lies_in(spec: ModuleSpec, folders: Sequence[Path]) -> bool:
    """Return whether a module without a dot in its name lies in one of the folders."""
    ats = [folder / spec.name for folder in folders]
    own = {file.resolve() for at in ats for file in (at, at / "__init__.py", at.with_suffix(".py"))}
    return not own.isdisjoint(_places(spec))


def _places(spec: ModuleSpec | None) -> set[Path]:
    """Return a module's file, or the folders of a package without one."""
    if spec is None:
        return set()
    places = [spec.origin] if spec.has_location else spec.submodule_search_locations or []
    return {Path(place).resolve() for place in places if place}


def _spec_of(name: str) -> ModuleSpec | None:
    """Return what Python knows of a module that is imported; modules that compute their attributes are not asked."""
    spec = getattr(sys.modules[name], "__dict__", {}).get("__spec__")
    return spec if isinstance(spec, ModuleSpec) else None


def _is_of_file(name: str) -> bool:
    """Return whether a module that is imported is a file's, not the program's own."""
    return any(_spec_of(name) is spec for spec in _BESIDE.of_files)


def _look_in(folders: Sequence[Path]) -> None:
    """Have Python find what lies in some folders, before what lies in those of former files."""
    latest = list(map(str, folders))
    _BESIDE.folders = [*latest, *(folder for folder in _BESIDE.folders if folder not in latest)]
    if _BESIDE not in sys.meta_path:
        # before Python's path, which may have a mere folder of that name
        at = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
        sys.meta_path.insert(at, _BESIDE)
    importlib.invalidate_caches()


def _forget_modules() -> None:
    """Forget modules of files, but not the files' own; and not those that the program imported before any file did."""
    names = {spec.name for spec in _BESIDE.of_files} & sys.modules.keys()
    of_files = set(filter(_is_of_file, names))
    for name in list(sys.modules):
        if name.partition(".")[0] in of_files and not name.rpartition(".")[2].startswith(_PREFIX):
            del sys.modules[name]
    _BESIDE.of_files.clear()


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
