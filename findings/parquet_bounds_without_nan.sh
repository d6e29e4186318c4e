#!/usr/bin/env bash
# DuckDB, DataFusion, pyarrow: whether a condition finds a NaN in Parquet depends on the other numbers in the file.
#
# Seen with:  duckdb 2.0.1, datafusion 55.0.0, pyarrow 26.0.1, polars 2.1.0, Python 3.12. duckdb 1.4.0: so, but isnan is right.
# Expected:   isnan(v) is true of the rows that have NaN, and a condition keeps the same rows of a file as of the same
#             column in memory. NaN has no part in Parquet's bounds (its format says so), so a reader must not rely on them.
# Happens:    pyarrow and polars write the bounds of the other numbers, and three readers take them for those of all rows. In
#             DuckDB `isnan(v)` is false of a NaN that the same select shows. DuckDB, DataFusion and pyarrow leave out or let
#             through NaN as bounds decide, each by its own rules; polars does not. DuckDB writes no bounds beside NaN, and
#             without bounds all agree with their own answers in memory: `write_statistics=` of pyarrow takes columns.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q duckdb==2.0.1 datafusion==55.0.0 pyarrow==26.0.1 polars==2.1.0 numpy==2.5.5
cat >"$folder/check.py" <<'PYTHON'
import math

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datafusion import SessionContext

CONDITIONS = {  # SQL, pyarrow, polars
    "isnan(v)": (pc.is_nan(pc.field("v")), pl.col("v").is_nan()),
    "v > 5": (pc.field("v") > 5, pl.col("v") > 5),
    "v <= 5": (pc.field("v") <= 5, pl.col("v") <= 5),
    "v <> 1": (pc.field("v") != 1, pl.col("v") != 1),
    "not (v < 5)": (~(pc.field("v") < 5), ~(pl.col("v") < 5)),
}
READERS = {
    "DuckDB": lambda path, sql, arrow, polars: duckdb.sql(f"from '{path}' where {sql}").pl()["row"].to_list(),
    "DataFusion": lambda path, sql, arrow, polars: with_datafusion(path, sql),
    "pyarrow": lambda path, sql, arrow, polars: pq.read_table(path, filters=arrow)["row"].to_pylist(),
    "polars": lambda path, sql, arrow, polars: pl.scan_parquet(path).filter(polars).collect()["row"].to_list(),
}
COMPARED = {"v > 5", "not (v < 5)"}  # true of NaN: it is above all numbers to DuckDB and DataFusion
WRONG = {  # conditions that find other rows with bounds than without
    ("DuckDB", "1 NaN 2"): {"isnan(v)", "v <= 5", *COMPARED},
    ("DataFusion", "1 NaN 2"): COMPARED,
    ("pyarrow", "1 NaN 2"): {"not (v < 5)"},
    ("polars", "1 NaN 2"): set(),
    ("DuckDB", "1 NaN 1"): set(CONDITIONS),
    ("DataFusion", "1 NaN 1"): set(CONDITIONS),
    ("pyarrow", "1 NaN 1"): {"isnan(v)", "v <> 1", "not (v < 5)"},
    ("polars", "1 NaN 1"): set(),
}


def with_datafusion(path, sql):
    context = SessionContext()
    context.register_parquet("t", path)
    return context.sql(f'select "row" from t where {sql}').to_pydict()["row"]


seen = {}
for name, values in {"1 NaN 2": [1.0, math.nan, 2.0], "1 NaN 1": [1.0, math.nan, 1.0]}.items():
    for bounds in (True, False):
        pq.write_table(pa.table({"row": [0, 1, 2], "v": values}), f"{bounds}.parquet", write_statistics=bounds)
    if name == "1 NaN 2":
        shown = duckdb.sql("select v, isnan(v) from 'True.parquet'").fetchall()
        print("DuckDB, v and isnan(v):", shown)
        assert math.isnan(shown[1][0]) and shown[1][1] is False, "it changed"
    for reader, rows in READERS.items():
        seen[reader, name] = set()
        for sql, others in CONDITIONS.items():
            found = tuple(sorted(rows(f"{bounds}.parquet", sql, *others)) for bounds in (True, False))
            if found[0] != found[1]:
                seen[reader, name].add(sql)
                print(f"{reader}, {name}, {sql}: rows {found[0]} with bounds, {found[1]} without")
assert seen == WRONG, f"it changed: {seen}"
PYTHON
cd "$folder"
venv/bin/python check.py
# Output:
#   DuckDB, v and isnan(v): [(1.0, False), (nan, False), (2.0, False)]
#   DuckDB, 1 NaN 2, isnan(v): rows [] with bounds, [1] without
#   DuckDB, 1 NaN 2, v > 5: rows [] with bounds, [1] without
#   DuckDB, 1 NaN 2, v <= 5: rows [0, 1, 2] with bounds, [0, 2] without
#   DuckDB, 1 NaN 2, not (v < 5): rows [] with bounds, [1] without
#   DataFusion, 1 NaN 2, v > 5: rows [] with bounds, [1] without
#   …
