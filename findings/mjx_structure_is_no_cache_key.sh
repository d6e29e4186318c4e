#!/usr/bin/env bash
# The pytree structure of one MJX model prints otherwise in every process, and no structure hashes alike in two.
#
# Seen with:  mujoco-mjx 3.17.0, mujoco 4.0.0, jax 0.12.0.1, Python 3.12, CPU.
# Expected:   two processes with PYTHONHASHSEED=0 put the same model on MJX, and jax.tree.structure of it has the same text and
#             the same hash: a key under which compiled programs can be kept on disk.
# Happens:    the text of Model's and of Data's structure is another in each process: MJX wraps each array that is static in a
#             class that prints by address. Without the addresses the texts are equal. The hash is another in each process even
#             for a dictionary of an array and None, whose text is the same. Yet structures of two puts in one process are
#             equal, and so is a pickled one with that of the process that reads it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.12.0.1 jaxlib==0.12.0.1 mujoco==4.0.0 mujoco-mjx==3.17.0
cat >"$folder/structures.py" <<'PYTHON'
import json
import pickle
import re
import sys
from pathlib import Path

import jax
import mujoco
import numpy as np
from mujoco import mjx

XML = '<mujoco><worldbody><body><joint/><geom size=".1"/></body></worldbody></mujoco>'
model = mujoco.MjModel.from_xml_string(XML)
on_device = mjx.put_model(model, impl="jax")
values = {"dictionary": {"x": np.ones(3), "y": None}, "Model": on_device, "Data": mjx.make_data(on_device)}
structures = {name: jax.tree.structure(value) for name, value in values.items()}
again = mjx.put_model(model, impl="jax")
assert structures["Model"] == jax.tree.structure(again) and structures["Data"] == jax.tree.structure(mjx.make_data(again))
kept = Path(sys.argv[1])
if kept.exists():
    read = pickle.loads(kept.read_bytes())
    assert all(read[name] == structures[name] for name in values), "what was pickled is another structure"
else:
    kept.write_bytes(pickle.dumps(structures))
told = {name: [str(of), hash(of), re.sub(r" at 0x[0-9a-f]+", "", str(of))] for name, of in structures.items()}
Path(sys.argv[2]).write_text(json.dumps(told))  # MJX prints to stdout as it is imported
PYTHON
for process in 1 2; do
  PYTHONHASHSEED=0 "$folder/venv/bin/python" "$folder/structures.py" "$folder/kept" "$folder/told.$process" >"$folder/imports"
done
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import sys
from pathlib import Path

first, second = (json.loads((Path(sys.argv[1]) / f"told.{process}").read_text()) for process in (1, 2))
for name in first:
    same = [a == b for a, b in zip(first[name], second[name], strict=True)]
    print(f"{name}: same text {same[0]}, same hash {same[1]}, same text without addresses {same[2]}")
    assert same == [name == "dictionary", False, True], "another behaviour than was seen"
PYTHON
