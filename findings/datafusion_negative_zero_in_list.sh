#!/usr/bin/env bash
# DataFusion: whether -0.0 is IN a list that has 0.0 depends on how long the list is.
#
# Seen with:  datafusion 55.0.0 (Python), pyarrow 26.0.1, Python 3.12, CPU.
# Expected:   `v in (0.0, …)` is what `v = 0.0 or …` is: two of the three rows below, with any list.
# Happens:    two rows with lists of one to three numbers, one row from four on: a short list becomes comparisons, which
#             take the zeros as equal. `case v when 0.0` and `nullif(v, 0.0)` tell the zeros apart, `case when v = 0.0`
#             does not. `group by v` makes one group of them, in which count(distinct v) is 1, and 2 beside count(*).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q datafusion==55.0.0 pyarrow==26.0.1
cat >"$folder/check.py" <<'PYTHON'
import pyarrow as pa
from datafusion import SessionContext

context = SessionContext()
context.register_record_batches("t", [pa.table({"v": [0.0, -0.0, 1.0]}).to_batches()])


def count(sql):
    return context.sql(sql).to_arrow_table()["n"].to_pylist()


expected = {
    "v = 0.0": 2,
    **{f"v in (0.0{''.join(f', {k}.0' for k in range(7, 7 + more))})": 2 if more < 3 else 1 for more in range(6)},
    "case when v = 0.0 then true else false end": 2,
    "case v when 0.0 then true else false end": 1,
    "nullif(v, 0.0) is null": 1,
}
for condition, happens in expected.items():
    [n] = count(f"select count(*) as n from t where {condition}")
    print(f"{condition}: {n}")
    assert n == happens, f"it changed: {n}, not {happens}"
alone = count("select v, count(distinct v) as n from t group by v order by v")
beside = count("select v, count(distinct v) as n, count(*) from t group by v order by v")
print(f"count(distinct v) by v: {alone}, beside count(*): {beside}")
assert (alone, beside) == ([1, 1], [2, 1]), "it changed"
PYTHON
"$folder/venv/bin/python" "$folder/check.py"
# Output:
#   v = 0.0: 2
#   v in (0.0): 2
#   v in (0.0, 7.0): 2
#   v in (0.0, 7.0, 8.0): 2
#   v in (0.0, 7.0, 8.0, 9.0): 1
#   v in (0.0, 7.0, 8.0, 9.0, 10.0): 1
#   v in (0.0, 7.0, 8.0, 9.0, 10.0, 11.0): 1
#   case when v = 0.0 then true else false end: 2
#   case v when 0.0 then true else false end: 1
#   nullif(v, 0.0) is null: 1
#   count(distinct v) by v: [1, 1], beside count(*): [2, 1]
