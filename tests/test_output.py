"""What JSON's readers take from an answer is what it was."""

import json
import re
from decimal import Decimal

import polars as pl
import pytest
from markdown_it import MarkdownIt

from jacdb import output

BIG = 2**53 + 1


def as_javascript(frame: pl.DataFrame) -> list[dict]:
    """The rows as jq and JavaScript read them: every number is a double."""
    return json.loads(output.encode(frame, "json"), parse_int=float)


def test_users_14_ids_are_text_in_json_whatever_their_value():
    frame = pl.DataFrame({"pattern_id": [7, 2**63 - 1, None], "step": [1, 2, 3]})
    rows = as_javascript(frame)
    assert [row["pattern_id"] for row in rows] == ["7", str(2**63 - 1), None]
    assert [row["step"] for row in rows] == [1, 2, 3]


@pytest.mark.parametrize("value", [BIG, -BIG, 2**63 - 1])
def test_users_14_no_integer_is_rounded(value):
    frame = pl.DataFrame({"n": [1, value], "l": [[1], [value]], "s": [{"x": 1}, {"x": value}]})
    one, two = as_javascript(frame)
    assert one == {"n": "1", "l": [1], "s": {"x": 1}}  # a column is of one type
    assert two == {"n": str(value), "l": [str(value)], "s": {"x": str(value)}}
    assert as_javascript(pl.DataFrame({"n": [2**53, -(2**53)]})) == [{"n": 2**53}, {"n": -(2**53)}]


def test_users_14_sums_are_numbers():
    frame = pl.DataFrame(
        {"s": [Decimal(272579)], "h": [Decimal("1.5")]}
    )  # sum() of integers leaves DuckDB as a decimal
    assert as_javascript(frame) == [{"s": 272579, "h": 1.5}]


@pytest.mark.parametrize("rows", [0, 1, output.JSON_ROWS, 2 * output.JSON_ROWS + 1])
def test_slices_of_json_make_one_document(rows):
    frame = pl.DataFrame({"n": range(rows), "x": [None] * rows}, schema={"n": pl.Int64, "x": pl.Float64})
    assert output.encode(frame, "json").decode() == json.dumps(frame.to_dicts(), indent=1) + "\n"


def test_a_bar_or_a_new_line_stays_in_its_cell_of_markdown():
    frame = pl.DataFrame({"a|b": ["x|y", "one\ntwo", None], "c": [["p|q"], [], ["r\r\ns"]], "d": [{"e": "|"}] * 3})
    header, _, *rows = output.encode(frame, "markdown").decode().splitlines()
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in (header, *rows)]
    assert [row[0] for row in cells] == [r"a\|b", r"x\|y", "one<br>two", "null"]
    assert [row[1] for row in cells] == ["c", r'["p\|q"]', "[]", '["r<br>s"]']
    assert [row[2] for row in cells] == ["d", *[r'{"\|"}'] * 3]


@pytest.mark.parametrize("text", ["a|b", r"a\|b", r"a\\|b", "|", "\\|", "one\ntwo"])
def test_a_cell_of_markdown_is_one_cell_to_every_reader(text):
    kinds = {"s": pl.String, "c": pl.Categorical, "e": pl.Enum([text]), "l": pl.List(pl.Enum([text]))}
    frame = pl.DataFrame([pl.Series(name, [[text] if name == "l" else text], kind) for name, kind in kinds.items()])
    frame = frame.with_columns(pl.Series("a", [[text]], pl.Array(pl.String, 1)), b=pl.lit(text.encode()))
    lines = output.encode(frame, "markdown").decode().splitlines()
    assert len(lines) == 3
    # to some readers, two backslashes are one, and no escape
    assert len(re.findall(r"((?:\\.|[^|\\])+)\|", lines[2][1:])) == 6
    tokens = MarkdownIt("commonmark").enable("table").parse("\n".join(lines))
    read = [[part.content.replace("<br>", "\n") for part in token.children] for token in tokens if token.children]
    assert ["".join(parts) for parts in read[6:]] == [
        text,
        text,
        text,
        f'["{text}"]',
        f'["{text}"]',
        text.encode().hex(),
    ]
