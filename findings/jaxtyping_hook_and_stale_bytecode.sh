#!/usr/bin/env bash
# jaxtyping: a package that is added to the import hook's list is not checked, if it was imported under the hook before.
#
# Seen with:  jaxtyping 0.3.11, beartype 0.23.1, NumPy 2.5.5, Python 3.12.
# Expected:   the hook touches the packages of its list; one that is added to it is checked from the next process on.
# Happens:    while a listed module is executed, the hook has Python's whole import system look for files of compiled code
#             under jaxtyping's own name. Whatever the module imports is compiled anew, past its ordinary .pyc, and kept
#             under that name without checks. Once `inner` is listed too, the hook takes that file for its own: annotations
#             of `inner` are not checked, in silence, until its source changes or its __pycache__ is removed. So is it
#             with --jaxtyping-packages of pytest. With PYTHONDONTWRITEBYTECODE nothing is kept, and each process
#             compiles all that listed modules import (JAX and MJX: 2,100 files, 4 s): import these before.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jaxtyping==0.3.11 beartype==0.23.1 numpy==2.5.5
mkdir "$folder/outer" "$folder/inner"
echo "import inner" >"$folder/outer/__init__.py"
cat >"$folder/inner/__init__.py" <<'PYTHON'
import numpy
from jaxtyping import Float


def double(x: Float[numpy.ndarray, "3"]):
    return x + x
PYTHON
cat >"$folder/check.py" <<'PYTHON'
import sys

import jaxtyping
import numpy

with jaxtyping.install_import_hook(sys.argv[1:], "beartype.beartype"):
    import outer
import inner

try:
    inner.double(numpy.ones(5))
    print("not checked")
except jaxtyping.TypeCheckError:
    print("checked")
PYTHON
unset PYTHONDONTWRITEBYTECODE
check() { (cd "$folder" && venv/bin/python check.py "$@"); }
fresh=$(check outer inner)
rm -r "$folder"/*/__pycache__
before=$(check outer)
after=$(check outer inner)
echo "both listed at once: $fresh; outer alone: $before; then both: $after"
test "$fresh, $before, $after" = "checked, not checked, not checked" || { echo "it changed"; exit 1; }
# Output:
#   both listed at once: checked; outer alone: not checked; then both: not checked
