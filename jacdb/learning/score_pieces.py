"""The contents of a file of graphs, piece by piece, in one form for all files."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jacdb.errors import UsageError, first_line

SUFFIXES = (".parquet", ".npz")
LINES_AT_ONCE = 2**20  # of one number each
_LONG = ("episode", "step", "row", "col", "score")
_WIDE = ("episode", "step", "scores")
_FORMS = f"it needs {', '.join(_WIDE)}; or {', '.join(_LONG)}"


class Piece(NamedTuple):
    """Some lines of a file.

    Attributes:
        env: the environments that they name; None if they name none.
        run_id: the run of each, (n,); None if they name none.
        episode, step: of each, (n,).
        row, col: the entry of each, (n,); None if a line has all entries.
        scores: one number, (n, 1), or all numbers of a step, row by row, (n, rows * columns).
    """

    env: list[str] | None
    run_id: np.ndarray | None
    episode: np.ndarray
    step: np.ndarray
    row: np.ndarray | None
    col: np.ndarray | None
    scores: np.ndarray

    def where(self, line: int) -> str:
        """Return words for a line: its run, episode, step and entry."""
        words = [] if self.run_id is None else [f"run {self.run_id[line]}"]
        words += [f"episode {self.episode[line]}", f"step {self.step[line]}"]
        if self.row is not None and self.col is not None:
            words += [f"row {self.row[line]}", f"col {self.col[line]}"]
        return ", ".join(words)


def check(path: Path) -> None:
    """Refuse a file that there is not, or that has another suffix.

    Raises:
        UsageError: it is one of these.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path}: give a file of scores that ends in {' or '.join(SUFFIXES)}")
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file; docs/learning.md says what one holds")


def pieces(path: Path, shape: tuple[int, int]) -> Iterator[Piece]:
    """Yield the contents of a file.

    Args:
        path: a Parquet or .npz file.
        shape: of a Jacobian.

    Raises:
        UsageError: it can't be read, or its columns are not those of a file of scores.
    """
    check(path)
    read = _of_parquet if path.suffix.lower() == ".parquet" else _of_npz
    try:
        yield from read(path, shape)
    except (pa.ArrowException, zipfile.BadZipFile, OSError, ValueError, EOFError) as error:
        raise UsageError(f"{path} can't be read: {first_line(error)}") from error


def _of_parquet(path: Path, shape: tuple[int, int]) -> Iterator[Piece]:
    with pq.ParquetFile(path.absolute()) as file:  # Arrow takes name:1.parquet for an address
        names = file.schema_arrow.names
        needed = _WIDE if "scores" in names else _LONG
        _check_names(path, names, needed)
        columns = [*needed, *(name for name in ("env", "run_id") if name in names)]
        lines = LINES_AT_ONCE if needed is _LONG else max(1, LINES_AT_ONCE // (shape[0] * shape[1]))
        for batch in file.iter_batches(lines, columns=columns):
            if not len(batch):
                continue
            found = dict(zip(batch.schema.names, batch.columns, strict=True))
            for name, values in found.items():
                if values.null_count:
                    raise UsageError(f"{path}: {name} has {values.null_count} nulls")
            env = pc.unique(_text(path, "env", found["env"])).to_pylist() if "env" in found else None
            run_id = _text(path, "run_id", found["run_id"]).to_numpy(False) if "run_id" in found else None
            if needed is _WIDE:
                numbers = {"scores": _flat(path, found["scores"], found, shape)}
            else:
                numbers = {"score": found["score"].to_numpy(False)}
            others = {name: found[name].to_numpy(False) for name in needed if name not in numbers}
            yield _piece(path, env, run_id, numbers | others)


def _of_npz(path: Path, shape: tuple[int, int]) -> Iterator[Piece]:
    with np.load(path, allow_pickle=False) as arrays:
        _check_names(path, arrays.files, _WIDE)
        found = {name: arrays[name] for name in arrays.files if name in (*_WIDE, "env", "run_id")}
    scores = found["scores"]
    if scores.ndim != 3 or scores.shape[1:] != shape:
        raise UsageError(f"{path}: scores are of shape {scores.shape}: give (n, {shape[0]}, {shape[1]})")
    for name in ("episode", "step", *(["run_id"] if "run_id" in found else [])):
        if found[name].shape != scores.shape[:1]:
            raise UsageError(f"{path}: {name} is of shape {found[name].shape}: give ({len(scores)},), as scores have")
    if not len(scores):
        return
    env = np.unique(found["env"]).tolist() if "env" in found else None
    yield _piece(path, env, found.get("run_id"), {**found, "scores": scores.reshape(len(scores), -1)})


def _check_names(path: Path, names: list[str], needed: tuple[str, ...]) -> None:
    missing = [name for name in needed if name not in names]
    if missing:
        raise UsageError(f"{path} has no {' and no '.join(missing)}, only {', '.join(names) or 'nothing'}: {_FORMS}")


def _text(path: Path, name: str, values: pa.Array) -> pa.Array:
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise UsageError(f"{path}: {name} is {values.type}: give text")
    return values.cast(pa.string())


def _flat(path: Path, scores: pa.Array, found: Mapping[str, pa.Array], shape: tuple[int, int]) -> np.ndarray:
    """Return lists, or lists of lists, as numbers, (n, rows * columns)."""

    def refuse(line: int, given: object) -> NoReturn:
        where = ", ".join(f"{name} {found[name][line]}" for name in ("episode", "step"))
        raise UsageError(f"{path}: scores of {where} have {given} numbers: give {shape[0]} x {shape[1]}, row by row")

    def is_list(kind: pa.DataType) -> bool:
        return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)

    values = scores
    if not is_list(values.type):
        raise UsageError(f"{path}: scores is {values.type}: give a list of {shape[0]} x {shape[1]} numbers")
    owner = np.arange(len(scores))
    while is_list(values.type):
        owner = np.repeat(owner, pc.list_value_length(values).to_numpy(False))
        values = pc.list_flatten(values)
    lengths = np.bincount(owner, minlength=len(scores))
    wrong = np.flatnonzero(lengths != shape[0] * shape[1])
    if len(wrong):
        refuse(int(wrong[0]), lengths[wrong[0]])
    return values.to_numpy(False).reshape(len(scores), -1)


def _piece(path: Path, env: list[str] | None, run_id: np.ndarray | None, columns: Mapping[str, np.ndarray]) -> Piece:
    whole = {name: columns.get(name) for name in ("episode", "step", "row", "col")}
    for name, values in whole.items():
        if values is not None and values.dtype.kind not in "iu":
            raise UsageError(f"{path}: {name} is {values.dtype}: give integers")
    given = columns["scores"] if "scores" in columns else columns["score"][:, None]
    if given.dtype.kind not in "fiub":
        raise UsageError(f"{path}: {'scores' if 'scores' in columns else 'score'} is {given.dtype}: give numbers")
    scores = given if given.dtype in (np.float32, np.float64) else given.astype(np.float64)
    integers = {name: None if values is None else values.astype(np.int64) for name, values in whole.items()}
    return Piece(env, run_id, scores=scores, **integers)  # type: ignore[arg-type]
