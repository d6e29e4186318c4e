#!/usr/bin/env bash
# Daft: the variance of 1e8, 1e8 + 1 and 1e8 + 2 is 3, and the skewness of a constant is minus 200 million.
#
# Seen with:  daft 0.7.26, Python 3.12, CPU, float64 and int64.
# Expected:   variance 1 (Daft divides by n - 1) and skewness 0, as statistics.variance says from the same numbers.
# Happens:    variance and deviation are the mean of squares minus the square of the mean, skewness likewise, and the
#             digits cancel: 3 around 1e8, 0 around 1e9, of integers too. Of a float32 constant the variance comes out
#             negative, and the deviation NaN. Numbers around 1e4 lose eight digits. Subtract a typical value first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q daft==0.7.26
cat >"$folder/check.py" <<'PYTHON'
import math
import statistics

import daft
from daft import DataType, col


def answer(values, function, dtype):
    frame = daft.from_pydict({"v": values}).select(col("v").cast(dtype))
    return frame.agg(getattr(col("v"), function)()).to_pydict()["v"][0]


for dtype, values, happens in (
    (DataType.float64(), [1e4, 1e4 + 1, 1e4 + 2], 1.0),
    (DataType.float64(), [1e8, 1e8 + 1, 1e8 + 2], 3.0),
    (DataType.float64(), [1e9, 1e9 + 1, 1e9 + 2], 0.0),
    (DataType.int64(), [10**9, 10**9 + 1, 10**9 + 2], 0.0),
):
    variance = answer(values, "var", dtype)
    print(f"{dtype} from {values[0]:g}: Daft {variance:.10f}, expected {statistics.variance(values):.10f}")
    assert statistics.variance(values) == 1 and abs(variance - happens) < 1e-6, f"it changed: {variance}"
skewness = answer([0.1] * 10, "skew", DataType.float64())
print(f"ten times 0.1: skewness {skewness:.3g}")
assert skewness < -1e6, f"it changed: {skewness}"
deviation = answer([0.1] * 1000, "stddev", DataType.float32())
print(f"a thousand times 0.1 in float32: deviation {deviation}")
assert math.isnan(deviation), f"it changed: {deviation}"
PYTHON
DAFT_PROGRESS_BAR=0 DO_NOT_TRACK=1 "$folder/venv/bin/python" "$folder/check.py"
# Output:
#   Float64 from 10000: Daft 1.0000000075, expected 1.0000000000
#   Float64 from 1e+08: Daft 3.0000000000, expected 1.0000000000
#   Float64 from 1e+09: Daft 0.0000000000, expected 1.0000000000
#   Int64 from 1e+09: Daft 0.0000000000, expected 1.0000000000
#   ten times 0.1: skewness -2.12e+08
#   a thousand times 0.1 in float32: deviation nan
