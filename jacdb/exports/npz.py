"""Export to a NumPy archive: one array for each column. ``np.load(path)`` reads it, without pickle."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from jacdb.exports.trajectories import COLUMNS, Source


def write(source: Source, path: Path, out: Path) -> str:
    """Write the archive: the columns (rows, …), ``run`` (of each row, its index in ``runs``) and ``episode_starts``.

    ``state_axes`` names the dimensions of state and next_state; ``tangent_axes`` those of the rows and columns of
    j_state and of the rows of j_action; ``action_axes`` those of action and of the columns of j_action. ``…_units``
    are their units.
    """
    starts = np.cumsum([0, *(len(one) for one in source.trajectories())])[:-1]
    small = {"env": np.array(source.env), "runs": np.array(source.runs), "episode_starts": starts}
    for space in ("state", "tangent", "action"):
        small |= {f"{space}_axes": np.array(source.axes(space)), f"{space}_units": np.array(source.axes(space, "unit"))}
    with zipfile.ZipFile(path, "w") as archive:
        for name, values in small.items():
            with archive.open(f"{name}.npy", "w") as member:
                npy.write_array(member, values, allow_pickle=False)
        for name in ("run", *COLUMNS):
            _stream(archive, source, name)
    return ""


def _stream(archive: zipfile.ZipFile, source: Source, name: str) -> None:
    """Write a column into the archive, some rows at a time; only its length has to be known beforehand."""
    numbers = {run_id: i for i, run_id in enumerate(source.runs)}
    written = 0
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        for run_id, piece in source.rows("step" if name == "run" else name).in_order():
            values = np.full(len(piece["step"]), numbers[run_id], np.int32) if name == "run" else piece[name]
            if not written:
                header = {"descr": npy.dtype_to_descr(values.dtype), "fortran_order": False}
                npy.write_array_header_1_0(member, {**header, "shape": (source.n_rows, *values.shape[1:])})
            member.write(np.ascontiguousarray(values).data)
            written += len(values)
