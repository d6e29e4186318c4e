"""Record steps of dm_control as it comes, with the MuJoCo that it was made for.

jacdb repairs dm_control so that it loads with MuJoCo 4.0 (ingest/compat/dm_control.py). A test holds its steps against
these, in tests/ingest/sources/dm_control_3_17.npz. Needs an environment of its own, and no jacdb:

    python3.12 -m venv there && there/bin/pip install dm_control==1.0.50 mujoco==3.17.0
    there/bin/python benchmarks/dm_control_reference.py
"""

from pathlib import Path

import mujoco
import numpy as np
from dm_control import suite

OUT = Path(__file__).parents[1] / "tests/ingest/sources/dm_control_3_17.npz"
NAMES = ("cartpole-balance", "cheetah-run", "finger-spin", "quadruped-walk", "swimmer-swimmer6", "walker-run")
SEED, STEPS = 7, 12

if __name__ == "__main__":
    assert mujoco.__version__ == "3.17.0", "install mujoco 3.17.0"
    recorded: dict[str, np.ndarray] = {}
    for name in NAMES:
        env = suite.load(*name.split("-"), task_kwargs={"random": 0})
        env.task.random.seed(SEED)
        env.reset()
        spec, physics = env.action_spec(), env.physics
        actions = np.random.default_rng(SEED).uniform(spec.minimum, spec.maximum, (STEPS, *spec.shape))
        states = [np.concatenate([physics.data.qpos, physics.data.qvel, physics.data.act])]
        rewards = []
        for action in actions:
            rewards.append(env.step(action).reward)
            states.append(np.concatenate([physics.data.qpos, physics.data.qvel, physics.data.act]))
        recorded |= {f"{name}/action": actions, f"{name}/state": np.array(states), f"{name}/reward": np.array(rewards)}
    np.savez_compressed(OUT, **recorded)  # type: ignore[arg-type]  # no name is its own option's
    print(OUT, OUT.stat().st_size, "bytes")
