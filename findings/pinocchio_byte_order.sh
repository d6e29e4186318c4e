#!/usr/bin/env bash
# Pinocchio, pyarrow's Tensor and TensorStore read big-endian arrays as if they were little-endian: other numbers, and no error.
#
# Seen with:  pin 4.1.0, pyarrow 26.0.1, tensorstore 0.1.86, h5py 3.16.0, numpy 2.5.5, Python 3.12, x86-64.
# Expected:   an array of dtype '>f8' (HDF5's IEEE_F64BE, an .npy or an old .mat file of a big-endian machine) is converted, as
#             MuJoCo, CasADi, polars and TensorStore's own writing do, or refused, as DuckDB, JAX, Drake and pyarrow.array do.
# Happens:    Pinocchio reads the bytes in the machine's order in every function tried: a displacement of 0.25 m along x is of
#             2.6e-319 m, and the tool of an arm is in another place. So do pyarrow.Tensor.from_numpy and
#             tensorstore.array. array.astype(float) before the call is the remedy.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pin==4.1.0 pyarrow==26.0.1 tensorstore==0.1.86 h5py==3.16.0 numpy==2.5.5
cat >"$folder/check.py" <<'PYTHON'
import h5py
import numpy as np
import pinocchio
import pyarrow
import tensorstore

NATIVE = np.array([0.25, -1.5, 0.75, 1.0, -0.5, 0.125])
with h5py.File("q.h5", "w") as file:
    file.create_dataset("q", data=NATIVE, dtype=h5py.h5t.IEEE_F64BE)
with h5py.File("q.h5") as file:
    q = file["q"][:]
assert q.dtype == ">f8" and np.array_equal(q, NATIVE)

arm = pinocchio.buildSampleModelManipulator()
data = arm.createData()


def tool(q):
    pinocchio.forwardKinematics(arm, data, q)
    return data.oMi[arm.njoints - 1].translation.copy()


def writes(q):
    store = tensorstore.open({"driver": "zarr", "kvstore": {"driver": "memory"}, "metadata": {"shape": [6], "dtype": "<f8"}},
                             create=True).result()
    store[...] = q
    return store.read().result()


WAYS = {  # what is asked of an array; whether the answer is right for a big-endian one
    "pin.SE3": (lambda q: pinocchio.SE3(np.eye(3), q[:3]).translation, False),
    "pin.forwardKinematics": (tool, False),
    "pin.crba": (lambda q: pinocchio.crba(arm, data, q).copy(), False),
    "pyarrow.Tensor": (lambda q: pyarrow.Tensor.from_numpy(q).to_numpy(), False),
    "pyarrow.array": (lambda q: pyarrow.array(q).to_numpy(), None),
    "tensorstore.array": (lambda q: tensorstore.array(q).read().result(), False),
    "tensorstore, written": (writes, True),
}
for name, (ask, expected) in WAYS.items():
    right = np.array(ask(NATIVE))
    assert np.allclose(ask(q.astype(float)), right)
    try:
        seen = np.array(ask(q))
    except pyarrow.ArrowNotImplementedError as error:
        same, said = None, str(error)
    else:
        same, said = np.allclose(seen, right), f"{seen.ravel()[0]:.4g}"
    print(f"{name}: {said}, of the native array {right.ravel()[0]:.4g}")
    assert same is expected, "it changed"
PYTHON
cd "$folder"
venv/bin/python check.py
# Output:
#   pin.SE3: 2.634e-319, of the native array 0.25
#   pin.forwardKinematics: 9.331e-319, of the native array -1.493
#   pin.crba: 12.18, of the native array 5.148
#   pyarrow.Tensor: 2.634e-319, of the native array 0.25
#   pyarrow.array: Byte-swapped arrays not supported, of the native array 0.25
#   tensorstore.array: 2.634e-319, of the native array 0.25
#   tensorstore, written: 0.25, of the native array 0.25
