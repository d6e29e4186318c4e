"""Training and validation: every trajectory is in one of both, on every machine and whatever else is ingested."""

import math

import numpy as np

from jacdb.dataset.segments import Segments

SPLITS = ("train", "validation")
_ALL = 2**63  # above every trajectory_id


def of_split(kept: Segments, split: str, share: float, trajectories: np.ndarray) -> Segments:
    """Return the segments of a split.

    A trajectory is in the validation split where ``trajectory_id / 2**63 < share``: the id is a hash. So twins (the
    same episode by another method, say) are in the same split, other runs change nothing, and a smaller share's
    validation split is part of a larger one's. Where all trajectories would be in one split, the one nearest to the
    other is in that.

    Args:
        kept: the segments of both splits.
        split: one of SPLITS.
        share: the expected share of the validation split, between 0 and 1.
        trajectories: the ids of all trajectories of the environment, sorted.
    """
    return kept.where((kept.trajectory_id < _bound(share, trajectories)) == (split == "validation"))


def sufficient_share(kept: Segments, split: str, trajectories: np.ndarray) -> float | None:
    """Return a share with which a split has some of the segments, of few digits; None if there is none."""
    ids = kept.trajectory_id
    for digits in range(1, 7):
        unit = 10**digits
        if split == "validation":
            share = (math.floor(int(ids.min()) / _ALL * unit) + 1) / unit
        else:
            share = math.floor(int(ids.max()) / _ALL * unit) / unit
        if 0 < share < 1 and len(of_split(kept, split, share, trajectories)):
            return share
    return None


def _bound(share: float, trajectories: np.ndarray) -> int:
    """Return the id below which a trajectory is in the validation split."""
    bound = int(share * _ALL)
    if len(trajectories) > 1:
        bound = min(max(bound, int(trajectories[0]) + 1), int(trajectories[-1]))
    return bound


def three_parts(kept: Segments, validation: float, test: float, trajectories: np.ndarray) -> dict[str, Segments]:
    """Return the segments of a training, a validation and a test part, by name; no trajectory is in two.

    A trajectory is in the test part where ``trajectory_id / 2**63 < test``, in the validation part where it is below
    ``test + validation`` besides, and else in the training part. Of three or more trajectories each part has one at
    least: those with the smallest ids make the exceptions.

    Args:
        kept: the segments of all parts.
        validation, test: the expected shares of these parts; together below 1.
        trajectories: the ids of all trajectories that are split, sorted.
    """
    n = len(trajectories)
    below_test, below_both = (int(np.searchsorted(trajectories, int(s * _ALL))) for s in (test, test + validation))
    n_test = min(max(below_test, 1), max(n - 2, 0))
    n_both = min(max(below_both, n_test + 1), max(n - 1, 0))
    place = np.searchsorted(trajectories, kept.trajectory_id)
    return {
        "train": kept.where(place >= n_both),
        "validation": kept.where((place >= n_test) & (place < n_both)),
        "test": kept.where(place < n_test),
    }
