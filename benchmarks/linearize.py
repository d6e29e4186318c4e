"""Time the Jacobian of the C engine's step, next to MuJoCo's own finite differences on as many threads.

Models are Gymnasium's, with their physics steps in a control step, and robots of MuJoCo Menagerie where MENAGERIE_ROOT
names a checkout. Both ways begin with the same states and take the step: `linearize` by the C engine and the implicit
function theorem, the peer by ``mjd_transitionFD``, centred, chained over physics steps. It refuses RK4; there the peer
is centred differences of ``mj_step``, along every axis, in the same threads. Ways take turns; medians are of turns.

    python benchmarks/linearize.py [NAME …] [--samples 512] [--turns 5]
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gymnasium
import mujoco
import numpy as np

from jacdb.ingest import runtime
from jacdb.ingest.linearization.evaluations import Start
from jacdb.ingest.linearization.linearizer import Linearizer

ASSETS = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"
RK4, EULER = mujoco.mjtIntegrator.mjINT_RK4, mujoco.mjtIntegrator.mjINT_EULER
# name -> file, physics steps, integrator (None: the model's own)
MODELS: dict[str, tuple[Path, int, int | None]] = {
    "HalfCheetah-v5": (ASSETS / "half_cheetah.xml", 5, None),
    "Ant-v5": (ASSETS / "ant.xml", 5, None),
    "Ant-v5, Euler": (ASSETS / "ant.xml", 5, EULER),
    "Humanoid-v5": (ASSETS / "humanoid.xml", 5, None),
}
if root := os.environ.get("MENAGERIE_ROOT"):
    MODELS |= {
        "Panda": (Path(root) / "franka_emika_panda" / "scene.xml", 5, None),
        "Allegro hand": (Path(root) / "wonik_allegro" / "scene_right.xml", 5, None),
        "Shadow hand": (Path(root) / "shadow_hand" / "scene_right.xml", 5, None),
    }


def states(model: mujoco.MjModel, n: int) -> Start:
    """Return states of rollouts under random ctrl: falling, touching, resting."""
    rng, data, rows = np.random.default_rng(0), mujoco.MjData(model), []
    limited = model.actuator_ctrllimited.astype(bool)[:, None]
    low, high = np.where(limited, model.actuator_ctrlrange, [-1.0, 1.0]).T
    for step in range(4 * n):
        if step % 200 == 0:
            mujoco.mj_resetData(model, data)
            data.qvel[:] = 0.1 * rng.standard_normal(model.nv)
        data.ctrl[:] = rng.uniform(low, high)
        if step % 4 == 3:
            rows.append([getattr(data, name).copy() for name in Start._fields])
        mujoco.mj_step(model, data)
    return Start(*map(np.stack, zip(*rows, strict=True)))


class Differences:
    """The peer: centred differences of the C engine, states shared out to threads."""

    def __init__(self, model: mujoco.MjModel, substeps: int) -> None:
        self._model, self._substeps, self._threads = model, substeps, runtime.cores()
        self._transition = model.opt.integrator != RK4

    def jacobians(self, start: Start) -> np.ndarray:
        of_row = self._by_transition if self._transition else self._by_steps
        shares = np.array_split(np.arange(len(start.qpos)), self._threads)

        def share(rows: np.ndarray) -> list[np.ndarray]:
            data = mujoco.MjData(self._model)
            return [of_row(data, Start(*(leaf[row] for leaf in start))) for row in rows]

        with ThreadPoolExecutor(self._threads) as pool:
            return np.stack([matrix for part in pool.map(share, shares) for matrix in part])

    def _restore(self, data: mujoco.MjData, start: Start) -> None:
        mujoco.mj_resetData(self._model, data)
        for name, value in start._asdict().items():
            getattr(data, name)[:] = value

    def _by_transition(self, data: mujoco.MjData, start: Start) -> np.ndarray:
        model = self._model
        n = 2 * model.nv + model.na
        self._restore(data, start)
        a, b, by_state, by_ctrl = np.zeros((n, n)), np.zeros((n, model.nu)), np.eye(n), np.zeros((n, model.nu))
        for _ in range(self._substeps):
            mujoco.mjd_transitionFD(model, data, 1e-6, True, a, b, None, None)
            by_state, by_ctrl = a @ by_state, a @ by_ctrl + b
            mujoco.mj_step(model, data)
        return np.concatenate([by_state, by_ctrl], axis=1)

    def _by_steps(self, data: mujoco.MjData, start: Start) -> np.ndarray:
        model, eps, columns = self._model, 1e-6, []
        nv, na = model.nv, model.na
        for offset in eps * np.eye(2 * nv + na + model.nu):
            ends = []
            for side in (offset, -offset):
                self._restore(data, start)
                mujoco.mj_integratePos(model, data.qpos, side[:nv], 1.0)
                data.qvel += side[nv : 2 * nv]
                data.act += side[2 * nv : 2 * nv + na]
                data.ctrl += side[2 * nv + na :]
                mujoco.mj_step(model, data, nstep=self._substeps)
                ends.append((data.qpos.copy(), np.concatenate([data.qvel, data.act])))
            dq = np.zeros(nv)
            mujoco.mj_differentiatePos(model, dq, 2 * eps, ends[1][0], ends[0][0])
            columns.append(np.concatenate([dq, (ends[0][1] - ends[1][1]) / (2 * eps)]))
        return np.array(columns).T


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def measure(name: str, samples: int, turns: int) -> dict[str, object]:
    """Return what both ways took for a control step, µs, and how far apart they are."""
    path, substeps, integrator = MODELS[name]
    model = mujoco.MjModel.from_xml_path(str(path))
    if integrator is not None:
        model.opt.integrator = integrator
    runtime.configure()
    start, linearizer, peer = states(model, samples), Linearizer(model, substeps), Differences(model, substeps)

    def ours() -> np.ndarray:
        found = linearizer.jacobians(start, linearizer.step(start))
        residuals.append(found.residual)
        return np.concatenate([found.j_state, found.j_action], axis=2)

    residuals: list[np.ndarray] = []
    compiling = seconds(ours)
    few = Start(*(leaf[: samples // 8] for leaf in start))  # the peer is slow: an eighth of the states
    taken = [(seconds(ours) / samples, seconds(lambda: peer.jacobians(few)) / len(few.qpos)) for _ in range(turns)]
    own, differences = (statistics.median(way) * 1e6 for way in zip(*taken, strict=True))
    exact, estimate = ours()[: len(few.qpos)], peer.jacobians(few)
    solved = residuals[-1][: len(few.qpos)] < 1e-6
    apart = np.linalg.norm(exact - estimate, axis=(1, 2)) / np.linalg.norm(estimate, axis=(1, 2))
    return {
        "model": name,
        "substeps": substeps,
        "us": round(own, 1),
        "us_differences": round(differences, 1),
        "ratio": round(differences / own, 2),
        "solved": f"{solved.mean():.0%}",
        "apart_median": float(f"{np.median(apart[solved]):.1e}"),
        "zeros": round(float((np.abs(exact) < 1e-12).mean()), 3),
        "zeros_of_differences": round(float((np.abs(estimate) < 1e-12).mean()), 3),
        "first_call_s": round(compiling, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(MODELS))
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--turns", type=int, default=5)
    asked = parser.parse_args()
    for name in asked.names:
        print(json.dumps(measure(name, asked.samples, asked.turns)), flush=True)


if __name__ == "__main__":
    main()
