"""What a check of a dataset found: how much was looked at, how far off the worst was, what is wrong and where."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from jacdb.dataset.manifest import Part

LISTED = 5  # findings of a check that are told in full; the rest is counted


class Finding(NamedTuple):
    """What is wrong, and where: a path below the dataset, and a row of that file, from 0."""

    path: str
    row: int | None
    wrong: str

    @property
    def place(self) -> str:
        """In short: table and part, for env and run stand beside it."""
        part = Part.of(self.path)
        short = f"{part.table} {part.number}" if part else self.path
        return short if self.row is None else f"{short}, row {self.row}"

    def __str__(self) -> str:
        row = "" if self.row is None else f", row {self.row}"
        return f"{self.path}{row}: {self.wrong}"


def message(text: str, *values: np.ndarray) -> Callable[[int], str]:
    """What is wrong at a place of a batch: a text with the values there filled in."""
    return lambda place: text.format(*(value[place] for value in values))


@dataclass
class Check:
    """One check of one run.

    Attributes:
        env, run_id: the run.
        name: what is checked.
        of: what is counted.
        checked: how many were looked at.
        failed: how many are wrong.
        worst: the largest deviation; None where a check knows right and wrong alone.
        at: where the worst is, or the first that is wrong.
        note: what else there is to know.
        findings: the first of what is wrong.
    """

    env: str
    run_id: str
    name: str
    of: str
    checked: int = 0
    failed: int = 0
    worst: float | None = None
    at: str | None = None
    note: str = ""
    findings: list[Finding] = field(default_factory=list)

    def fail(self, path: str, wrong: str, row: int | None = None) -> None:
        found = Finding(path, None if row is None else int(row), wrong)
        self.failed += 1
        if self.failed == 1 and self.worst is None:
            self.at = found.place
        if self.failed <= LISTED:
            self.findings.append(found)

    def fail_rows(self, path: str, rows: np.ndarray, which: np.ndarray, wrong: Callable[[int], str]) -> None:
        """Rows that are wrong.

        Args:
            rows: a batch's rows in the file.
            which: whether each is wrong.
            wrong: says of a place in the batch what is wrong there.
        """
        places = np.flatnonzero(which)
        for place in places[: max(0, LISTED - self.failed)]:
            self.fail(path, wrong(place), rows[place])
            places = places[1:]
        self.failed += len(places)

    def saw(self, path: str, rows: Iterable[int] | np.ndarray, deviations: np.ndarray) -> None:
        """Keep the largest of these deviations, of these rows of a file; one that is no number is the largest."""
        if not len(deviations):
            return
        place = int(np.argmax(np.where(np.isnan(deviations), np.inf, deviations)))
        deviation = float(deviations[place])
        if self.worst is None or not deviation <= self.worst:
            self.worst, self.at = deviation, Finding(path, list(rows)[place], "").place
