"""Which rows are read: segments of episodes, of one run for each trajectory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from jacdb.dataset.sql_text import literal
from jacdb.dataset.views import Views
from jacdb.methods import METHODS


@dataclass(frozen=True)
class Segments:
    """Segments: consecutive steps of an episode. Each array has one entry a segment, by run, episode and step.

    Arrays and not a frame: polars hangs in a process that was forked.

    Attributes:
        run_id: its run, (segments,).
        episode: its episode in the run, (segments,).
        first: its first step, (segments,).
        last: its last step, (segments,).
        trajectory_id: what determines its states; see ``jacdb.schemas.trajectory_id``, (segments,).
    """

    run_id: np.ndarray
    episode: np.ndarray
    first: np.ndarray
    last: np.ndarray
    trajectory_id: np.ndarray

    def __len__(self) -> int:
        return len(self.run_id)

    @property
    def n_rows(self) -> int:
        """The number of rows in them."""
        return int((self.last - self.first + 1).sum())

    @property
    def runs(self) -> list[str]:
        """The ids of their runs, sorted."""
        return sorted(set(self.run_id))

    def where(self, chosen: np.ndarray) -> Self:
        """Return the segments chosen by a mask, (segments,)."""
        return type(self)(*(values[chosen] for values in vars(self).values()))


def segments(dataset: Views, env: str, methods: Sequence[str] = METHODS, *, twins: bool = False) -> Segments:
    """Return the segments of an environment: consecutive steps that are finite and meet the dataset's condition.

    Runs that differ in method or dtype have the same episodes, and of other lengths have those whose noise is the same
    at every length. Of such twins one is taken: an exact one before one by finite differences, then the one of most
    rows, then the first by run id.

    Args:
        dataset: what to read.
        env: the environment.
        methods: the methods whose rows are wanted.
        twins: whether all twins are taken.

    Raises:
        UsageError: the dataset has no such environment.
        FailureError: the condition fails as it runs, or a file can't be read.
    """
    dataset.view("steps", env)
    one_of_each = "qualify row_number() over (partition by trajectory_id order by by_fd, steps desc, run_id) = 1"
    found = dataset.fetch_table(
        dataset.sql(f"""
            with kept as not materialized (
                select run_id, episode, step, method from steps
                where env = {literal(env)} and finite and method in ({", ".join(map(literal, methods))})
            ), spans as (
                select run_id, episode, min(step) as first, max(step) as last, count(*) as steps,
                    bool_or(method = 'fd') as by_fd
                from kept group by all
            ), chosen as (
                select spans.*, trajectory_id
                from spans inner join (from episodes where env = {literal(env)}) using (run_id, episode)
                {"" if twins else one_of_each}
            ), broken as (
                select run_id, episode, trajectory_id, step,
                    step - row_number() over (partition by run_id, episode order by step) as gap
                from kept inner join (from chosen where last - first + 1 > steps) using (run_id, episode)
            )
            select run_id, episode, first, last, trajectory_id from chosen where last - first + 1 = steps
            union all
            select run_id, episode, min(step), max(step), trajectory_id from broken
            group by run_id, episode, trajectory_id, gap
            order by run_id, episode, first
        """)
    )
    return Segments(*(column.to_numpy() for column in found.columns))


def trajectories(dataset: Views, env: str, methods: Sequence[str]) -> np.ndarray:
    """Return the ids of all trajectories that have a finite row by a method, sorted; a condition does not matter."""
    found = dataset.fetch_table(
        dataset.sql(f"""
            select distinct trajectory_id
            from (
                select distinct run_id, episode from stored_steps
                where env = {literal(env)} and finite and method in ({", ".join(map(literal, methods))})
            ) inner join (from episodes where env = {literal(env)}) using (run_id, episode)
            order by trajectory_id
        """)
    )
    return found["trajectory_id"].to_numpy()
