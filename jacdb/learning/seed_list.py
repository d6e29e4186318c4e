"""Seeds as people type them: 0,1,2 or 0-4."""

import re

from jacdb.errors import UsageError

MOST = 1000
DIGITS = 9  # of a seed: JAX takes 32 bits


def parse(text: str) -> list[int]:
    """Return the seeds in a text, in order, each once.

    Raises:
        UsageError: the text is no list of numbers and ranges, names more than 1,000, or one is too large.
    """
    seeds: dict[int, None] = {}
    for word in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", word)
        if match and max(map(len, match.groups(""))) > DIGITS:
            raise UsageError(f"--seeds {text}: a seed has {DIGITS} digits at most")
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise UsageError(f"--seeds {text}: give numbers and ranges, such as 0,1,2 or 0-4")
        first, last = int(match[1]), int(match[2] or match[1])
        if last - first >= MOST or len(seeds) > MOST:
            raise UsageError(f"--seeds {text}: give {MOST:,} at most")
        seeds |= dict.fromkeys(range(first, last + 1))
    return list(seeds)
