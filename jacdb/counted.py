"""Say how many there are of something, in words that agree with the number."""


def counted(number: int, name: str) -> str:
    """Return a number and a name, in the plural unless it is one: "1 step", "2,000 steps"."""
    return f"{number:,} {name}{'' if number == 1 else 's'}"
