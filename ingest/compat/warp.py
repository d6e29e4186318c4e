"""Import MJX without NVIDIA Warp: jacdb runs MJX's JAX implementation alone, and Warp takes half of MJX's import.

MJX tries to import Warp, and does without where there is none; for the while of its import there is none.
"""

import contextlib
import importlib.machinery
import io
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

WRITTEN_AGAINST = {"mujoco-mjx": "3.17.0"}
_MJX = "mujoco.mjx"
_WARP = ("warp", "mujoco.mjx.third_party.mujoco_warp")


class _Finder(MetaPathFinder):
    """Finds MJX, and has it imported without Warp."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != _MJX:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or not isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            return spec
        spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        with _absent(_WARP):
            super().exec_module(module)


@contextlib.contextmanager
def _absent(names: Sequence[str]) -> Iterator[None]:
    """Let the import of these modules fail, unless they are imported already; MJX prints that it did."""
    missing = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(missing))  # type: ignore[arg-type]  # None halts an import
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for name in missing:
            sys.modules.pop(name, None)


def leave_out() -> None:
    """Have MJX, where it is not imported yet, be imported without Warp."""
    if _MJX not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
