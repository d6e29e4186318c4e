"""Rows of a linear system with sparse A and B: x' = A x + B u."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from synthetic import dataset, episode

A = np.array([[0.9, 0.4, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0, 0.7]])
B = np.array([[0.0, 0.0], [0.5, 0.0], [0.0, 0.3]])


def linear_episode(number: int, steps: int = 60):
    """An episode under random actions; every fifth step touches, and hides an entry behind roundoff."""
    random = np.random.default_rng(number)
    actions, states = random.normal(size=(steps, 2)), [random.normal(size=3)]
    for action in actions:
        states.append(A @ states[-1] + B @ action)
    j = np.tile(np.concatenate([A, B], axis=1), (steps, 1, 1))
    j[::5, 2, 0] = 1e-10  # neither zero nor clearly not
    return episode(
        number, j[..., :3], j[..., 3:], state=np.array(states[:-1]),
        touching=[["tip"] if step % 5 == 0 else [] for step in range(steps)],
        columns={"action": actions, "next_state": np.array(states[1:])},
    )  # fmt: skip


def add_expert(root, numbers, run="run-c"):
    """Add a run of another policy: expert."""
    dataset(root, "Linear", [linear_episode(number) for number in numbers], run, seed=1)
    [part] = (root / "episodes").glob(f"*/run={run}/*.parquet")
    table = pq.read_table(part, partitioning=None)
    at = table.schema.get_field_index("policy")
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array(["expert"] * len(table))), part)


# A model in a person's own file
OWN_MODEL = """
import jax, jax.numpy as jnp

class Affine:
    def __init__(self, scale: float = 1.0):
        self.scale = scale

    def init(self, key, sizes):
        n = sizes.n_state + sizes.n_action
        return {"w": self.scale * jax.random.normal(key, (sizes.n_target, n)), "b": jnp.zeros(sizes.n_target)}

    def predict(self, params, state, action):
        return params["w"] @ jnp.concatenate([state, action]) + params["b"]
"""
