"""A mapping file: which columns of a recording are which part of the state, in which unit.

TOML, say for a LeRobot dataset of an arm that was recorded in degrees::

    fps = 50                                # frames a second; LeRobot's own says it
    n_substeps = 10                         # physics steps between two rows; by default as fps and timestep say

    [qpos]
    column = "observation.state"
    entries = ["shoulder.pos", "elbow.pos"] # by the dataset's names, or by number from 0; all by default
    unit = "deg"                            # rad by default

    [[qvel]]                                # parts one after the other
    column = "observation.velocity"
    entries = [0]
    [[qvel]]
    column = "elbow_velocity"

    [ctrl]
    column = "action"
    scale = 0.01                            # number = scale * (column + offset), in float64
    offset = -50

What it does not name is taken from a column of its own name, if there is one.
"""

import itertools
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from jacdb.errors import UsageError, first_line, suggestion
from jacdb.ingest.sources.recordings.recording import precision
from jacdb.ingest.sources.trajectory import check_substeps

FIELDS = ("qpos", "qvel", "act", "ctrl", "episode", "reward", "done", "warmstart", "mocap_pos", "mocap_quat")
SETTINGS = ("fps", "n_substeps")
UNITS = {"rad": 1.0, "deg": math.pi / 180, "m": 1.0, "mm": 1e-3, "cm": 1e-2}
KEYS = ("column", "entries", "unit", "scale", "offset")
LARGEST = 1e300  # a number in TOML may be infinite, or a whole number that no float holds


@dataclass(frozen=True)
class Part:
    """A column or some of its entries: ``scale * (entries + offset)``."""

    column: str
    entries: tuple[int | str, ...] | None = None
    scale: float = 1.0
    offset: float = 0.0

    @property
    def unchanged(self) -> bool:
        return self.entries is None and self.scale == 1 and self.offset == 0


@dataclass(frozen=True)
class Mapped:
    """The content of a mapping file.

    Attributes:
        fields: parts, in their order, by the attribute of Trajectory, and ``episode``.
        named: those that the file itself names; a column that one of them needs must be there.
        fps: rows a second; None if it does not say.
        n_substeps: physics steps between two rows; None if it does not say.
        entry_names: names of a column's entries, where the recording has them.
    """

    fields: Mapping[str, tuple[Part, ...]]
    named: frozenset[str] = frozenset()
    fps: float | None = None
    n_substeps: int | None = None
    entry_names: Mapping[str, list[str]] = field(default_factory=dict)

    def said(self, columns: Mapping[str, np.ndarray]) -> dict[str, list[dict[str, Any]]]:
        """Return what it says beyond :func:`identity`, in one form for one meaning: it is part of a run's name.

        Units are in the scale and entries are numbers. Rows a second and physics steps are not in it: a run's name has
        the number of physics steps itself.

        Args:
            columns: those that there are, to which it has been applied.
        """
        own = identity().fields
        parts = {name: self._joined(parts, columns) for name, parts in self.fields.items() if parts != own.get(name)}
        return {name: [_part_said(part) for part in each] for name, each in parts.items() if each != own.get(name)}

    def _joined(self, parts: tuple[Part, ...], columns: Mapping[str, np.ndarray]) -> tuple[Part, ...]:
        """Return parts of one column that follow each other as one; all entries in their order as None."""
        joined: list[Part] = []
        for part in parts:
            column = columns.get(part.column)
            if column is None:  # of a field that is not there
                return parts
            width = column.shape[-1] if column.ndim > 1 else 1
            every = tuple(range(width))
            entries: tuple[int | str, ...] = every
            if part.entries is not None:
                entries = tuple(self._entries(part.column, part, width))
            if joined and replace(joined[-1], entries=part.entries) == part:
                entries = (joined.pop().entries or every) + entries
            joined.append(replace(part, entries=None if entries == every else entries))
        return tuple(joined)

    def precision(self, columns: Mapping[str, np.ndarray]) -> np.dtype:
        """Return the shortest type of floating-point number among the columns of positions, velocities, activations."""
        parts = itertools.chain.from_iterable(self.fields.get(name, ()) for name in ("qpos", "qvel", "act"))
        types = (columns[part.column].dtype for part in parts if part.column in columns)
        return precision(types)

    def apply(self, columns: Mapping[str, np.ndarray], where: str, needed: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Return the arrays by Trajectory's names.

        Args:
            columns: those that there are.
            where: what messages call the recording.
            needed: fields without which there is no trajectory.

        Raises:
            UsageError: a column or an entry is missing, or is no number.
        """
        arrays = {}
        in_use = {part.column for parts in self.fields.values() for part in parts}
        for name, parts in self.fields.items():
            missing = [part.column for part in parts if part.column not in columns]
            if missing and name not in self.named and name not in needed:
                continue
            if missing:
                what = f"no column {missing[0]}" + (f" for {name}" if missing[0] != name else "")
                known = suggestion(missing[0], columns, in_use)
                raise UsageError(f"{where}: {what}: {known}; --mapping says which is which")
            arrays[name] = self._field(where, [(part, columns[part.column]) for part in parts])
        return arrays

    def _field(self, where: str, parts: list[tuple[Part, np.ndarray]]) -> np.ndarray:
        """Return the parts one after the other; a column as it is keeps its shape and type."""
        if len(parts) == 1 and parts[0][0].unchanged:
            return parts[0][1]
        arrays: list[np.ndarray] = []
        for part, column in parts:
            if column.dtype.kind not in "fiub":
                raise UsageError(f"{where}: column {part.column} is of type {column.dtype}: give one of numbers")
            rows = column[:, None] if column.ndim == 1 else column
            taken = rows if part.entries is None else rows[..., self._entries(where, part, rows.shape[-1])]
            if part.scale != 1 or part.offset != 0:
                taken = part.scale * (taken.astype(np.float64) + part.offset)
            if arrays and taken.shape[:-1] != arrays[0].shape[:-1]:
                sizes = f"{len(column)} rows of {part.column} to {len(arrays[0])} of {parts[0][0].column}"
                raise UsageError(f"{where}: {sizes}: parts that follow each other have the same rows")
            arrays.append(taken)
        return np.concatenate(arrays, axis=-1)

    def _entries(self, where: str, part: Part, width: int) -> list[int]:
        """Return the numbers of a column's entries."""
        names = self.entry_names.get(part.column, [])
        numbers = []
        for entry in part.entries or ():
            if isinstance(entry, str) and entry not in names:
                known = suggestion(entry, names) if names else "it has no names; give numbers from 0"
                raise UsageError(f"{where}: column {part.column} has no entry {entry!r}: {known}")
            number = names.index(entry) if isinstance(entry, str) else entry
            if not 0 <= number < width:
                raise UsageError(f"{where}: column {part.column} has no entry {number}: it has 0 to {width - 1}")
            numbers.append(number)
        return numbers


def _part_said(part: Part) -> dict[str, Any]:
    """Return what differs from a column as it is."""
    every = {"column": part.column, "entries": part.entries, "scale": part.scale, "offset": part.offset}
    defaults = Part(part.column)
    return {key: value for key, value in every.items() if key == "column" or value != getattr(defaults, key)}


def identity() -> Mapped:
    """Return the mapping of columns that have the names themselves."""
    return Mapped({name: (Part(name),) for name in FIELDS})


def read(path: Path) -> Mapped:
    """Return what a mapping file says; what it does not name has a column of its own name.

    Raises:
        UsageError: there is no such file, it is no TOML, or a key or a value is none that a mapping has.
    """
    try:
        said = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"--mapping {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--mapping {path} is no TOML: {first_line(error)}") from error
    for key in said:
        if key not in FIELDS + SETTINGS:
            raise UsageError(f"--mapping {path}: unknown key {key!r}: {suggestion(key, FIELDS + SETTINGS)}")
    if "n_substeps" in said:
        check_substeps(said["n_substeps"], f"--mapping {path}: n_substeps = ")
    fields = {name: _parts(path, name, said[name]) for name in FIELDS if name in said}
    return Mapped(
        {**identity().fields, **fields},
        named=frozenset(fields),
        fps=float(fps) if (fps := _positive(path, said, "fps", (int, float))) is not None else None,
        n_substeps=said.get("n_substeps"),
    )


