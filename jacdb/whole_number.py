"""Take whole numbers as Python's own: those of NumPy compute in as many bits as they have, and wrap."""

import operator

from jacdb.errors import UsageError


def whole_number(name: str, value: object) -> int:
    """Return an argument that is a whole number, of Python or NumPy, as Python's.

    Args:
        name: of the argument, for the message.
        value: what was given.

    Raises:
        UsageError: it is no whole number.
    """
    try:
        if not isinstance(value, bool):
            return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        pass
    raise UsageError(f"{name}={value!r}: give a whole number")
