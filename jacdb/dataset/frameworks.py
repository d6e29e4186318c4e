"""Arrays of NumPy, JAX or PyTorch, made of NumPy's; a framework is imported when someone asks for it."""

from collections.abc import Callable
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
    if framework == "numpy":
        if device is not None:
            raise UsageError(f"device={device!r}: NumPy has none; give framework='jax' or 'torch'")
        return lambda values: values
    return _to_jax(device) if framework == "jax" else _to_torch(device)


def _to_jax(device: str | None) -> Callable[[np.ndarray], Any]:
    try:
        import jax
    except ImportError as error:
        raise UsageError("framework='jax' needs JAX: pip install jax") from error
    if device is None:
        return lambda values: jax.device_put(values)
    platform, _, index = device.partition(":")
    try:
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
