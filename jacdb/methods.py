"""The methods by which a row is differentiated (docs/jacobians.md): one list for ingest, checks and SQL."""

from typing import Literal, get_args

Method = Literal["implicit", "unrolled", "autodiff", "fd"]
METHODS: tuple[str, ...] = get_args(Method)  # in the order in which two of them are compared
EXACT = tuple(method for method in METHODS if method != "fd")  # the derivative itself, not a difference
