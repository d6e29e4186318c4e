"""Seeds as people type them: 0,1,2 or 0-4."""

import re

from jacdb.errors import UsageError

MOST = 1000


def parse(text: str) -> list[int]:
    """Return the seeds in a text, in order, each once.

    Raises:
        UsageError: the text is no list of numbers and ranges, or names more than 1,000.
    """
    seeds: dict[int, None] = {}
    for word in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", word)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise UsageError(f"--seeds {text}: give numbers and ranges, such as 0,1,2 or 0-4")
        first, last = int(match[1]), int(match[2] or match[1])
        if last - first >= MOST or len(seeds) > MOST:
            raise UsageError(f"--seeds {text}: give {MOST:,} at most")
        seeds |= dict.fromkeys(range(first, last + 1))
    return list(seeds)
