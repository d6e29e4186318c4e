"""JSON as browsers take it: without NaN and infinity, which are null there."""

import json
import math
from typing import Any


def encode(value: Any) -> bytes:
    """Return a value as JSON, without spaces; numbers that are not finite become null."""
    return json.dumps(_finite(value), allow_nan=False, separators=(",", ":")).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
