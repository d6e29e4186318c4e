"""Compare the models of dm_control and of Playground's environments of the same name.

Each row of benchmarks/dm_control_options.json has MuJoCo's options of both, and how far apart one physics step of
MuJoCo's C engine takes them from the same state under the same ctrl; and the zeros of dm_control's Jacobians over
two episodes of 50 steps of noise, as benchmarks/environments.py has Playground's. `python docs/generate.py` makes the
table in docs/environments.md of it.

    python benchmarks/dm_control_options.py      (needs jacdb[ingest,dm_control]; ten minutes)
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

import jacdb
from jacdb.ingest.environments.loading import System
from jacdb.ingest.source_pipeline import Annotation, annotate
from jacdb.ingest.sources import dm_control
from jacdb.ingest.sources.host_policies import HostNoise
from jacdb.ingest.sources.rollouts import Rollouts
from jacdb.schemas import ZERO_THRESHOLD

OUT = Path(__file__).parent / "dm_control_options.json"
# One task of each domain: its tasks differ in reward and reset
PAIRS = {
    "AcrobotSwingup": "acrobot-swingup",
    "BallInCup": "ball_in_cup-catch",
    "CartpoleBalance": "cartpole-balance",
    "CheetahRun": "cheetah-run",
    "FingerSpin": "finger-spin",
    "FishSwim": "fish-swim",
    "HopperHop": "hopper-hop",
    "HumanoidRun": "humanoid-run",
    "PendulumSwingup": "pendulum-swingup",
    "PointMass": "point_mass-easy",
    "ReacherHard": "reacher-hard",
    "SwimmerSwimmer6": "swimmer-swimmer6",
    "WalkerRun": "walker-run",
}


def options(model: mujoco.MjModel, n_substeps: int) -> dict[str, Any]:
    """Return what a step depends on beside the bodies."""
    opt, off = model.opt, model.opt.disableflags
    return {
        "timestep": opt.timestep,
        "n_substeps": n_substeps,
        "integrator": mujoco.mjtIntegrator(opt.integrator).name.removeprefix("mjINT_"),
        "cone": mujoco.mjtCone(opt.cone).name.removeprefix("mjCONE_").lower(),
        "iterations": opt.iterations,
        "ls_iterations": opt.ls_iterations,
        "eulerdamp": not off & mujoco.mjtDisableBit.mjDSBL_EULERDAMP,
        "contact": not off & (mujoco.mjtDisableBit.mjDSBL_CONTACT | mujoco.mjtDisableBit.mjDSBL_CONSTRAINT),
    }


def apart(source: dm_control.DmControlSource, other: mujoco.MjModel) -> list[float]:
    """Return the median and largest relative difference of the change of velocity in one physics step."""
    found = []
    for trajectory in source.trajectories():
        for t in range(0, trajectory.n_steps, 5):
            changes = []
            for model in (source.model, other):
                data = mujoco.MjData(model)
                data.qpos[:], data.qvel[:], data.ctrl[:] = trajectory.qpos[t], trajectory.qvel[t], trajectory.ctrl[t]
                mujoco.mj_step(model, data)
                changes.append((data.qvel - trajectory.qvel[t]) / model.opt.timestep)
            found.append(np.linalg.norm(changes[0] - changes[1]) / max(np.linalg.norm(changes[0]), 1e-12))
    return [float(np.median(found)), float(np.max(found))]


def sparsity(name: str) -> dict[str, float]:
    """Return the shares of zeros in J_s and J_a, of steps in contact and of steps by finite differences."""
    source = dm_control.DmControlSource.load(name, Rollouts(HostNoise(), episodes=2, steps=50))
    with tempfile.TemporaryDirectory() as root:
        annotate(Annotation(source, policy="noise", dtype="float64"), root)
        dataset = jacdb.open(root)
        rows = dataset.fetch(dataset.sql("select j_state, j_action, in_contact, method from steps where finite"))
    exact = np.array(rows["method"].to_list()) == "implicit"
    zeros = (
        float((np.abs(np.array(rows[key].to_list()))[exact] < ZERO_THRESHOLD).mean()) for key in ("j_state", "j_action")
    )
    of_state, of_action = zeros
    return {
        "zero_state": of_state,
        "zero_action": of_action,
        "in_contact": float(np.mean(rows["in_contact"].to_list())),
        "fd": float((~exact).mean()),
    }


def main() -> None:
    """Load each pair, and keep what differs."""
    rows: dict[str, Any] = {}
    for ours, theirs in PAIRS.items():
        system = System.load(ours)
        source = dm_control.DmControlSource.load(theirs, Rollouts(HostNoise(), episodes=2, steps=100))
        rows[ours] = {
            "dm_control": {"name": theirs} | options(source.model, source.n_substeps),
            "playground": options(system.mj_model, system.spec.n_substeps),
            "apart": apart(source, system.mj_model),
            "sparsity": sparsity(theirs),
        }
        print(ours, json.dumps(rows[ours]), flush=True)
    OUT.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
