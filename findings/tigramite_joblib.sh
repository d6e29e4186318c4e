#!/usr/bin/env bash
# tigramite: what `pip install tigramite` brings is not enough to import its PCMCI.
#
# Seen with:  tigramite 5.2.10.1, joblib 1.6.0, Python 3.12, CPU.
# Expected:   a package's dependencies are those that its main modules import: numpy, scipy and six, says the metadata.
# Happens:    `import tigramite.pcmci` ends in "No module named 'joblib'". The metadata have joblib in the extra `all`
#             alone, beside torch and ortools. With joblib it works: `pip install tigramite joblib`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q tigramite==5.2.10.1
cat >"$folder/check.py" <<'PYTHON'
import importlib
import importlib.metadata

needed = [line for line in importlib.metadata.requires("tigramite") if "extra" not in line]
print("needed, by the metadata:", ", ".join(needed))
for name in ("pcmci", "independence_tests.parcorr", "data_processing"):
    try:
        importlib.import_module(f"tigramite.{name}")
        print(f"tigramite.{name}: imported")
    except ModuleNotFoundError as error:
        print(f"tigramite.{name}: {error}")
PYTHON
without=$("$folder/venv/bin/python" "$folder/check.py")
"$folder/venv/bin/pip" install -q joblib==1.6.0
with=$("$folder/venv/bin/python" "$folder/check.py")
echo "$without"
echo "with joblib"
echo "$with"
[[ $without == *"tigramite.pcmci: No module named 'joblib'"* && $with == *"tigramite.pcmci: imported"* ]] ||
  { echo "it changed"; exit 1; }
# Output:
#   needed, by the metadata: numpy>=1.18, scipy>=1.10.0, six
#   tigramite.pcmci: No module named 'joblib'
#   tigramite.independence_tests.parcorr: imported
#   tigramite.data_processing: imported
#   with joblib
#   needed, by the metadata: numpy>=1.18, scipy>=1.10.0, six
#   tigramite.pcmci: imported
#   tigramite.independence_tests.parcorr: imported
#   tigramite.data_processing: imported
