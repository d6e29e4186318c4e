"""Print answers in the format asked for, and errors in one line."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from jacdb.dataset import limits
from jacdb.errors import UsageError

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from jacdb.dataset.dataset import Dataset


def print_answer(dataset: "Dataset", relation: "duckdb.DuckDBPyRelation", form: str, out: Path | None) -> None:
    """Run a relation and print it in a format; a table on the screen is cut to what people read."""
    from jacdb import output

    output.check(form)
    if form == "parquet" and out is None and sys.stdout.isatty():
        raise UsageError("--format parquet is not for a terminal: give --out FILE")
    wanted = relation.limit(output.TABLE_ROWS + 1) if form == "table" else relation
    _write(*dataset.within_limits(lambda: _encode(dataset.fetch(wanted), form)), out)


def print_frame(frame: "pl.DataFrame", form: str, out: Path | None, whole: bool = False) -> None:
    """Print a frame in a format, or write it to a file; a table is cut unless ``whole``."""
    _write(*_encode(frame, form, whole), out)


def _encode(frame: "pl.DataFrame", form: str, whole: bool = False) -> tuple[bytes, bool]:
    """Return a frame in a format, and whether it was cut."""
    from jacdb import output

    cut = form == "table" and not whole and len(frame) > output.TABLE_ROWS
    return output.encode(frame.head(output.TABLE_ROWS) if cut else frame, form), cut


def _write(content: bytes, cut: bool, out: Path | None) -> None:
    from jacdb import output

    if out is not None:
        out.write_bytes(content)
    else:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    if cut:
        typer.echo(f"only the first {output.TABLE_ROWS} rows are shown: --format csv gives all", err=True)


def fail(message: str, code: int) -> NoReturn:
    """Print one line on stderr and exit."""
    print(f"jacdb: {' '.join(message.split())}", file=sys.stderr, flush=True)
    if limits.is_running():
        os._exit(code)  # a query that can't be interrupted: Python would wait for it
    sys.exit(code)
