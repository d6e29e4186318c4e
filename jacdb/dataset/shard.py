"""Which shard of a run: named by people as I/N, and light, so that what is typed wrong is told at once."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from jacdb.errors import UsageError

SHARDS = "shards"  # the folder of shards, in a dataset's
MAX_SHARDS = 100_000
_WORDS = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")


@dataclass(frozen=True, order=True)
class Shard:
    """One of the shards of a run.

    Attributes:
        index: from 0.
        count: how many there are.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the shard that a person names: ``0/4`` is the first of four.

        Raises:
            UsageError: it is none.
        """
        match = _WORDS.fullmatch(text)
        index, count = (int(match[1]), int(match[2])) if match else (0, 0)
        if not index < count <= MAX_SHARDS:
            raise UsageError(
                f"--shard {text}: give I/N, I from 0 to N - 1 and N up to {MAX_SHARDS:,}: 0/4 is the first of 4"
            )
        return cls(index, count)

    @property
    def words(self) -> str:
        """The shard in words: "shard 1 of 4"; the first is 0."""
        return f"shard {self.index} of {self.count}"

    def numbers(self, total: int) -> range:
        """Return its episodes, given how many the run has: shards differ by one at most."""
        return range(total * self.index // self.count, total * (self.index + 1) // self.count)

    @property
    def folder(self) -> str:
        """The folder of its files, below the dataset's."""
        return f"{SHARDS}/{self.index}-of-{self.count}"

    def root(self, root: Path) -> Path:
        """Return the folder of its files, given the dataset's."""
        return root / self.folder
