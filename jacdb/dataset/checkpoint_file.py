"""The content of a checkpoint: parameters, told apart from how long it took to find them.

A training that is repeated ends with the same parameters and with other times: its file is another, to the byte. What
scores are of are the parameters, so the row of a learning run names the checksum of these besides that of the file.
"""

import hashlib
import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

PARAMETERS = "best"  # with a number: a leaf of the parameters that validate best


class CheckpointContent(NamedTuple):
    """The content of a checkpoint.

    Attributes:
        parameters: the checksum of its parameters: of each array's name, type, shape and bytes.
        has_ended: whether its training has; one that has not goes on from it.
    """

    parameters: str
    has_ended: bool


def read(path: Path) -> CheckpointContent | None:
    """Return what a checkpoint's file holds; None if it is not, to the last bit, a file as it is written.

    A zip file has checksums of what is in it and not of its own headers: so the file is made anew and compared.
    """
    try:
        content = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if archive.testzip():  # before NumPy reads a shape that is wrong
                return None
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        has_ended = bool(json.loads(str(arrays["progress"]))["finished"])
    except (OSError, ValueError, LookupError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return None
    anew = io.BytesIO()
    np.savez(anew, allow_pickle=False, **arrays)
    if anew.getvalue() != content:
        return None
    digest = hashlib.sha256()
    for name in sorted(name for name in arrays if name.startswith(PARAMETERS)):
        array = arrays[name]
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(array.tobytes())
    return CheckpointContent(digest.hexdigest(), has_ended)
