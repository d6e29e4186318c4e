"""Results of learning with known numbers, as `jacdb learn` and `jacdb score` write them; nothing is trained."""

import datetime
import json

import numpy as np

from jacdb.dataset import learning_files
from jacdb.dataset.layout import Run
from jacdb.learning import results
from jacdb.learning.checkpoint import Checkpoint, Progress
from jacdb.learning.scores import Score

SPARSITY = {"mse": 0.0, "mse+l1": 0.01}
_UNTRAINED_COLUMNS = ("loss", "weight", "seed", "target", "n_parameters", "steps", "best_step", "validation_loss")


def learned(root, env, benchmark="b1"):
    """Write an MLP with two losses and three seeds, and a baseline: AUROC 0.6, 0.7, 0.8 of mse, 0.1 more of mse+l1."""
    for of, loss in enumerate(SPARSITY):
        for seed in range(3):
            auroc, error = 0.6 + 0.1 * (seed + of), (1 + of) * (1 + 0.1 * seed)
            settings = {"model": {"name": "mlp"}, "loss": loss}
            told = {"loss": loss, "seed": seed, "target": "delta", "n_parameters": 9, "steps": 100, "best_step": 90}
            scores = [
                *_scores(auroc, SPARSITY[loss]),
                Score("test", "all", "prediction_mse", 9, error, horizon=1),
                Score("test", "all", "prediction_mse", 9, float("inf"), horizon=50),
            ]
            results.write(root, env, f"mlp-{loss}-{seed}-{benchmark}", _row("mlp", settings, benchmark, told), scores)
    row = _row("mean_pattern", {"baseline": "mean_pattern"}, benchmark, {})
    results.write(root, env, f"mean_pattern-{benchmark}", row, _scores(0.95, 1.0))


def checkpoint(root, run_id, value=1.0, seconds=2.0, *, has_ended=True, env="E"):
    """Write the checkpoint of a training, whose parameters have a value and which took some time; return its path."""
    path = root / learning_files.checkpoint_of(Run(env, run_id))
    params = [np.full((2, 3), value), np.full(3, value, np.float32)]
    progress = Progress(step=100, seconds=seconds, finished=has_ended)
    Checkpoint(progress, params, [] if has_ended else params).write(path)
    return path


def row():
    """The row of an MLP."""
    return _row("mlp", {"model": {"name": "mlp"}}, "b1", {})


def _scores(auroc, sparsity):
    return [
        Score("test", "all", "auroc", 9, auroc),
        Score("validation", "all", "auroc", 9, 0.0),
        Score("test", "near_switch", "auroc", 9, auroc - 0.1),
        Score("test", "all", "f1", 9, auroc / 2),
        Score("test", "all", "switch_f1", 9, 0.25, horizon=5),
        Score("test", "all", "relative_sparsity", 9, sparsity, threshold=1e-6),
        Score("test", "all", "relative_sparsity", 9, 0.5, threshold=1e-3),
        Score("untrained", "all", "relative_sparsity", 9, 0.0, threshold=1e-6),
        Score("test", "all", "auroc_entry", 9, auroc, row=0, col=1),
        Score("test", "all", "zero_share_entry", 9, 0.5, row=0, col=1),
    ]


def _row(model, settings, benchmark, told):
    return {
        **dict.fromkeys(_UNTRAINED_COLUMNS), "model": model, "configuration": json.dumps(settings),
        "benchmark": benchmark, "policy": "expert", "n_train": 70, "n_validation": 10, "n_test": 20, "seconds": 2.0,
        "device": "a processor", "versions": "{}", "started": datetime.datetime(2026, 1, 1), **told,
    }  # fmt: skip
