"""Write tables in the formats of ``--format``, for people and for programs."""

import io
import json
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import polars as pl

from jacdb.errors import UsageError

FORMATS = ("table", "csv", "json", "markdown", "parquet")
TABLE_ROWS = 100  # rows of a table on the screen; files and the other formats have all
JSON_ROWS = 1_000  # rows that become JSON at once
EXACT = 2**53  # JavaScript, jq and others read a number of JSON as a double, which holds integers up to here
IDS = ("pattern_id", "pattern_before", "set", "trajectory_id")  # hashes: text in JSON, whatever their value
SUFFIXES = {".txt": "table", ".csv": "csv", ".json": "json", ".md": "markdown", ".parquet": "parquet"}
CELL, NARROW_CELL = 200, 40  # characters of a cell of a drawn table, at most: usually, and where it would be too wide
DIGITS = 6  # significant ones of a number in a drawn table
_TEXTS = (pl.String, pl.Categorical, pl.Enum, pl.Binary)  # types that a Markdown table has as text
FIXED = 1e-4, 1e9  # a column whose numbers lie between is drawn without exponents


def form_of(form: str | None, out: Path | None) -> str:
    """Return the format to write: the one asked for, else what the file's name ends in, else a table.

    Raises:
        UsageError: the format is unknown, the file's name says another, or none says which.
    """
    if form is not None and form not in FORMATS:
        raise UsageError(f"unknown format {form!r}: give {', '.join(FORMATS)}")
    told = SUFFIXES.get(out.suffix.lower()) if out else "table"
    if form and out and told and form != told:
        raise UsageError(f"--format {form} and --out {out} say different formats: leave out --format")
    if not form and not told:
        raise UsageError(f"--out {out}: give a file name that ends in {', '.join(SUFFIXES)}, or --format")
    return form or told or "table"


def encode(frame: pl.DataFrame, form: str) -> bytes:
    """Return a frame in one of FORMATS, as bytes; all of it.

    Raises:
        UsageError: the format is unknown.
    """
    match form_of(form, None):
        case "table":
            return (_drawn(frame, "UTF8_FULL_CONDENSED") + "\n").encode()
        case "markdown":
            return (_drawn(_of_cells(frame), "MARKDOWN") + "\n").encode()
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


def table(frame: pl.DataFrame, width: int) -> tuple[str, list[str]]:
    """Return a frame as a table that is no wider than a screen, and the columns that were left out for it.

    Args:
        width: of the screen, in characters. Long text is cut first, then the last columns are left out; the first
            stays.
    """
    drawn = _drawn(frame, "UTF8_FULL_CONDENSED")
    if _width(drawn) > width:
        drawn = _drawn(frame, "UTF8_FULL_CONDENSED", NARROW_CELL)
    if _width(drawn) <= width:
        return drawn, []
    ends, end = [], 0
    for cell in drawn.splitlines()[1].strip("│").split("┆"):
        end += len(cell) + 1
        ends.append(end + 1)
    fitting = max(1, sum(end <= width for end in ends))
    return _drawn(frame[:, :fitting], "UTF8_FULL_CONDENSED", NARROW_CELL), frame.columns[fitting:]


def matrices(columns: dict[str, str]) -> list[str]:
    """Return the columns that hold a matrix in each row, which CSV has no cell for.

    Args:
        columns: types by name, as DuckDB writes them.
    """
    return [name for name, kind in columns.items() if kind.endswith("[][]")]


def _width(drawn: str) -> int:
    return len(drawn.split("\n", 1)[0])


def _drawn(frame: pl.DataFrame, style: Literal["UTF8_FULL_CONDENSED", "MARKDOWN"], cell: int = CELL) -> str:
    whole = style == "MARKDOWN"  # long values are cut on a screen
    with pl.Config(
        tbl_formatting=style,
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_width_chars=65_000,
        fmt_str_lengths=1_000_000 if whole else cell,
        fmt_table_cell_list_len=-1 if whole else 3,
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
    ):
        numbers = [name for name, kind in frame.schema.items() if kind.is_numeric()]
        return str(frame.with_columns(_aligned(frame[name]) for name in numbers))


def markdown_cell(text: str) -> str:
    """Return text that stays in its cell of a Markdown table.

    Readers differ on a bar behind two backslashes: where some see the end of the cell, others see none. So a backslash
    before a bar is written as an entity.
    """
    barred = re.sub(r"(\\*)\|", lambda found: "&#92;" * len(found[1]) + r"\|", text)
    return re.sub(r"\r\n?|\n", "<br>", barred)


def _of_cells(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame whose text, in headers too, stays in its cell of a Markdown table."""
    texts = [name for name, kind in frame.schema.items() if kind.is_nested() or kind in _TEXTS]
    escaped = [pl.Series(name, _of_cell(frame[name].to_list()), _as_text(frame.schema[name])) for name in texts]
    return frame.with_columns(escaped).rename(markdown_cell)


def _of_cell(value: Any) -> Any:
    """Return a value for a Markdown table: text as its cell has it, bytes hexadecimal, in lists and structs too."""
    if isinstance(value, str):
        return markdown_cell(value)
    if isinstance(value, dict):
        return {key: _of_cell(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_of_cell(part) for part in value]
    return value.hex() if isinstance(value, bytes) else value


def _as_text(kind: pl.DataType) -> pl.DataType:
    """Return the type of a column once its text is escaped, which is no category any more."""
    if isinstance(kind, pl.List | pl.Array):
        return pl.List(_as_text(kind.inner))  # type: ignore[arg-type]
    if isinstance(kind, pl.Struct):
        return pl.Struct({field.name: _as_text(field.dtype) for field in kind.fields})  # type: ignore[arg-type]
    return pl.String() if kind in _TEXTS else kind


def _aligned(numbers: pl.Series) -> pl.Series:
    """Return the numbers of a column as text, in one notation, the last digits below each other."""
    values = numbers.to_list()
    shown = _in_one_notation(values) if numbers.dtype.is_float() else ["null" if v is None else f"{v}" for v in values]
    width = max(map(len, [numbers.name, *shown]))
    return pl.Series(numbers.name, [text.rjust(width) for text in shown], pl.String)


def _in_one_notation(values: list[float | None]) -> list[str]:
    """Return floats as text with DIGITS significant digits at least, all with exponents or all without."""
    sizes = [abs(value) for value in values if value and math.isfinite(value)]
    kind = "f" if all(FIXED[0] <= size < FIXED[1] for size in sizes) else "e"

    def decimals(size: float) -> int:
        """Return the decimals that DIGITS significant digits of a number need."""
        most = DIGITS - 1 - (math.floor(math.log10(size)) if kind == "f" else 0)
        return len(f"{size:.{max(most, 1)}{kind}}".partition("e")[0].rstrip("0").partition(".")[2])

    places = max([1, *map(decimals, sizes)])
    return ["null" if v is None else f"{v:.{places}{kind}}".replace("nan", "NaN") for v in values]


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
