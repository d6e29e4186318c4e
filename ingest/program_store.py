"""Compiled programs, kept from one process to the next, so that nothing is traced or compiled twice.

A program is found by what it is made of, its ingredients, without being traced. Where these have no program yet, it is
traced, and found by its text: line breaks in jacdb's own code, or another policy that acts alike, compile nothing.
"""

import functools
import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from jax.stages import Compiled, Lowered

from jacdb import schemas, tangent, user_cache
from jacdb.ingest.compat import jax as jax_private

_CONFIGURED = (
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_threefry_partitionable",
    "jax_debug_nans",
    "jax_disable_most_optimizations",
    "jax_optimization_level",
)


class ProgramStore:
    """Compiled programs in a folder, of which this user is the owner: they are code.

    A damaged entry counts as none. A folder that can't be read or written to holds nothing, which is no failure.
    """

    def __init__(self, folder: Path) -> None:
        self._entries = jax_private.HealingCache(folder)

    @classmethod
    def of_user(cls) -> "ProgramStore":
        """Return the store in the user's cache folder."""
        return cls(user_cache.folder() / "programs")

    def find(self, ingredients: Mapping[str, Any]) -> Compiled | None:
        """Return the program that is made of these ingredients; None if there is none."""
        key = self._entries.get(_digest({**ingredients, **_surroundings()}))
        return self._load(key.decode("ascii", "replace")) if key else None

    def compile(
        self,
        ingredients: Mapping[str, Any] | None,
        lowered: Lowered,
        options: dict[str, bool | int | str] | None = None,
    ) -> Compiled:
        """Return a program, compiled if there is none of its text, and keep it.

        Args:
            ingredients: what it is made of; None if no facts say so.
            options: of the compiler.
        """
        text = _digest({"text": jax_private.text_of(lowered), "options": options, **_machine()})
        compiled = self._load(text)
        if compiled is None:
            compiled = jax_private.compile_anew(lowered, options)
            self._entries.put(text, jax_private.to_bytes(compiled))
        if ingredients is not None:
            self._entries.put(_digest({**ingredients, **_surroundings()}), text.encode())
        return compiled

    def _load(self, key: str) -> Compiled | None:
        content = self._entries.get(key)
        if content is None:
            return None
        try:
            return jax_private.from_bytes(content)
        except Exception:  # whatever another version of Python or of a package makes of it: it is compiled anew
            return None


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(facts, sort_keys=True, default=str).encode(), digest_size=20).hexdigest()


def _surroundings() -> dict[str, Any]:
    """Return what a traced program depends on, beside what it is made of."""
    return {**_machine(), "source": _source()}


@functools.cache
def _machine() -> dict[str, Any]:
    """Return what compiled code depends on, beside its text."""
    devices, settings = jax.devices(), jax.config.values  # some are no attributes of jax.config
    return {
        "devices": [device.device_kind for device in devices],
        "platform": devices[0].client.platform_version,
        "processor": _processor(),
        "flags": jax_private.xla_flags(),
        "config": {name: settings.get(name) for name in _CONFIGURED},
    }


def _processor() -> list[str]:
    """Return what this machine's instructions are; code for others would end the process."""
    facts = [platform.machine(), platform.processor()]
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return facts
    return facts + [next((line for line in lines if line.startswith(name)), "") for name in ("flags", "Features")]


@functools.cache
def _source() -> str:
    """Return a hash of the code that traces programs."""
    rooms = Path(__file__).parent, Path(schemas.__file__).parent
    files = [*(path for room in rooms for path in room.rglob("*.py")), Path(tangent.__file__)]
    digest = hashlib.blake2b(digest_size=20)
    for path in sorted(files):
        digest.update(path.read_bytes())
    return digest.hexdigest()
