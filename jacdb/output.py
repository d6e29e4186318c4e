"""Write tables in the formats of ``--format``, for people and for programs."""

import io
import json
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Literal

import polars as pl

from jacdb.errors import UsageError

FORMATS = ("table", "csv", "json", "markdown", "parquet")
TABLE_ROWS = 100  # rows of a table on the screen; the other formats give all
JSON_ROWS = 1_000  # rows that become JSON at once
EXACT = 2**53  # JavaScript, jq and others read a number of JSON as a double, which holds integers up to here
IDS = ("pattern_id", "pattern_before", "set", "trajectory_id")  # hashes: text in JSON, whatever their value


def check(form: str) -> None:
    """Refuse an unknown format, before any work.

    Raises:
        UsageError: the format is not one of FORMATS.
    """
    if form not in FORMATS:
        raise UsageError(f"unknown format {form!r}: give {', '.join(FORMATS)}")


def encode(frame: pl.DataFrame, form: str) -> bytes:
    """Return a frame in one of FORMATS, as bytes.

    Raises:
        UsageError: the format is unknown.
    """
    check(form)
    match form:
        case "table":
            return (_drawn(frame, "UTF8_FULL_CONDENSED") + "\n").encode()
        case "markdown":
            return (_drawn(frame, "MARKDOWN") + "\n").encode()
        case "csv":
            return _flat(frame).write_csv().encode()
        case "json":
            return f"[{','.join(_json_rows(frame))}\n]\n".encode() if len(frame) else b"[]\n"
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def _json_rows(frame: pl.DataFrame) -> Iterator[str]:
    """Yield the rows as JSON, a slice of them at a time: as Python objects they take many times the memory."""
    exact = frame.with_columns(column.cast(pl.String) for column in frame if _passes_double(column))
    for some in exact.iter_slices(JSON_ROWS):
        yield _json(some.to_dicts(), indent=1).removeprefix("[").removesuffix("\n]")


def _passes_double(column: pl.Series) -> bool:
    """Return whether readers of JSON may round a column: an id of 63 bits, or an integer beyond 2^53."""
    kind = column.dtype
    if not (kind.is_integer() or (isinstance(kind, pl.Decimal) and kind.scale == 0)):
        return False
    ends: list[Any] = [column.min(), column.max()]
    return column.name in IDS or any(end is not None and abs(end) > EXACT for end in ends)


def _drawn(frame: pl.DataFrame, style: Literal["UTF8_FULL_CONDENSED", "MARKDOWN"]) -> str:
    whole = style == "MARKDOWN"  # long values are cut on a screen
    with pl.Config(
        tbl_formatting=style,
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_width_chars=65_000,
        fmt_str_lengths=1_000_000 if whole else 200,
        fmt_table_cell_list_len=-1 if whole else 3,
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
    ):
        return str(frame)


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame with lists and structs as JSON text and bytes as hexadecimal, for CSV."""
    rich = [name for name, kind in frame.schema.items() if kind.is_nested() or kind in (pl.Binary, pl.Object)]
    return frame.with_columns(pl.Series(name, [_cell(value) for value in frame[name].to_list()]) for name in rich)


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    return value.hex() if isinstance(value, bytes) else _json(value)


def _json(value: Any, indent: int | None = None) -> str:
    """Return standard JSON: NaN and infinity become null, integers beyond 2^53 text, bytes hexadecimal, dates text."""
    return json.dumps(_standard(value), indent=indent, default=lambda v: v.hex() if isinstance(v, bytes) else str(v))


def _standard(value: Any) -> Any:
    if isinstance(value, Decimal):
        value = int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if abs(value) <= EXACT else str(value)
    if isinstance(value, dict):
        return {key: _standard(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_standard(part) for part in value]
    return value
