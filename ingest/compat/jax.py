"""Take from JAX what is beside its public names: programs as data, and a compilation cache whose entries heal.

JAX shows ``jax.extend`` and ``jax.interpreters``, and promises of neither that they stay as they are.
"""

import contextlib
import hashlib
from pathlib import Path

import jax
from jax._src import compilation_cache
from jax._src.compilation_cache_interface import CacheInterface
from jax.extend.core import Jaxpr, jaxpr_as_fun
from jax.interpreters import partial_eval

from jacdb.atomic_file import draft_of

WRITTEN_AGAINST = {"jax": "0.12.0.1"}

as_function = jaxpr_as_fun


def inputs_read(program: Jaxpr, outputs: list[bool]) -> list[bool]:
    """Return of each input of a program whether the outputs that are asked for depend on it.

    An input of a loop counts if any turn of the loop reads it.

    Args:
        outputs: of each output, whether it is asked for.
    """
    _, read = partial_eval.dce_jaxpr(program.jaxpr, outputs)
    return read


class HealingCache(CacheInterface):
    """JAX's folder of compiled programs, each with its checksum beside it; a damaged one is compiled anew and replaced.

    JAX itself never replaces an entry: it would warn of a damaged one, and compile that program, in every process. And
    what is loaded from a damaged one is code. A folder that can't be read or written to is no cache, and no failure.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder

    def get(self, key: str) -> bytes | None:
        """Return an entry; None if there is none, or no whole one."""
        entry, checksum = self._files(key)
        with contextlib.suppress(OSError):
            value = entry.read_bytes()
            if _is_whole(value, checksum):
                return value
            entry.unlink(missing_ok=True)
            checksum.unlink(missing_ok=True)
        return None

    def put(self, key: str, value: bytes) -> None:
        """Write an entry, whole or not at all."""
        with contextlib.suppress(OSError):
            self._path.mkdir(parents=True, exist_ok=True)
            written = zip(self._files(key), (value, hashlib.sha256(value).digest()), strict=True)
            for path, content in written:
                with draft_of(path) as draft:
                    draft.write_bytes(content)
                    draft.replace(path)

    def _files(self, key: str) -> tuple[Path, Path]:
        return self._path / f"{key}-cache", self._path / f"{key}-sha256"


def _is_whole(value: bytes, checksum: Path) -> bool:
    """Return whether an entry is as it was written; of one that JAX wrote by itself, whether it can be decompressed."""
    if checksum.exists():
        return hashlib.sha256(value).digest() == checksum.read_bytes()
    try:
        compilation_cache.decompress_executable(value)
    except Exception:  # zlib's or zstandard's own
        return False
    return True


def heal_compilation_cache() -> None:
    """Have JAX use a :class:`HealingCache` in its folder of compiled programs. Before anything is compiled.

    A bounded cache, one that verifies its contents, and one that is no folder stay JAX's own.
    """
    given = compilation_cache.get_file_cache

    def get_file_cache(path: str) -> tuple[CacheInterface, str] | None:
        bounded = jax.config.jax_compilation_cache_max_size != -1
        if bounded or jax.config.jax_compilation_cache_check_contents or "://" in path:
            return given(path)
        return HealingCache(Path(path)), path

    compilation_cache.get_file_cache = get_file_cache
