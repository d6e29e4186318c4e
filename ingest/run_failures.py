"""Tell failures of the disk and of memory that stop a run: what is kept of it, and how to go on."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import jax
import pyarrow as pa

from jacdb.errors import FailureError, first_line, told_with_remedy

KEPT = (
    "; finished parts are kept, and the same command goes on from them",
    "; finished episodes are kept; the same command goes on from them",
)  # of a dataset's folder, which stays


@contextlib.contextmanager
def told(root: Path, smaller: str = "") -> Iterator[None]:
    """Tell failures of the disk and of the device in one line: what is kept, and how to go on.

    Args:
        root: the dataset's folder.
        smaller: what may be asked for instead where memory does not suffice: "give fewer --num-envs than 8".

    Raises:
        FailureError: in their place.
    """
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        reason = told_with_remedy(error)
        path = getattr(error, "filename", None)
        elsewhere = path is not None and root.absolute() not in Path(str(path)).absolute().parents  # a source's file
        did = f"stopped at {path}" if elsewhere else f"could not write to {root}"
        raise FailureError(f"{did}: {reason}{KEPT[0]}") from error
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        reason = first_line(error) if str(error).strip() else "out of memory"
        advice = f", or {smaller}" if smaller else ""
        raise FailureError(f"stopped: {reason}{KEPT[1]}{advice}") from error
