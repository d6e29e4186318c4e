"""Arrays of NumPy, JAX or PyTorch, made of NumPy's; a framework is imported when someone asks for it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jacdb.errors import UsageError

FRAMEWORKS = ("numpy", "jax", "torch")


def converter(framework: str, device: str | None) -> Callable[[np.ndarray], Any]:
    """Return a function that converts a NumPy array to the framework's, on the device.

    Raises:
        UsageError: there is no such framework or device, or it is not installed.
    """
    if framework not in FRAMEWORKS:
        raise UsageError(f"framework={framework!r}: give {', '.join(FRAMEWORKS)}")
    if device is not None and not isinstance(device, str):
        raise UsageError(f"device={device!r}: give a name, such as 'cpu' or 'gpu:0'")
    if framework == "numpy":
        if device is not None:
            raise UsageError(f"device={device!r}: NumPy has none; give framework='jax' or 'torch'")
        return lambda values: values
    return _to_jax(device) if framework == "jax" else _to_torch(device)


def check_width(framework: str, dtypes: Mapping[str, np.dtype]) -> None:
    """Refuse whole numbers that JAX would cut to 32 bits without a word: another id would come of an id.

    Args:
        framework: what the columns are asked for in.
        dtypes: the type of each column.

    Raises:
        UsageError: JAX would cut one.
    """
    if framework != "jax":
        return
    wide = [name for name, dtype in dtypes.items() if dtype.kind in "iu" and dtype.itemsize > 4]
    if not wide:
        return
    import jax

    if jax.dtypes.canonicalize_dtype(np.int64) != np.int64:
        raise UsageError(
            f"column {wide[0]!r} has 64 bits, and JAX would keep 32 of them: call"
            " jax.config.update('jax_enable_x64', True), leave the column out, or take framework='numpy'"
        )


def _to_jax(device: str | None) -> Callable[[np.ndarray], Any]:
    try:
        import jax
    except ImportError as error:
        raise UsageError("framework='jax' needs JAX: pip install jax") from error
    if device is None:
        return lambda values: jax.device_put(values)
    platform, _, index = device.partition(":")
    try:
        if index and not index.isdecimal():  # -1 would be the last
            raise ValueError(index)
        target = jax.devices(platform)[int(index or 0)]
    except (RuntimeError, ValueError, IndexError) as error:
        raise UsageError(f"device={device!r}: JAX has {', '.join(map(str, jax.devices()))}") from error
    return lambda values: jax.device_put(values, target)


def _to_torch(device: str | None) -> Callable[[np.ndarray], Any]:
    try:
        import torch
    except ImportError as error:
        raise UsageError("framework='torch' needs PyTorch: pip install torch") from error
    if device is None:
        return torch.from_numpy
    try:
        target = torch.device(device.replace("gpu", "cuda"))  # as JAX calls it
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        has = ", ".join(["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))])
        raise UsageError(f"device={device!r}: PyTorch has {has}") from error
    return lambda values: torch.from_numpy(values).to(target)
