"""Rows in units of their deviation, with Jacobians to match; and columns that are made of others."""

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from synthetic import dataset, episode

import jacdb
from jacdb import UsageError
from jacdb.dataset.normalization import Normalization
from jacdb.methods import METHODS
from jacdb.tangent import TangentSpace

RNG = np.random.default_rng(0)
EPISODES, LENGTH = 6, 25
A, B = RNG.normal(size=(3, 3)), RNG.normal(size=(3, 2))
A[2] = B[2] = 0  # the third axis is constant
A[0, 1] = 0


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A linear system x' = A x + B u, and its episodes by finite differences as well."""
    root = tmp_path_factory.mktemp("normalization")
    units = np.array([100.0, 0.01, 0.0])
    for run_id, method in (("run-a", "implicit"), ("run-fd", "fd")):
        random, made = np.random.default_rng(1), []
        for number in range(EPISODES):
            x, u = random.normal(5, 1, (LENGTH, 3)) * units + [0, 0, 7], random.normal(-2, 3, (LENGTH, 2))
            columns = {"action": u, "next_state": x @ A.T + u @ B.T}
            j = np.broadcast_to(A, (LENGTH, 3, 3)), np.broadcast_to(B, (LENGTH, 3, 2))
            made.append(episode(number, *j, state=x, columns=columns, method=method))
        dataset(root, "E", made, run_id, method=method)
    with jacdb.open(root) as one:
        yield one


def columns_of(batches):
    found = list(batches)
    return {name: np.concatenate([batch[name] for batch in found]) for name in batches.columns}


@pytest.mark.slow
def test_users_16_normalized_jacobians_are_those_of_the_normalized_step(opened):
    names = ("state", "action", "next_state", "j_state", "j_action", "reward")
    rows = columns_of(opened.batches("E", names, 7, normalize=True, shuffle=True))
    predicted = np.einsum("nij,nj->ni", rows["j_state"], rows["state"])
    predicted += np.einsum("nij,nj->ni", rows["j_action"], rows["action"])
    assert (rows["next_state"] - predicted)[:, :2].std(0) == pytest.approx(0, abs=1e-9)  # a constant is left
    assert rows["state"].mean(0) == pytest.approx(0, abs=1e-9)
    assert rows["state"].std(0) == pytest.approx([1, 1, 0]) and rows["action"].std(0) == pytest.approx(1)
    assert np.isfinite(rows["j_state"]).all() and (rows["reward"] == 1).all()


@pytest.mark.slow
def test_users_16_both_splits_are_normalized_by_the_training_split(opened):
    raw = columns_of(opened.batches("E", ("state", "action"), split="train", validation=0.4))
    for split in ("train", "validation"):
        batches = opened.batches("E", ("state", "dx"), split=split, validation=0.4, normalize=True, dtype="float32")
        for scale, name in ((batches.normalization.state, "state"), (batches.normalization.action, "action")):
            assert scale.mean == pytest.approx(raw[name].mean(0))
            assert scale.deviation == pytest.approx(np.where(raw[name].std(0) > 0, raw[name].std(0), 1))
        rows, stored = columns_of(batches), columns_of(opened.batches("E", ("state",), split=split, validation=0.4))
        assert batches.normalization.state.restored(rows["state"]) == pytest.approx(stored["state"], rel=1e-4)
        assert {values.dtype for values in rows.values()} == {np.dtype(np.float32)}
    assert opened.batches("E").normalization is None


