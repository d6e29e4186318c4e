"""The result of a check: how much it checked, the worst deviation, and what is wrong where."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from jacdb.dataset.layout import PartPath

LISTED = 5  # findings of a check that are listed; the rest are only counted


class Finding(NamedTuple):
    """One thing that is wrong.

    Attributes:
        path: the file, as a path below the dataset's folder.
        row: the row of that file, from 0; None if the finding is about the file.
        wrong: what is wrong.
    """

    path: str
    row: int | None
    wrong: str

    @property
    def place(self) -> str:
        """The place in short, table and part: the environment and the run stand beside it in the report."""
        part = PartPath.parse(self.path)
        short = f"{part.table} {part.number}" if part else self.path
        return short if self.row is None else f"{short}, row {self.row}"

    def __str__(self) -> str:
        row = "" if self.row is None else f", row {self.row}"
        return f"{self.path}{row}: {self.wrong}"


def message(text: str, *values: np.ndarray) -> Callable[[int], str]:
    """Return a function from a row of a batch to the text with that row's values filled in."""
    return lambda place: text.format(*(value[place] for value in values))


@dataclass
class Check:
    """One check of one run.

    Attributes:
        env, run_id: the run.
        name: what is checked.
        unit: what is counted: rows, files, steps, …
        checked: how many units were checked.
        failed: how many of them are wrong.
        worst: the largest deviation; None for a check that only knows right and wrong.
        at: the place of the worst deviation, or of the first finding.
        note: a remark, such as why something was not checked.
        findings: the first findings; see LISTED.
    """

    env: str
    run_id: str
    name: str
    unit: str
    checked: int = 0
    failed: int = 0
    worst: float | None = None
    at: str | None = None
    note: str = ""
    findings: list[Finding] = field(default_factory=list)

    def fail(self, path: str, wrong: str, row: int | None = None) -> None:
        """Add a finding."""
        finding = Finding(path, None if row is None else int(row), wrong)
        self.failed += 1
        if self.failed == 1 and self.worst is None:
            self.at = finding.place
        if self.failed <= LISTED:
            self.findings.append(finding)

    def fail_rows(self, path: str, rows: np.ndarray, which: np.ndarray, wrong: Callable[[int], str]) -> None:
        """Add a finding for each row that is wrong.

        Args:
            rows: the numbers of a batch's rows in the file.
            which: booleans, one for each row: whether it is wrong.
            wrong: returns what is wrong, given a row of the batch.
        """
        places = np.flatnonzero(which)
        for place in places[: max(0, LISTED - self.failed)]:
            self.fail(path, wrong(place), rows[place])
            places = places[1:]
        self.failed += len(places)

    def saw(self, path: str, rows: Iterable[int] | np.ndarray, deviations: np.ndarray) -> None:
        """Keep the largest deviation of these rows of a file; NaN counts as the largest."""
        if not len(deviations):
            return
        place = int(np.argmax(np.where(np.isnan(deviations), np.inf, deviations)))
        deviation = float(deviations[place])
        if self.worst is None or not deviation <= self.worst:
            self.worst, self.at = deviation, Finding(path, list(rows)[place], "").place

    def lines(self) -> Iterator[str]:
        """Yield a line for each finding that is listed, and one that counts the others."""
        yield from map(str, self.findings)
        if (more := self.failed - len(self.findings)) > 0:
            yield f"{self.name} of {self.env}, run {self.run_id}: {more:,} more are wrong"
