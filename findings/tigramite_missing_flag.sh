#!/usr/bin/env bash
# tigramite: DataFrame writes NaN into the caller's arrays where they have the missing flag.
#
# Seen with:  tigramite 5.2.10.1, numpy 2.5.5, joblib 1.6.0, Python 3.12, CPU.
# Expected:   the caller's numbers stay as they are. So it is where the data are one array: that is copied.
# Happens:    of a dict of arrays the dict is copied, and its arrays are not. After DataFrame(data, missing_flag=999)
#             they have NaN for 999, and the same call on the same data is refused: "NaNs in the data." Give copies.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q tigramite==5.2.10.1 joblib==1.6.0 numpy==2.5.5
cat >"$folder/check.py" <<'PYTHON'
import numpy as np
from tigramite.data_processing import DataFrame


def series():
    made = np.arange(20.0).reshape(10, 2)
    made[3, 0] = 999.0
    return made


def answer(data):
    try:
        DataFrame(data, missing_flag=999.0, analysis_mode="multiple")
    except ValueError as error:
        return str(error)
    return "made"


array = np.stack([series(), series()])
answers = [answer(array), answer(array)]
print(f"array: {answers}, the caller's number is {array[0, 3, 0]}")
assert answers == ["made", "made"] and array[0, 3, 0] == 999.0, "it changed"

arrays = {0: series(), 1: series()}
answers = [answer(arrays), answer(arrays)]
print(f"dict:  {answers}, the caller's number is {arrays[0][3, 0]}")
assert answers == ["made", "NaNs in the data."] and np.isnan(arrays[0][3, 0]), "it changed"

kept = {0: series(), 1: series()}
answers = [answer({key: one.copy() for key, one in kept.items()}) for _ in range(2)]
print(f"copies of the dict: {answers}, the caller's number is {kept[0][3, 0]}")
assert answers == ["made", "made"] and kept[0][3, 0] == 999.0, "it changed"
PYTHON
"$folder/venv/bin/python" "$folder/check.py"
# Output:
#   array: ['made', 'made'], the caller's number is 999.0
#   dict:  ['made', 'NaNs in the data.'], the caller's number is nan
#   copies of the dict: ['made', 'made'], the caller's number is 999.0
