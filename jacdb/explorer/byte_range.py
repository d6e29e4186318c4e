"""The header Range of a request, as RFC 9110 has it: one range of bytes; of several, the whole is sent."""

import re

_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.IGNORECASE)


def wanted(header: str | None, size: int) -> range | None:
    """Return the bytes that are asked for; None where the header has to be ignored, and the whole is sent.

    Args:
        header: the value of Range; None if there is none.
        size: bytes of the file.

    Returns:
        An empty range if none of the bytes that are asked for is there (416).
    """
    match = _RANGE.fullmatch(header or "")
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        return range(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return None  # not valid
    return range(int(first), min(int(last) + 1, size) if last else size)
