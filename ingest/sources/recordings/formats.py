"""Which format a source is in: seen from its name and its first bytes, without a simulator."""

import os
import re
from pathlib import Path

from jacdb.errors import UsageError

TITLES = {
    "npz": "NumPy archive",
    "parquet": "Parquet file",
    "d4rl": "D4RL file (HDF5)",
    "minari": "Minari dataset",
    "lerobot": "LeRobot dataset",
}
SUFFIXES = {".npz": "npz", ".parquet": "parquet", ".hdf5": "d4rl", ".h5": "d4rl"}
MAGIC = {"npz": b"PK", "parquet": b"PAR1", "d4rl": b"\x89HDF\r\n\x1a\n"}
MINARI_ID = re.compile(r"(?:minari:)?((?:[-\w]+/)*[-\w]+-v\d+)", re.ASCII)


def recognise(source: str) -> tuple[str, Path]:
    """Return the format of a source, a key of TITLES, and where it is; a Minari dataset's folder may not be there yet.

    Raises:
        UsageError: there is no such file, or it is of none of the formats.
    """
    path = Path(source)
    if path.is_dir():
        return _of_folder(path)
    if path.is_file():
        return _of_file(path), path
    if match := MINARI_ID.fullmatch(source):
        return "minari", minari_root() / match[1]
    if path.suffix in SUFFIXES:
        raise UsageError(f"{source}: there is no such file")
    raise UsageError(
        f"{source}: there is no such file or folder; a Minari dataset's id ends in its version, as in "
        "mujoco/hopper/expert-v0, and a LeRobot dataset has to be downloaded first (hf download --repo-type dataset)"
    )


def minari_root() -> Path:
    """Return the folder in which Minari keeps datasets."""
    return Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")


def parquet_below(folder: Path) -> tuple[Path, ...]:
    """Return the Parquet files of a folder and of those in it, in the order of their names.

    Hidden ones are left out, as Spark does: a name begins with ``.``, or with ``_`` if it is not ``_column=value``.
    Editors and writers keep copies and drafts there.
    """
    return tuple(
        path for path in sorted(folder.rglob("*.parquet")) if not any(map(_is_hidden, path.relative_to(folder).parts))
    )


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


def _of_folder(path: Path) -> tuple[str, Path]:
    if (path / "meta" / "info.json").is_file():
        return "lerobot", path
    for folder in (path, path.parent):
        if (folder / "data" / "metadata.json").is_file() and path in (folder, folder / "data"):
            return "minari", folder
    if parquet_below(path):
        return "parquet", path
    if left_out := next(path.rglob("*.parquet"), None):
        raise UsageError(
            f"{path} holds no recording: names that begin with _ or . are left out, as in"
            f" {left_out.relative_to(path)}; rename them, or name a file"
        )
    raise UsageError(
        f"{path} holds no recording: neither meta/info.json (LeRobot), data/metadata.json (Minari) nor Parquet files"
    )


def _of_file(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            start = stream.read(8)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    kind = SUFFIXES.get(path.suffix)
    for other, magic in MAGIC.items():
        if start.startswith(magic) and kind in (None, other):
            return other
    if kind is not None:
        raise UsageError(f"{path} is no {TITLES[kind]}: it begins with {start[:4]!r}")
    raise UsageError(f"{path}: recordings are .npz, .parquet or .hdf5, or folders of Minari and LeRobot datasets")
