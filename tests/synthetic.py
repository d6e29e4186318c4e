"""Episodes without a simulator, for what stores and queries them."""

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from jacdb.dataset.shard import Shard
from jacdb.ingest.storage.arrow import batch
from jacdb.ingest.storage.episodes import ARRAYS, ROW, Episode, pieces
from jacdb.ingest.storage.run_writer import PART_BYTES, RunWriter
from jacdb.ingest.storage.zero_patterns import EntryStatistics, ZeroBits, identify
from jacdb.schemas import CONTACT, SCHEMA_VERSION, SWEEP, ZERO_THRESHOLD, trajectory_id


def episode(
    number: int,
    j_state: np.ndarray,
    j_action: np.ndarray,
    *,
    dtype: type = np.float64,
    method: str | np.ndarray = "implicit",
    touching: list[list[str]] | None = None,
    active: list[list[str]] | None = None,
    state: np.ndarray | None = None,
    columns: dict[str, np.ndarray] | None = None,
) -> Episode:
    """An episode with these matrices, (steps, d, d) and (steps, d, a); steps with NaN are not finite.

    method: of all steps, or of each; touching: of each step, the geoms that touch the floor; active: of each step, what
    else holds; columns: what other columns hold instead of zeros and ones.
    """
    steps, d_action = len(j_state), j_action.shape[2]
    finite = np.isfinite(j_state).all((1, 2)) & np.isfinite(j_action).all((1, 2))
    zeros = np.abs(j_state) < ZERO_THRESHOLD, np.abs(j_action) < ZERO_THRESHOLD
    bits = ZeroBits(*(np.packbits(zero.reshape(steps, -1), axis=1) for zero in zeros))
    identified = identify(bits, j_state.shape[2], d_action)
    last = np.arange(steps) == steps - 1
    touching, active = touching or [[]] * steps, active or [["joint_limit:a"]] * steps
    contacts = [
        [{"geom1": "floor", "geom2": geom, "distance": -0.1, "normal_force": 1.0} for geom in row] for row in touching
    ]

    def below(j: np.ndarray) -> np.ndarray:
        return np.array([np.count_nonzero(np.abs(j[counts]) < threshold) for threshold in SWEEP])

    def where_finite(values: np.ndarray) -> pa.Array:
        return pa.array(values, mask=~finite)

    kept = j_state.astype(dtype), j_action.astype(dtype)
    counts = finite & (np.asarray(method) != "fd")
    largest = tuple(np.abs(j[counts]).max(axis=0, initial=0) for j in kept)
    made = Episode(number)
    own = {
        "state": np.zeros((steps, j_state.shape[1])) if state is None else state,
        "action": np.zeros((steps, d_action)),
        "next_state": np.zeros((steps, j_state.shape[1])),
        "j_state": kept[0],
        "j_action": kept[1],
        "reward": np.ones(steps),
        "done": np.zeros(steps, bool),
        "truncated": last,
        "pattern_id": where_finite(identified.ids),
        "n_zero_state": where_finite(zeros[0].sum((1, 2), dtype=np.int32)),
        "n_zero_action": where_finite(zeros[1].sum((1, 2), dtype=np.int32)),
        "in_contact": np.array([bool(row) for row in touching]),
        "n_contacts": np.array([len(row) for row in touching], np.int32),
        "contacts": pa.array(contacts, pa.list_(CONTACT)),
        "active": pa.array(active, pa.list_(pa.string())),
        "residual": np.zeros(steps),
        "method": np.full(steps, method),
        "finite": finite,
        "replay_error": pa.nulls(steps, pa.float64()),
    } | (columns or {})
    sizes = EntryStatistics(counts.sum(), largest, (below(j_state), below(j_action)))
    [piece] = pieces(batch(own, ROW), np.array([0]), *([own[name]] for name in ARRAYS))
    made.append(piece, identified.patterns, [sizes], is_over=True)
    return made


def trajectory(number: int, env: str = "E", seed: int = 0) -> int:
    """The id of an episode's states, as the rows of a run's `runs` say."""
    return trajectory_id(env, "noise", "{}", seed, "", number)


def dataset(
    root: Path,
    env: str,
    episodes: list[Episode],
    run_id: str = "run-a",
    jacobian: pa.DataType | None = None,
    method: str = "implicit",
    ctrl_dt: float = 1e-12,
    part_bytes: int = PART_BYTES,
    seed: int = 0,
    shard: Shard | None = None,
    versions: str = "{}",
    policy_config: str = "{}",
    suite: str = "playground",
    model: str = "",
    names: dict[str, list[str]] | None = None,
    bodies: dict[str, list[str | None]] | None = None,
) -> RunWriter:
    """Write a finished run of these episodes, or a shard of one; returns its writer.

    Runs of one seed have the same trajectories. names: of a space of `axes`, the names; by default state0, state1, ….
    bodies: of a space, the bodies; by default none.
    """
    ids = partial(trajectory, env=env, seed=seed)
    writer = RunWriter(root, env, "noise", run_id, ids, jacobian or pa.float64(), part_bytes, shard=shard)
    d_state, d_action = episodes[0].jacobian_shape
    n_state = episodes[0].pieces[0].state.shape[1]
    spaces = {"tangent": d_state, "state": n_state, "action": d_action}
    writer.write_axes(
        [
            {
                "space": space,
                "index": i,
                "name": (names or {}).get(space, [f"{space}{k}" for k in range(size)])[i],
                "joint": None,
                "body": (bodies or {}).get(space, [None] * size)[i],
                "quantity": "q",
                "unit": "1",
            }
            for space, size in spaces.items()
            for i in range(size)
        ]
    )
    for one in episodes:
        writer.add(one)
    writer.flush()
    counts = writer.counts(method)
    whole = {"episodes": len(episodes), "steps": max(one.n_steps for one in episodes), "num_envs": 1, **counts}
    numbers = dict.fromkeys(("zero_threshold", "residual_tolerance", "sim_dt", "seconds"), 1e-12)
    texts = {
        "policy_config": policy_config,
        "versions": versions,
        "model": model,
        "method": method,
        "dtype": str(np.dtype((jacobian or pa.float64()).to_pandas_dtype())),
        "held": [],
        "suite": suite,
    }
    sizes = {
        "seed": seed,
        "d_state": d_state,
        "d_action": d_action,
        "schema_version": SCHEMA_VERSION,
        "ctrl_dt": ctrl_dt,
    }
    writer.write_run({**whole, **numbers, **texts, **sizes, "started": np.datetime64(0, "us").item()})
    return writer
