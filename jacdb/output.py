"""Tables for people and for programs: the formats of ``--format``."""

import io
import json
from typing import Literal, get_args

import polars as pl

from jacdb.errors import UsageError

Format = Literal["table", "csv", "json", "markdown", "parquet"]
FORMATS: tuple[str, ...] = get_args(Format)
TABLE_ROWS = 100  # of a table on the screen; the other formats give all


def encode(frame: pl.DataFrame, form: str) -> bytes:
    """The frame in one of FORMATS.

    Raises:
        UsageError: there is no such format.
    """
    match form:
        case "table":
            return (_drawn(frame.head(TABLE_ROWS), "UTF8_FULL_CONDENSED") + "\n").encode()
        case "markdown":
            return (_drawn(frame, "MARKDOWN") + "\n").encode()
        case "csv":
            return _flat(frame).write_csv().encode()
        case "json":
            return (json.dumps(frame.to_dicts(), default=str, indent=1) + "\n").encode()
        case "parquet":
            buffer = io.BytesIO()
            frame.write_parquet(buffer)
            return buffer.getvalue()
    raise UsageError(f"unknown format {form!r}: give {', '.join(FORMATS)}")


def _drawn(frame: pl.DataFrame, style: Literal["UTF8_FULL_CONDENSED", "MARKDOWN"]) -> str:
    with pl.Config(
        tbl_formatting=style,
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_width_chars=10_000,
        fmt_str_lengths=200,
        float_precision=None,
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
    ):
        return str(frame)


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Lists and structs as JSON text: CSV has neither."""
    nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
    text = [pl.Series(name, [json.dumps(value) for value in frame[name].to_list()]) for name in nested]
    return frame.with_columns(text)
