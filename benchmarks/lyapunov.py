"""Hold Lyapunov exponents against twin trajectories of MuJoCo's C engine, and time them against a plain loop.

    jacdb ingest --env AcrobotSwingup --episodes 4 --steps 1000 --data DIR
    python benchmarks/lyapunov.py --data DIR --env AcrobotSwingup

The twins start 1e-8 apart, along the first vector of the frame. Both are stepped by the stored actions, and brought
as near again after every control step; how far they part is the largest exponent. The engine steps on by itself: only
an episode's first state is jacdb's. The loop is the textbook's: one matrix and one frame at a time. Its matrices are
in memory, and jacdb's in Parquet.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np

import jacdb
from jacdb.dataset.lyapunov import start_frames
from jacdb.ingest.environments.loading import System

APART = 1e-8
TURNS = 3  # the best of them is told


def twins(system: System, state: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """Return how much the logarithm of the distance grows in each control step, (steps,)."""
    model, data = system.mj_model, mujoco.MjData(system.mj_model)

    def step(start: np.ndarray, action: np.ndarray) -> np.ndarray:
        mujoco.mj_setState(model, data, start, mujoco.mjtState.mjSTATE_PHYSICS)
        data.ctrl[:] = np.clip(action, *model.actuator_ctrlrange.T)
        for _ in range(system.spec.n_substeps):
            mujoco.mj_step(model, data)
        return np.concatenate([data.qpos, data.qvel])

    along, growth = start_frames(len(state))[0, :, 0], []
    for action in actions:
        twin = step(state + APART * along, action)
        state = step(state, action)
        size = np.linalg.norm(twin - state)
        along = (twin - state) / size
        growth.append(np.log(size / APART))
    return np.array(growth)


def loop(j_state: np.ndarray) -> np.ndarray:
    """Return the mean growth of each vector of a frame, as textbooks compute it."""
    frame, total = start_frames(j_state.shape[1])[0], np.zeros(j_state.shape[1])
    for matrix in j_state.astype(np.float64):
        frame, r = np.linalg.qr(matrix @ frame)
        total += np.log(np.abs(np.diag(r)))
    return total / len(j_state)


def best[T](job: Callable[[], T]) -> tuple[float, T]:
    """Return the least seconds that a job took, and what it returned."""
    seconds = []
    for _ in range(TURNS):
        began = time.perf_counter()
        made = job()
        seconds.append(time.perf_counter() - began)
    return min(seconds), made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--env", default="AcrobotSwingup")
    parser.add_argument("--window", type=int, default=50)
    arguments = parser.parse_args()
    env, system = arguments.env, System.load(arguments.env)
    if system.spec.action_map != "direct" or system.spec.memory or system.mj_model.nq != system.mj_model.nv:
        parser.error(f"{env}: give an environment whose state is qpos and qvel, and whose action is ctrl")
    with jacdb.open(arguments.data) as dataset:
        seconds, spectra = best(lambda: dataset.lyapunov(env, window=arguments.window))
        [dt] = dataset.runs(env)["ctrl_dt"].unique()
        [run_id, *_] = dataset.runs(env)["run_id"]
        episodes = {
            number: next(dataset.where(f"episode = {number} and run_id = '{run_id}'").batches(
                env, ("state", "action", "j_state"), batch_size=10**6, twins=True
            ).__iter__())
            for number in dataset.episodes(env).filter(run_id=run_id)["episode"]
        }  # fmt: skip
    plain, _ = best(lambda: [loop(rows["j_state"]) for rows in episodes.values()])
    n_steps = sum(len(rows["state"]) for rows in episodes.values())
    print(f"{n_steps:,} steps of {env}: {1e6 * seconds / n_steps:.1f} us a step with reading and a second frame,")
    print(f"the loop {1e6 * plain / n_steps:.1f} us: {plain / seconds:.1f} times as long")
    print("episode    largest      twins   apart in a window, at most")
    for number, rows in episodes.items():
        of_episode = spectra.filter(run_id=run_id, episode=number)
        growth = twins(system, rows["state"][0], rows["action"]) / dt
        windows = of_episode.filter(span="window")["largest"].to_numpy()
        by_twins = growth[: len(windows) * arguments.window].reshape(-1, arguments.window).mean(axis=1)
        [largest] = of_episode.filter(span="whole")["largest"]
        print(f"{number:>7}{largest:>11.5f}{growth.mean():>11.5f}{np.abs(windows - by_twins).max():>11.1e}")


if __name__ == "__main__":
    main()
