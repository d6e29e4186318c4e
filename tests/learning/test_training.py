"""What a training compares, takes from a model, and is called by."""

import errno
import os
import shutil

import numpy as np
import polars as pl
import pytest

from jacdb.errors import FailureError
from jacdb.learning import evaluation, training
from jacdb.learning.checkpoint import Checkpoint, Progress
from jacdb.learning.learn import learn
from jacdb.learning.loss_names import loss_of
from jacdb.learning.models import registry
from jacdb.learning.models.mlp import MLP
from jacdb.learning.training_settings import TrainingSettings

TIED_AND_KEPT = """
import jax, jax.numpy as jnp

class Tied:
    kept = None

    def init(self, key, sizes):
        Tied.kept = jnp.ones((sizes.n_target, sizes.n_state + sizes.n_action)) if Tied.kept is None else Tied.kept
        zeros = jnp.zeros(sizes.n_target)
        return {"w": Tied.kept, "b": zeros, "c": zeros}

    def predict(self, params, state, action):
        return params["w"] @ jnp.concatenate([state, action]) + params["b"] + params["c"]
"""


@pytest.fixture
def root(linear_root, tmp_path):
    return shutil.copytree(linear_root, tmp_path / "data")


def validated(linear, loss, **settings):
    """Return the places in the validation part of the rows of each piece, (pieces, rows)."""
    made = training.Training(MLP(depth=0), linear, loss_of(loss), TrainingSettings(batch_size=8, **settings), 0)
    rows, pieces = linear.parts["validation"].state, np.asarray(made._validation["state"])
    return np.argmax((pieces[:, :, None] == rows).all(-1), axis=2)


@pytest.mark.slow
def test_some_jacobians_are_compared_of_rows_of_all_the_validation_part(linear):
    n = len(linear.parts["validation"])
    every, some = validated(linear, "mse+maej"), validated(linear, "mse+maej", jacobian_rows=2)
    assert sorted(some.ravel()) == sorted(every.ravel()) and (np.diff(every) > 0).all()
    compared = np.sort(some[:, :2].ravel())
    assert np.diff(compared, prepend=0, append=n - 1).max() <= 1.5 * n / len(compared)
    assert (some[:, 1] - some[:, 0] > n / 4).all()  # of each piece, too
    assert np.array_equal(validated(linear, "mse+maej", jacobian_rows=8), every)
    assert np.array_equal(validated(linear, "mse", jacobian_rows=2), every)


@pytest.mark.slow
def test_a_model_may_keep_its_arrays_and_give_one_twice(root, linear):
    file = root / "own.py"
    file.write_text(TIED_AND_KEPT)
    settings = TrainingSettings(steps=10, batch_size=32, validate_every=5)
    made = learn(linear, root, f"{file}:Tied", loss_of("mse"), settings=settings)
    assert made.progress.step == 10 and {score.part for score in made.scores} >= {"untrained", "test"}


@pytest.mark.slow
def test_equal_work_has_one_id_and_other_rows_of_validation_another(root, linear):
    def ran(model="mlp", loss="mse+maej", width=4, weight=None, **settings):
        asked = TrainingSettings(**{"batch_size": 16, "validate_every": 5, "steps": 5, **settings})
        own = {"width": width} | ({} if weight is None else {"weight": weight})
        made = learn(linear, root, model, loss_of(loss), settings=asked, model_settings=own)
        return made.run_id, made.was_there

    whole = ran()
    assert ran(steps=2) == ran(steps=5) == (whole[0], True)
    weighted = ran("spartan", "mse", weight=1.0)[0]
    assert ran("spartan", "mse", weight=1) == (weighted, True)
    # the id that it had when validation compared the first rows of its part
    with_some = ran(jacobian_rows=4)[0]
    [configuration] = pl.read_parquet(next(root.glob(f"learning_runs/*/run={with_some}/*")))["configuration"]
    assert '"validation": "spread"' in configuration and with_some != whole[0]
    for other in ({"loss": "mse", "jacobian_rows": 4}, {"jacobian_rows": 16}):
        [told] = pl.read_parquet(next(root.glob(f"learning_runs/*/run={ran(**other)[0]}/*")))["configuration"]
        assert "spread" not in told


@pytest.mark.slow
def test_a_prediction_that_goes_to_infinity_has_an_infinite_error(linear):
    class Diverging(MLP):
        def predict(self, params, state, action):
            return state + np.float32(np.inf)

    model = Diverging(depth=0)
    params = training.initial_params(model, linear, 0)
    errors = evaluation.Evaluator(model, linear).evaluate(params, linear.parts["test"]).squared_error
    assert np.isinf(errors[1][1]).all()


def test_a_whole_number_is_a_float_where_a_class_takes_one(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(f"{TIED_AND_KEPT}\nclass Scaled(Tied):\n    def __init__(self, by: float = 1.0, n=1): pass\n")
    model = registry.make(f"{file}:Scaled", {"by": 2, "n": 2})
    told = registry.described(f"{file}:Scaled", model, {"by": 2, "n": 2})["settings"]
    assert [type(value) for value in told.values()] == [float, int]


def test_a_checkpoint_that_does_not_fit_on_the_disk_is_told(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(FailureError, match=r"to .*run-a.npz: No space left on device: make room; the same command"):
        Checkpoint(Progress(), [], []).write(tmp_path / "run-a.npz")
    assert not any(tmp_path.iterdir())
