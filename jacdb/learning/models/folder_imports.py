"""Find the modules of a file's own folder that it imports: they determine its model as the file does."""

import ast
from collections.abc import Iterator
from pathlib import Path

NOT_OWN = "jacdb"  # its version is kept with the results
INSTALLED = ("site-packages", "dist-packages")


def modules(path: Path) -> dict[str, Path]:
    """Return the modules that import statements of a file name in its own folder, and those that these do, by name.

    If the folder is a package, they may also name them from the folder above its topmost package. Nothing is imported,
    so what a function imports when it is called is found too.
    """
    folders, found = _folders(path.resolve().parent), dict[str, Path]()
    waiting = [(path.resolve(), "")]
    while waiting:
        file, package = waiting.pop()
        for words in _named(file, package):
            for n in range(1, len(words) + 1):
                name, places = ".".join(words[:n]), [folder.joinpath(*words[:n]) for folder in folders]
                files = (file for at in places for file in (at / "__init__.py", at.with_suffix(".py")))
                module = next((one for one in files if one.is_file()), None)
                if module is None or name in found or module == path.resolve() or words[0] == NOT_OWN:
                    continue
                found[name] = module
                waiting.append((module, name if module.name == "__init__.py" else name.rpartition(".")[0]))
    return dict(sorted(found.items()))


def _folders(own: Path) -> list[Path]:
    """Return a file's folder, and if that is a package the folder above its topmost; not one of installed packages."""
    above = own
    while (above / "__init__.py").is_file():
        above = above.parent
    return [own] if above == own or above.name in INSTALLED else [own, above]


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
