"""An arm that pushes a free box beside a mocap body, and what it did: what tests of recordings are written from."""

from pathlib import Path

import mujoco
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jacdb.ingest.sources import recordings
from jacdb.ingest.sources.recordings import replay
from jacdb.ingest.sources.recordings.recording import Recording
from jacdb.nested_lists import from_array

XML = """
<mujoco model="arm and box">
  <option timestep="0.004" integrator="implicitfast"/>
  <worldbody>
    <geom type="plane" size="5 5 .1"/>
    <body name="hand" mocap="true" pos="0 1 .5"><geom size=".05" contype="0" conaffinity="0"/></body>
    <body name="box" pos=".5 0 .1"><freejoint name="box"/><geom type="box" size=".1 .1 .1"/></body>
    <body name="upper" pos="0 0 .4">
      <joint name="shoulder" axis="0 1 0" damping=".5"/><geom type="capsule" fromto="0 0 0 0 0 -.2" size=".03"/>
      <body pos="0 0 -.2"><joint name="elbow" axis="0 1 0" damping=".5"/>
        <geom type="capsule" fromto="0 0 0 0 0 -.15" size=".03"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor joint="shoulder" ctrlrange="-1 1" gear="3"/>
    <general joint="elbow" dyntype="filter" dynprm=".05" gainprm="2" ctrlrange="-1 1"/>
  </actuator>
</mujoco>
"""
SUBSTEPS = 5


def load() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(XML)


MODEL = load()


def opened(path: Path | str, **options: Path) -> Recording:
    """A recording of the arm."""
    return recordings.open(path, model=MODEL, n_substeps=SUBSTEPS, **options)


def worst(source: Recording) -> float:
    """The largest error of any of its steps, taken again."""
    return max(run.error.max() for _, run in replay.replays(source.model, source.n_substeps, source.trajectories()))


def rolled(
    model: mujoco.MjModel, n_steps: int = 40, seed: int = 0, n_substeps: int = SUBSTEPS
) -> dict[str, np.ndarray]:
    """What an episode records: the states (T + 1, …), and ctrl, reward and warmstart of its steps (T, …)."""
    rng = np.random.default_rng(seed)
    data = mujoco.MjData(model)
    data.qvel[:] = rng.normal(0, 0.5, model.nv)
    states, steps = {"qpos": [], "qvel": [], "act": []}, {"ctrl": [], "reward": [], "warmstart": []}
    for step in range(n_steps + 1):
        for name, rows in states.items():
            rows.append(getattr(data, name).copy())
        if step < n_steps:
            data.ctrl[:] = rng.uniform(-1, 1, model.nu)
            steps["ctrl"].append(data.ctrl.copy())
            steps["warmstart"].append(data.qacc_warmstart.copy())
            steps["reward"].append(step / 10)
            mujoco.mj_step(model, data, nstep=n_substeps)
    return {name: np.array(rows) for name, rows in (states | steps).items()}


def rows(model: mujoco.MjModel, n_episodes: int = 3, **roll) -> dict[str, np.ndarray]:
    """Episodes one after the other, a row for each state; the last of an episode has no ctrl (NaN) and no reward."""
    columns: dict[str, list[np.ndarray]] = {}
    for episode in range(n_episodes):
        one = rolled(model, seed=episode, **roll)
        n_rows = len(one["qpos"])
        for name in ("ctrl", "reward"):
            one[name] = np.concatenate([one[name], np.full((1, *one[name].shape[1:]), np.nan)])
        del one["warmstart"]
        one["episode"] = np.full(n_rows, episode)
        one["done"] = np.arange(n_rows) == n_rows - 2
        for name, values in one.items():
            columns.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in columns.items()}


def parquet(path, columns, **more):
    """Write columns as one file; what is given beside them is added."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = {name: from_array(np.asarray(values)) for name, values in (columns | more).items() if values is not None}
    pq.write_table(pa.table(table), path)
