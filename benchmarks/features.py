"""Compare Jacobians of a model for each covered feature with centred differences of the C engine's step.

    python benchmarks/features.py      (ten minutes and more: each model is compiled)

The models are those of tests/ingest/models/feature_models.py, in which the features are active; two substeps, eight
states each, touching where the feature is one of contacts. The nearest of three widths counts: some displace a state
over an edge. C's solver is given time to finish. benchmarks/features.json has the relative differences, of which
docs/generate.py makes the last column in docs/models.md.
"""

import functools
import json
import sys
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from robots import Differences  # the script beside this one

import jacdb
from jacdb.ingest.linearization.evaluations import Start
from jacdb.ingest.models.features import table

OUT = Path(__file__).parent / "features.json"
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "ingest" / "models"))
import feature_models  # noqa: E402  # their models, and their states
import stage_differences  # noqa: E402

STATES, SUBSTEPS = 8, 2


@functools.cache
def errors(xml: str, contact: bool) -> tuple[float, ...]:
    """Return the relative difference of each state's whole Jacobian; infinity where a contact is on an edge."""
    model = mujoco.MjModel.from_xml_string(xml)
    model.opt.tolerance, model.opt.iterations = 0, max(model.opt.iterations, 1000)
    states = list(stage_differences.states(model, STATES, contact))
    names = ("qpos", "qvel", "act", "ctrl", "qacc_warmstart", "mocap_pos", "mocap_quat")
    at: dict[str, Any] = {name: np.stack([getattr(data, name) for data in states]) for name in names}
    steps = jacdb.linearize(model, **at, substeps=SUBSTEPS)
    exact = np.concatenate([steps.j_state, steps.j_action], axis=2)
    apart, _ = Differences(model, SUBSTEPS).apart(Start(**at), exact)
    return tuple(np.where(np.isfinite(steps.residual), apart, np.inf).tolist())


def line(name: str) -> dict[str, Any]:
    """Return what was found of a feature's models: how many states were compared, the median and the largest."""
    found = np.array([error for case in feature_models.MODELS[name] for error in errors(case.xml, case.contact)])
    followed = found[np.isfinite(found)]
    return {"compared": len(followed), "median": float(np.median(followed)), "largest": float(np.max(followed))}


def main() -> None:
    """Compare each, and keep what was found."""
    mujoco.set_mju_user_warning(lambda text: None)
    rows = {}
    for feature in table():
        if feature.covered and feature.name in feature_models.MODELS:
            rows[feature.name] = line(feature.name)
            print(feature.name, rows[feature.name], flush=True)
            OUT.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
