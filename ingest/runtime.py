"""JAX as jacdb needs it: float64, compiled code that outlives the process, and every core at work."""

import contextlib
import ctypes
import gc
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.sharding import AxisType, Mesh

from jacdb import user_cache
from jacdb.errors import UsageError
from jacdb.ingest.compat import jax as jax_private
from jacdb.installation import cores as cores

SLOTS_PER_DEVICE = 8  # at least: fewer leave a vector unit's lanes empty
BLOCK_OF_CORE = 24  # slots of a batch, which one core steps: few idle where episodes are few
BLOCK_OF_GPU = 8192  # at most: twice as many took twice the time for each step (docs/performance.md)
BLOCKS_OF_CORE = 3  # one is stepped while the host makes rows of another
# glibc's M_MMAP_THRESHOLD and M_TRIM_THRESHOLD (mallopt(3)), and what they are set to
_MALLOPT = {-3: 2**30, -1: 2**31 - 1}
# XLA's flag for what YNNPACK computes on a CPU; without a value: nothing
_YNNPACK = "--xla_cpu_experimental_ynn_fusion_type="
_starting = threading.Lock()  # os.environ is every thread's


def configure() -> None:
    """Switch JAX to float64 and to a persistent compilation cache. Once for the process, before any tracing.

    A compilation folder of the user's own (JAX_COMPILATION_CACHE_DIR) is kept.
    """
    jax.config.update("jax_enable_x64", True)
    _use_xla_kernels()
    _use_cache()
    _keep_memory()


@contextlib.contextmanager
def lent() -> Iterator[None]:
    """Have JAX as :func:`configure` does while the context is open, in a process that is another's.

    Float64 is this thread's alone, and the environment is as it was. What can't be taken back is set where nothing is:
    a folder of compiled programs, which JAX keeps once it has used it. Memory that is freed stays in the process.
    """
    with _starting:
        _start_with_xla_kernels()
        jax_private.heal_compilation_cache()
        if not jax.config.jax_compilation_cache_dir:
            _use_cache()
    _keep_memory()
    with float64():
        yield


def float64() -> contextlib.AbstractContextManager[None]:
    """Return a context in which JAX computes in float64, in this thread alone: threads that it starts need one."""
    return jax.enable_x64(True)


def configure_training(device: str | None) -> bool:
    """Configure JAX for training, in float32 and on the device asked for; return whether that is a GPU.

    Raises:
        UsageError: there is no such device.
    """
    if device not in (None, "cpu", "gpu"):
        raise UsageError(f"device {device!r}: give cpu or gpu")
    if device:
        jax.config.update("jax_platforms", {"cpu": "cpu", "gpu": "cuda"}[device])
    _use_cache()
    # XLA keeps one core busy with operations as small as ours, and Brax trains on devices: one for each core.
    with contextlib.suppress(RuntimeError):  # too late, JAX runs already: it is slower, no more
        jax.config.update("jax_num_cpu_devices", cores())
    try:
        return jax.default_backend() == "gpu"
    except (RuntimeError, AssertionError) as error:  # JAX asserts that a platform asked for is there
        raise UsageError("device gpu: JAX finds none here; leave out --device, or pip install 'jacdb[cuda]'") from error


def _use_xla_kernels() -> None:
    """Have XLA compile sums and small products on a CPU itself, where it would call YNNPACK (docs/performance.md).

    YNNPACK is for a network's large matrices. A robot's have three or four rows, and its calls took a seventh of
    PandaPickCube's time, with threads of their own beside the cores at work. The user's own setting is kept. Once XLA
    has compiled something in this process, nothing changes any more.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if _YNNPACK not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_YNNPACK}".strip()


def _start_with_xla_kernels() -> None:
    """Start JAX's backend with the flags of :func:`_use_xla_kernels`, and leave the environment as it is.

    A backend that runs already has read its flags, and child processes are the caller's.
    """
    if jax_private.has_started():
        return
    given = os.environ.get("XLA_FLAGS")
    try:
        _use_xla_kernels()
        jax_private.xla_flags()
    finally:
        os.environ.pop("XLA_FLAGS", None)
        if given is not None:
            os.environ["XLA_FLAGS"] = given


def _use_cache() -> None:
    jax_private.heal_compilation_cache()
    if not jax.config.jax_compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", str(user_cache.folder() / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _keep_memory() -> None:
    """Keep freed memory in the process: every chunk needs the same again, and new pages cost more than their use.

    glibc returns large blocks to the system when they are freed. Where the system's own memory is lent (a virtual
    machine), a page touched first cost 50 times one touched again, and ingest a fifth of its time. Threads keep arenas
    of their own: one for all is left in pieces by a compilation, and whatever the process computed afterwards took 15 %
    longer, looking for memory. Elsewhere than on glibc nothing is done.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        for parameter, value in _MALLOPT.items():
            mallopt(parameter, value)


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Rest Python's cycle collector: it walks through JAX's traces again and again, millions of objects that stay.

    One walk takes 0.7 s, and an ingest of 5 s had two; tracing before it, seven. Traces leave cycles (CheetahRun's of
    20,000 objects), steps and files none, however many follow. Compiled code hangs on those cycles: 2,000 mappings of
    memory an ingest, of which Linux allows a process 65,530. So what came to be is walked through once, at the end, and
    nothing that was there before: a notebook, or a process of many runs, holds millions of other objects.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.collect(0)
            gc.enable()


def block_slots(num_envs: int) -> int:
    """Return how many slots a program steps at once, for so many episodes side by side.

    On a CPU that is one number for all, so that a program is compiled once.
    """
    if jax.default_backend() == "cpu":
        return BLOCK_OF_CORE * len(jax.devices())
    return min(BLOCK_OF_GPU, 1 << max(num_envs - 1, 63).bit_length())


def envs_of_device() -> int:
    """Return how many episodes to step side by side where memory allows it: more gain nothing."""
    if jax.default_backend() == "cpu":
        return BLOCKS_OF_CORE * BLOCK_OF_CORE * cores()
    return BLOCK_OF_GPU


def lanes() -> int:
    """Return how many batches the device steps at once: on a CPU one a core, and a GPU is filled by one."""
    return cores() if jax.default_backend() == "cpu" else 1


def mesh(slots: int) -> Mesh:
    """Return a mesh of as many devices as share a batch of so many slots evenly."""
    devices = jax.devices()
    count = max(n for n in range(1, len(devices) + 1) if slots % n == 0 and (n == 1 or slots // n >= SLOTS_PER_DEVICE))
    return Mesh(devices[:count], ("slots",), axis_types=(AxisType.Auto,))


def compiled_quickly(function: Callable[..., Any], *like: Any) -> Callable[..., Any]:
    """Compile a function for arguments like these, quickly rather than to run quickly."""
    return jax.jit(function).lower(*like).compile(compiler_options={"xla_backend_optimization_level": 0})
