"""Print answers in the format asked for, and errors in one line."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

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
    print_frame(dataset.fetch(relation.limit(output.TABLE_ROWS + 1) if form == "table" else relation), form, out)


def print_frame(frame: "pl.DataFrame", form: str, out: Path | None, whole: bool = False) -> None:
    """Print a frame in a format, or write it to a file; a table is cut unless ``whole``."""
    from jacdb import output

    cut = form == "table" and not whole and len(frame) > output.TABLE_ROWS
    content = output.encode(frame.head(output.TABLE_ROWS) if cut else frame, form)
    if out is not None:
        out.write_bytes(content)
    else:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    if cut:
        typer.echo(f"only the first {output.TABLE_ROWS} rows are shown: --format csv gives all", err=True)


def fail(message: str, code: int) -> NoReturn:
    """Print one line on stderr and exit."""
    print(f"jacdb: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
