"""The rule by which names of axes are made unique in their space: what is asked by name is one axis."""

from collections.abc import Sequence


def folded(name: str) -> bytes:
    """Return a name as SQL compares it: to DuckDB a is A, and other letters are as they stand."""
    return name.encode(errors="surrogatepass").lower()  # a file's name need not be UTF-8


def unique_names(names: Sequence[str]) -> list[str]:
    """Return the names of a space's axes in order, the first of each as it is.

    A later axis of the same name, in upper or lower case, gets the first of ``name#2``, ``name#3``, … that no axis has.
    A model's names are unique, and those of axes need not be: the velocity of joint ``j`` is the axis ``j.vel``, and so
    may be the position of a joint of that name; joints without a name share their body's.
    """
    taken, seen, unique = {*map(folded, names)}, set[bytes](), []
    for name in names:
        own, number = name, 2
        while folded(own) in (seen if own is name else taken):
            own, number = f"{name}#{number}", number + 1
        seen.add(folded(name))
        taken.add(folded(own))
        unique.append(own)
    return unique