def _positive(path: Path, said: Mapping[str, Any], key: str, kinds: tuple[type, ...]) -> Any:
    value: Any = said.get(key)
    if value is not None and not (type(value) in kinds and 0 < value < LARGEST):
        raise UsageError(f"--mapping {path}: {key} = {value!r}: give a number above 0")
    return value


def _parts(path: Path, name: str, value: Any) -> tuple[Part, ...]:
    """Return what a field is made of: a column's name, a table, or an array of tables."""
    if value == []:
        raise UsageError(f'--mapping {path}: {name} = [] names no column: give column = "…", or leave {name} out')
    tables = value if isinstance(value, list) else [value]
    return tuple(_part(path, name, {"column": one} if isinstance(one, str) else one) for one in tables)


def _part(path: Path, name: str, table: Any) -> Part:
    column = table.get("column") if isinstance(table, dict) else None
    if not (isinstance(column, str) and column):
        raise UsageError(f'--mapping {path}: [{name}] names no column: give column = "…"')
    for key in table:
        if key not in KEYS:
            raise UsageError(f"--mapping {path}: unknown key {key!r} in [{name}]: {suggestion(key, KEYS)}")
    unit = table.get("unit", "rad")
    if not (isinstance(unit, str) and unit in UNITS):
        raise UsageError(f"--mapping {path}: unknown unit {unit!r} in [{name}]: {suggestion(str(unit), UNITS)}")
    for key in ("scale", "offset"):
        value = table.get(key, 1.0)
        if not (type(value) in (int, float) and abs(value) < LARGEST):
            raise UsageError(f"--mapping {path}: {key} = {table[key]!r} in [{name}]: give a number")
    entries = table.get("entries")
    if entries is not None and not (
        isinstance(entries, list) and entries and all(type(each) in (int, str) for each in entries)
    ):
        raise UsageError(f"--mapping {path}: entries = {entries!r} in [{name}]: give a list of numbers or names")
    scale = UNITS[unit] * table.get("scale", 1.0)
    return Part(column, tuple(entries) if entries else None, float(scale), float(table.get("offset", 0.0)))