@pytest.mark.parametrize("split", [None, "train", "validation"])
def test_users_16_the_view_has_the_means_and_deviations_of_the_rows(opened, split):
    rows = columns_of(opened.batches("E", ("state", "action", "next_state"), split=split))
    rows["delta"] = rows.pop("next_state") - rows["state"]
    found = opened.axis_statistics("E").filter(pl.col("split") == (split or "all"))
    for space, values in rows.items():
        of = found.filter(pl.col("space") == space)
        expected = (values.mean(0), values.std(0), values.min(0), values.max(0))
        for name, column in zip(("mean", "deviation", "minimum", "maximum"), expected, strict=True):
            assert of[name].to_list() == pytest.approx(column.tolist(), abs=1e-9), (space, name)
        assert set(of["steps"]) == {len(values)}


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "j_dtype"), [(None, np.float32), ("float64", np.float64)])
def test_normalized_columns_have_the_type_that_is_stored(tmp_path, dtype, j_dtype):
    state, j = RNG.normal(size=(9, 2)), RNG.normal(size=(9, 2, 2))
    dataset(tmp_path, "E", [episode(0, j, j, dtype=np.float32, state=state)], jacobian=pa.float32())
    with jacdb.open(tmp_path) as opened:
        rows = columns_of(opened.batches("E", ("state", "dx", "j_state"), normalize=True, dtype=dtype))
        scale = opened.batches("E", normalize=True).normalization.tangent
    assert {name: values.dtype for name, values in rows.items()} == {
        "state": np.float64, "dx": np.float64, "j_state": j_dtype,
    }  # fmt: skip
    exact = j.astype(np.float32) * (scale / scale[:, None])
    assert np.array_equal(rows["j_state"], exact.astype(j_dtype))  # rounded once, after it was scaled


def test_users_16_orientations_are_left_as_they_are():
    axes = [("pos", "position"), *((f"q{i}", "orientation") for i in range(4)), ("vel", "velocity")]
    tangent = [("pos", "position"), *((f"r{i}", "orientation") for i in range(3)), ("vel", "velocity")]
    frame = pl.DataFrame(
        [
            {"env": "E", "space": space, "index": i, "name": name, "quantity": quantity}
            for space, names in (("state", axes), ("tangent", tangent))
            for i, (name, quantity) in enumerate(names)
        ]
    )
    states = RNG.normal(3, 2, (50, 6))
    states[:, 1:5] /= np.linalg.norm(states[:, 1:5], axis=1, keepdims=True)
    rows = {"state": states, "next_state": states[::-1], "action": RNG.normal(size=(50, 1))}
    found = Normalization.of([{k: v[:20] for k, v in rows.items()}, {k: v[20:] for k, v in rows.items()}],
                             TangentSpace.from_axes(frame))  # fmt: skip
    assert np.array_equal(found.normalized("state", states)[:, 1:5], states[:, 1:5])
    deviation = states.std(0)
    assert found.tangent == pytest.approx([deviation[0], 1, 1, 1, deviation[5]])
    scaled = found.normalized("j_state", np.ones((1, 5, 5)))[0]
    assert scaled[0, 4] == pytest.approx(deviation[5] / deviation[0]) and scaled[0, 2] == 1 / found.tangent[0]


def test_users_17_masks_and_tangents_are_columns(opened):
    names = ("zero_state", "zero_action", "n_zero_state", "j_state", "x", "dx", "next_state")
    rows = columns_of(opened.batches("E", names, 10, shuffle=True))
    assert np.array_equal(rows["zero_state"], rows["j_state"] == 0) and rows["zero_state"].dtype == bool
    assert np.array_equal(rows["zero_state"].sum((1, 2)), rows["n_zero_state"])
    assert rows["zero_action"].shape == (EPISODES * LENGTH, 3, 2) and rows["zero_action"][:, 2].all()
    assert np.array_equal(rows["x"] + rows["dx"], rows["x"] + (rows["next_state"] - rows["x"]))
    with pytest.raises(UsageError, match="zero_state and zero_action are of exact rows"):
        opened.batches("E", ("zero_state",), method="fd")
    with pytest.raises(UsageError, match="did you mean zero_state"):
        opened.batches("E", ("zero_stat",))


@pytest.mark.parametrize("method", ["implicit", "fd"])
def test_users_17_the_method_is_a_column(opened, method):
    rows = columns_of(opened.batches("E", ("method", "step"), method=method, dtype="float32"))
    assert rows["method"].dtype == np.int8 and {METHODS[place] for place in rows["method"]} == {method}


@pytest.mark.slow
def test_users_17_a_condition_narrows_the_batches(opened):
    assert opened.batches("E", where="step < 3").n_rows == 3 * EPISODES
    with pytest.raises(UsageError, match="condition 'stepp < 3'"):
        opened.batches("E", where="stepp < 3")
