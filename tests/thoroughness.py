"""Which cases of a parametrized test `make test` leaves to `make test-thorough`.

Compiling makes a test long. Where many robots, methods or features are asked the same, `make test` asks some of them.
"""

from collections.abc import Iterable
from typing import Any

import pytest


def thorough(case: Any) -> Any:
    """Return a case that `make test` leaves out."""
    return pytest.param(case, marks=pytest.mark.thorough)


def one_in_five(cases: Iterable[Any]) -> list[Any]:
    """Return the cases, of which `make test` takes each fifth, from the first on."""
    return [case if number % 5 == 0 else thorough(case) for number, case in enumerate(cases)]
