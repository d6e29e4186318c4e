"""Rows read ahead of the training loop: threads fill one buffer while another is used.

They read row groups in parallel, for Arrow releases the GIL while it decodes.
"""

import itertools
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Executor, Future, wait

import numpy as np
import pyarrow as pa

from jacdb.dataset.row_buffers import Buffer, BufferedRows, Load, Part
from jacdb.dataset.step_rows import StepRows

# row groups read at once: one more than cores, for a reader sometimes waits for the disk
READERS = min(pa.cpu_count() + 1, 8)


def read_ahead(
    rows: StepRows, loads: Iterable[Load], buffers: list[Buffer], nbytes: float, readers: Executor
) -> Generator[BufferedRows]:
    """Yield rows, one load at a time; a buffer is refilled as soon as its rows have been used.

    When the iterator is closed, nothing is being written into a buffer.

    Args:
        rows: what to read.
        loads: which rows, and in which order.
        buffers: where to put them.
        nbytes: the room that is made in a buffer; more, if a load needs it.
        readers: the threads that read row groups.
    """
    coming, idle = iter(loads), deque(buffers)
    waiting = deque[tuple[Buffer, int, np.ndarray | None, list[Future[None]]]]()

    def fill(buffer: Buffer, part: Part, start: int) -> None:
        for piece in rows.read(*part):
            start = buffer.put(piece, start)

    def begin() -> None:
        for load in itertools.islice(coming, len(idle)):
            buffer, counts = idle.popleft(), [int(wanted.sum()) for _, wanted in load.parts]
            buffer.make_room(load.parts[0][0], sum(counts), nbytes)
            starts = itertools.accumulate(counts, initial=0)
            reads = [readers.submit(fill, buffer, part, start) for part, start in zip(load.parts, starts, strict=False)]
            waiting.append((buffer, sum(counts), load.order, reads))

    try:
        begin()
        while waiting:
            buffer, n_rows, order, reads = waiting[0]
            for reading in reads:
                reading.result()
            waiting.popleft()
            yield BufferedRows(buffer.first(n_rows), order)
            idle.append(buffer)
            begin()
    finally:
        # wait() would wait for ever for those that never begin
        wait([reading for *_, reads in waiting for reading in reads if not reading.cancel()])
