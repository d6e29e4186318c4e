#!/usr/bin/env bash
# XLA on a CPU: a sum of three float64 numbers a sample is a call into YNNPACK, a library for neural networks.
#
# Seen with:  jax and jaxlib 0.12.0.1, Python 3.12, CPU (x86-64), float64.
# Expected:   XLA compiles sums over three or four entries into loops of its own; libraries take large matrix products,
#             in a network's types.
# Happens:    (x * x).sum(-1) of shape (68, 6, 8, 3) in float64 is one `__ynn_fusion`, and so is a float32 one. A batched
#             product of 3 x 3 matrices is none. A flag turns it off by an empty value, and the float64 sum's last bit changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.12.0.1 jaxlib==0.12.0.1
cat >"$folder/check.py" <<'PYTHON'
import os

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
x = np.random.default_rng(0).normal(size=(68, 6, 8, 3))
m = np.random.default_rng(1).normal(size=(408, 3, 3))
cases = {
    "sum, float64": (lambda x: (x * x).sum(-1), x),
    "sum, float32": (lambda x: (x * x).sum(-1), x.astype("f4")),
    "3 x 3 products": (lambda m: m @ m, m),
}
flag = "empty" if os.environ.get("XLA_FLAGS") else "unset"
for name, (function, given) in cases.items():
    compiled = jax.jit(function).lower(given).compile()
    print(f"flag {flag}: {name}: ynn {'__ynn_fusion' in compiled.as_text()}, first {np.ravel(compiled(given))[0]:.17g}")
PYTHON
run() { JAX_PLATFORMS=cpu XLA_FLAGS=$1 "$folder/venv/bin/python" "$folder/check.py"; }
run "" | tee "$folder/seen"
run "--xla_cpu_experimental_ynn_fusion_type=" | tee -a "$folder/seen"
diff "$folder/seen" - <<'SEEN'
flag unset: sum, float64: ynn True, first 0.44340095460220541
flag unset: sum, float32: ynn True, first 0.44340094923973083
flag unset: 3 x 3 products: ynn False, first -1.1286984486554759
flag empty: sum, float64: ynn False, first 0.44340095460220535
flag empty: sum, float32: ynn False, first 0.44340094923973083
flag empty: 3 x 3 products: ynn False, first -1.1286984486554759
SEEN
