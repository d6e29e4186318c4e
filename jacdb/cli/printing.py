"""Print answers in the format asked for, and errors in one line."""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

import typer

from jacdb.atomic_file import write_file
from jacdb.dataset import limits
from jacdb.errors import FailureError, UsageError

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from jacdb.dataset.dataset import Dataset

_NAMES_OF_STDOUT = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def print_answer(
    dataset: "Dataset",
    relation: "duckdb.DuckDBPyRelation",
    form: str | None,
    out: Path | None,
    limit: int | None = None,
    quiet: bool = False,
) -> int:
    """Run a relation and print it in a format; a table on the screen is cut to what people read.

    Returns:
        How many rows were printed.
    """
    from jacdb import output

    form = output.form_of(form, out)
    if limit is not None:
        relation = relation.limit(min(limit, 2**63 - 1))  # more rows than DuckDB can count are all rows
    elif form == "table" and out is None:
        relation = relation.limit(output.TABLE_ROWS + 1)
    whole = limit is not None

    def encoded() -> tuple[int, bytes, list[str]]:
        frame = dataset.fetch(relation)
        return len(frame), *_encode(frame, form, out, whole)

    n_rows, content, notes = dataset.within_limits(encoded)
    _write(content, notes, out, quiet)
    return n_rows


def print_frame(
    frame: "pl.DataFrame", form: str | None, out: Path | None, whole: bool = False, quiet: bool = False
) -> None:
    """Print a frame in a format, or write it to a file; a table on the screen is cut, unless ``whole``, and fits it."""
    from jacdb import output

    _write(*_encode(frame, output.form_of(form, out), out, whole), out, quiet)


def _encode(frame: "pl.DataFrame", form: str, out: Path | None, whole: bool) -> tuple[bytes, list[str]]:
    """Return a frame in a format, and notes on what a screen has no room for."""
    from jacdb import output

    if form != "table" or out is not None:
        return output.encode(frame, form), []
    notes = []
    if not whole and len(frame) > output.TABLE_ROWS:
        frame = frame.head(output.TABLE_ROWS)
        notes.append(f"only the first {len(frame)} rows are shown: --limit N, --format csv or --out FILE gives more")
    if not _stdout().isatty():
        return output.encode(frame, form), notes
    text, left_out = output.table(frame, shutil.get_terminal_size().columns)
    if left_out:
        notes.append(f"too narrow for {', '.join(left_out)}: --format csv or --out FILE gives all columns")
    return f"{text}\n".encode(), notes


def _write(content: bytes, notes: list[str], out: Path | None, quiet: bool) -> None:
    if out is not None:
        write_file(out, content)
    else:
        _stdout().buffer.write(content)
        _stdout().flush()
    for text in notes:
        note(text, quiet)


def _stdout() -> TextIO:
    """Return the stream of answers.

    Raises:
        FailureError: whoever started the process closed it.
    """
    if (stream := sys.stdout) is None:
        raise FailureError("stdout is closed, so the answer can't be printed: leave it open, or give --out FILE")
    return stream


def note(text: str, quiet: bool = False) -> None:
    """Print a line on stderr that is neither an answer nor an error, unless it was asked to be quiet."""
    if not quiet:
        typer.echo(text, err=True)


def check_form(form: str | None, out: Path | None) -> None:
    """Refuse a format, or a file to write, that can't be, before any work.

    Raises:
        UsageError: the format is unknown, goes with another file name, or is not for a terminal; or the file can't be
            written.
        FailureError: it is to be printed, and stdout is closed.
    """
    from jacdb import out_path, output

    if out is None or str(out) in _NAMES_OF_STDOUT:
        _stdout()
    if out is not None:
        out_path.check_file(out)
    if output.form_of(form, out) == "parquet" and out is None and _stdout().isatty():
        raise UsageError("--format parquet is not for a terminal: give --out FILE")


def explain(error: typer.TyperException) -> str:
    """Return typer's message about wrong arguments, with the value that was given."""
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    causes: list[dict[str, object]] = getattr(error.__cause__, "errors", list)()
    given = f" (given: {causes[0]['input']!r})" if causes else ""
    return f"{text.rstrip('.')}{given}"


def fail(message: str, code: int) -> NoReturn:
    """Print one line on stderr and exit."""
    print(f"jacdb: {' '.join(message.split())}", file=sys.stderr, flush=True)
    if limits.is_running():
        os._exit(code)  # a query that can't be interrupted: Python would wait for it
    sys.exit(code)
