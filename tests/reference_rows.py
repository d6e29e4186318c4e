"""A few rows of each of some environments, kept: whoever changes what the engine computes has to raise its number.

`pytest --reference` makes them anew, from what the fixtures of the tests ingest anyway.
"""

from pathlib import Path

import numpy as np

import jacdb
from jacdb.ingest.provenance import ENGINE_VERSION

FOLDER = Path(__file__).parent / "ingest" / "reference"
STEPS = (0, 1, 4, 9)  # of the first episode: later ones differ between processors, where contacts are chaotic
VECTORS, MATRICES = ("state", "action", "next_state"), ("j_state", "j_action")
SAME = 1e-6  # relative to the largest of a step: another processor rounds otherwise
SMALL, SAME_SMALL = 1e-10, 2e-13  # entries near the threshold, and how far these may move: 1e-12 is not 1e-14


def of(dataset: jacdb.Dataset) -> dict[str, np.ndarray]:
    """Return a dataset's rows to keep, and the engine that made them."""
    names = ", ".join((*VECTORS, *MATRICES))
    rows = dataset.sql(f"select {names} from steps where episode = 0 and step in {STEPS} order by step").pl()
    return {name: np.array(rows[name].to_list()) for name in rows.columns} | {"engine": np.array(ENGINE_VERSION)}


def load(env: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{env}.npz") as kept:
        return dict(kept)


def check(dataset: jacdb.Dataset, env: str, make: bool) -> None:
    """Compare a dataset's rows with those that are kept, or keep them."""
    found = of(dataset)
    if make:
        FOLDER.mkdir(exist_ok=True)
        np.savez_compressed(FOLDER / f"{env}.npz", **found)
    differs = difference(load(env), found)
    assert not differs, (
        f"{env}: {differs}. If that is meant, raise ENGINE_VERSION in ingest/provenance.py, and make the reference"
        " (`pytest --reference` of the tests that fail so) and the sample (`make sample`) anew"
    )


def difference(kept: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> str | None:
    """Return how rows differ from those that are kept, beyond another processor's rounding; None if they do not."""
    if kept["engine"] != found["engine"]:
        return f"the reference is of engine {kept['engine']}, this is engine {found['engine']}"
    for name in (*VECTORS, *MATRICES):
        a, b = (rows[name].reshape(len(STEPS), -1) for rows in (kept, found))
        if a.shape != b.shape:
            return f"{name} has another size"
        off = np.abs(a - b)
        allowed = np.broadcast_to(SAME * np.abs(a).max(axis=1, keepdims=True), a.shape)
        if name in MATRICES:
            allowed = np.where(np.abs(a) < SMALL, SAME_SMALL + np.abs(a) / 10, allowed)
        if (off > allowed).any():
            row, entry = np.argwhere(off > allowed)[0]
            return f"entry {entry} of {name} in step {STEPS[row]} was {a[row, entry]:.3e}, and is {b[row, entry]:.3e}"
    return None
