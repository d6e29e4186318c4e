#!/usr/bin/env bash
# lyapynov, clvlib: asked for one Lyapunov exponent, they give another than the largest, for their frame starts at the identity.
#
# Seen with:  lyapynov 1.0.1, clvlib 0.1.5, numpy 2.5.5, scipy 1.18.1, Python 3.12.
# Expected:   LCE(system, p=1) and lyap_exp(n_lyap=1) are the largest exponent, log 1.5 = 0.405, as mLCE is.
# Happens:    both are 0, after any number of steps, where the first coordinate is ignorable (nothing depends on it): its
#             axis is carried onto itself, and the first vector never turns. With all exponents asked for, the largest is
#             there, in second place. mLCE starts at random and is right. A frame in general position is the remedy.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q lyapynov==1.0.1 clvlib==0.1.5 numpy==2.5.5 scipy==1.18.1
cat >"$folder/check.py" <<'PYTHON'
import numpy as np
from clvlib.numpy import lyap_exp
from lyapynov import LCE, DiscreteDS, mLCE

A = np.array([[1.0, 0.3], [0.0, 1.5]])  # x' = x + 0.3 y, y' = 1.5 y
STEPS = 2000


def system():
    return DiscreteDS(np.zeros(2), 0, lambda x, t: A @ x, lambda x, t: A)


def clvlib(n_lyap):
    at_rest, times = np.zeros((STEPS + 1, 2)), np.arange(STEPS + 1.0)
    return lyap_exp(lambda t, x: A @ x, lambda t, x: A, at_rest, times, stepper="discrete", n_lyap=n_lyap)[0]


one, both, largest = LCE(system(), 1, 0, STEPS, False), LCE(system(), 2, 0, STEPS, False), mLCE(system(), 0, STEPS, False)
print(f"lyapynov: LCE of one {one.round(3)}, of both {both.round(3)}, mLCE {'largest' if abs(largest - np.log(1.5)) < 0.003 else largest}")
print(f"clvlib:   lyap_exp of one {clvlib(1).round(3)}, of both {clvlib(2).round(3)}")
for of_one, of_both in ((one, both), (clvlib(1), clvlib(2))):
    assert np.allclose(of_one, [0.0]) and np.allclose(of_both, [0.0, np.log(1.5)]), "it changed"
assert abs(largest - np.log(1.5)) < 0.003, "it changed"
PYTHON
"$folder/venv/bin/python" "$folder/check.py" 2>/dev/null
# Output:
#   lyapynov: LCE of one [0.], of both [0.    0.405], mLCE largest
#   clvlib:   lyap_exp of one [0.], of both [0.    0.405]
