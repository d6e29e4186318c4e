"""docs/reading.md: what other engines say of the sample is what its files say, taken one by one."""

import runpy
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT

SAMPLE = ROOT / "datasets" / "sample"
PAGE = (ROOT / "docs" / "reading.md").read_text()
SCRIPT = runpy.run_path(str(ROOT / "docs" / "reading_matrix.py"))
ENGINES = {engine.name: engine for engine in SCRIPT["engines"](PAGE)}
AT_HAND = ("pyarrow", "pandas", "polars", "DuckDB", "datasets")  # those that the tests install anyway


def files(table):
    """Read a table file by file: keys of folders and neighbours of parts play no part in it."""
    return pa.concat_tables(
        [pq.ParquetFile(part).read() for part in sorted(SAMPLE.glob(f"{table}/*/*/part-*.parquet"))]
    )


@pytest.fixture(scope="module")
def said():
    """What every engine has to say: rows and a sum of each table; that of `patterns` from its bytes, not words."""
    said = {}
    for table, column in SCRIPT["COLUMNS"].items():
        rows = files(table)
        if table == "patterns":
            bits = b"".join(rows["zero_state"].to_pylist())
            said[table] = [rows.num_rows, int(np.unpackbits(np.frombuffer(bits, np.uint8)).sum())]
        else:
            said[table] = [rows.num_rows, sum(value or 0 for value in rows[column].to_pylist())]
    return said


@pytest.mark.slow
@pytest.mark.parametrize("name", AT_HAND)
def test_users_13_an_engine_reads_every_table_from_its_folder(name, said, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    answer = SCRIPT["ask"](ENGINES[name], sys.executable, SAMPLE)
    assert answer["tables"] == said
    assert {"env", "name"} <= set(answer["columns"])


def test_users_13_the_matrix_has_nine_engines_that_agree_with_the_files(said):
    matrix = PAGE.split(SCRIPT["BEGIN"])[1].split(SCRIPT["END"])[0].strip().splitlines()[2:]
    cells = [f"{rows}, {total}" for rows, total in said.values()]
    assert len(matrix) == len(ENGINES) == 9
    for line, engine in zip(matrix, ENGINES.values(), strict=True):
        label, *numbers, _ = [cell.strip() for cell in line.strip("|").split("|")]
        assert engine.name in label and engine.requirements[0].split("==")[1] in label, f"{line}: run make matrix"
        assert numbers == cells, f"{line}: run make matrix"


def test_users_13_words_have_the_bits_of_the_bytes():
    """The page's own way back to a matrix, for every pattern of the sample; no word is negative."""
    names = {}
    exec(PAGE.split("## Zeros as bits")[1].split("```python\n")[1].split("```")[0], names)
    for pattern in files("patterns").to_pylist():
        d_state, d_action = pattern["d_state"], pattern["d_action"]
        for matrix, columns in (("zero_state", d_state), ("zero_action", d_action)):
            words = pattern[f"{matrix}_words"]
            bits = np.unpackbits(np.frombuffer(pattern[matrix], np.uint8), count=d_state * columns)
            assert np.array_equal(names["zeros"](words, d_state, columns), bits.reshape(d_state, columns) == 1)
            assert all(0 <= word < 2**32 for word in words)
