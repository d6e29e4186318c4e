#!/usr/bin/env bash
# Daft: -0.0 == 0.0 is false, and -0.0 < 0.0 is true.
#
# Seen with:  daft 0.7.26, Python 3.12, CPU.
# Expected:   IEEE 754 compares both zeros as equal. So do NumPy, pyarrow, pandas, polars, DuckDB and Spark.
# Happens:    comparisons, is_in, joins and groups follow IEEE's total order, in which -0.0 is a smaller number. Of the
#             column's two zeros, `v == 0` finds one; `v >= 0` leaves the other out, and `v < 0` has it. `abs` before
#             the comparison helps. A Jacobian's zeros have either sign, so Daft counts too few of them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q daft==0.7.26
cat >"$folder/check.py" <<'PYTHON'
import daft
from daft import col

frame = daft.from_pydict({"v": [0.0, -0.0, 1.0]})
single = daft.from_pydict({"v": [0.0], "name": ["zero"]})
counts = {
    "python": sum(v == 0 for v in frame.to_pydict()["v"]),
    "v == 0": frame.where(col("v") == 0).count_rows(),
    "v >= 0": frame.where(col("v") >= 0).count_rows(),
    "v < 0": frame.where(col("v") < 0).count_rows(),
    "is_in": frame.where(col("v").is_in([0.0])).count_rows(),
    "SQL": daft.sql("select count(*) as n from frame where v = 0").to_pydict()["n"][0],
    "join": frame.join(single, on="v").count_rows(),
    "distinct": frame.distinct().count_rows(),
    "abs": frame.where(col("v").abs() == 0).count_rows(),
}
print(", ".join(f"{name}: {n}" for name, n in counts.items()))
assert (counts.pop("python"), counts.pop("abs")) == (2, 2)
expected = {"v == 0": 1, "v >= 0": 2, "v < 0": 1, "is_in": 1, "SQL": 1, "join": 1, "distinct": 3}
assert counts == expected, f"it changed: {counts}"
PYTHON
DAFT_PROGRESS_BAR=0 DO_NOT_TRACK=1 "$folder/venv/bin/python" "$folder/check.py"
# Output:
#   python: 2, v == 0: 1, v >= 0: 2, v < 0: 1, is_in: 1, SQL: 1, join: 1, distinct: 3, abs: 2
