"""Take from JAX what is beside its public names: programs as data, compiled ones as bytes, and a cache that heals.

JAX shows ``jax.extend`` and ``jax.interpreters``, and promises of neither that they stay as they are.
"""

import contextlib
import functools
import hashlib
import os
import pickle
import re
import threading
from pathlib import Path

import jax
from jax._src import compilation_cache, xla_bridge
from jax._src.compilation_cache_interface import CacheInterface
from jax.experimental import serialize_executable
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun  # type: ignore[attr-defined]  # re-exported without __all__
from jax.interpreters import partial_eval
from jax.stages import Compiled, Lowered
from jaxlib import lapack

from jacdb.atomic_file import draft_of

WRITTEN_AGAINST = {"jax": "0.12.0.1"}

as_function = jaxpr_as_fun
has_started = xla_bridge.backends_are_initialized
# Of an object that prints as Python's own do, and prints otherwise in every process: MJX's static arrays are among them
# (findings/mjx_structure_is_no_cache_key.sh).
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def without_unread(program: ClosedJaxpr, outputs: list[bool]) -> tuple[ClosedJaxpr, list[bool]]:
    """Return a program that computes some of a program's outputs alone, and which of its inputs it takes.

    An input of a loop counts if any turn of the loop reads it.

    Args:
        outputs: of each output, whether it is asked for.
    """
    less, read = partial_eval.dce_jaxpr(program.jaxpr, outputs)
    return ClosedJaxpr(less, program.consts), read


@functools.cache
def xla_flags() -> str:
    """Return the XLA_FLAGS that JAX's backend read as it started; it reads them once. Starts it if it does not run."""
    jax.devices()
    return os.environ.get("XLA_FLAGS", "")


_compiling = threading.local()  # .anew: whether this thread compiles what is to be kept as bytes


def compile_anew(lowered: Lowered, options: dict[str, bool | int | str] | None = None) -> Compiled:
    """Compile a program, not taking it from JAX's cache: what comes from there can't be written as bytes."""
    _compiling.anew = True
    try:
        return lowered.compile(compiler_options=options)
    finally:
        _compiling.anew = False


def to_bytes(compiled: Compiled) -> bytes:
    """Return a compiled program as bytes; it has not been called yet."""
    devices = {device.id for sharding in jax.tree.leaves(compiled.output_shardings) for device in sharding.device_set}
    return pickle.dumps((*serialize_executable.serialize(compiled), sorted(devices)))


def from_bytes(content: bytes) -> Compiled:
    """Return a program that :func:`to_bytes` wrote, for the devices of the numbers that it was compiled for.

    It is code, and runs: the bytes must be this user's own.
    """
    # Compiled code calls LAPACK by addresses that jaxlib fills in when it is first traced.
    lapack._lapack.initialize()  # type: ignore[attr-defined]
    program, inputs, outputs, numbers = pickle.loads(content)
    devices = {device.id: device for device in jax.devices()}
    return serialize_executable.deserialize_and_load(
        program, inputs, outputs, execution_devices=[devices[number] for number in numbers]
    )


def text_of(lowered: Lowered) -> str:
    """Return all of a program that decides what it is compiled to, and not where its lines come from.

    The program itself has no word of what holds no array: one that takes (x, None) reads as one that takes (x, {}).
    """
    trees = _ADDRESS.sub("", f"{lowered.in_tree} {lowered.out_tree}")
    return f"{trees}\n{lowered.as_text()}"


class HealingCache(CacheInterface):
    """JAX's folder of compiled programs, each with its checksum beside it; a damaged one is compiled anew and replaced.

    JAX itself never replaces an entry: it would warn of a damaged one, and compile that program, in every process. And
    what is loaded from a damaged one is code. A folder that can't be read or written to is no cache, and no failure.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder

    def get(self, key: str) -> bytes | None:
        """Return an entry; None if there is none, or no whole one."""
        if getattr(_compiling, "anew", False):
            return None
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
        if getattr(_compiling, "anew", False):
            return
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
    compilation_cache.get_file_cache = _get_file_cache


_given = compilation_cache.get_file_cache


def _get_file_cache(path: str) -> tuple[CacheInterface, str] | None:
    bounded = jax.config.jax_compilation_cache_max_size != -1
    if bounded or jax.config.jax_compilation_cache_check_contents or "://" in path:
        return _given(path)
    return HealingCache(Path(path)), path
