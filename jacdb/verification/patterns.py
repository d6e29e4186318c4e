"""Check a row of `patterns`: its shapes, its bits, the same bits as words, and the id that is their hash."""

from typing import Any

import numpy as np

from jacdb import schemas
from jacdb.verification.rows import Dimensions

COLUMNS = ("pattern_id", "d_state", "d_action", "zero_state", "zero_action")
WORDS = ("zero_state_words", "zero_action_words")  # since version 2


def problem(row: dict[str, Any], dimensions: Dimensions) -> str | None:
    """Return what is wrong with a row of `patterns`; None if nothing.

    Args:
        row: its values of ``COLUMNS``, and of ``WORDS`` where its version has them.
        dimensions: the run's.
    """
    if (row["d_state"], row["d_action"]) != (dimensions.d_state, dimensions.d_action):
        stated = f"d_state and d_action are {row['d_state']} and {row['d_action']}"
        return f"{stated}, the run's {dimensions.d_state} and {dimensions.d_action}"
    for column, matrix in (("zero_state", "j_state"), ("zero_action", "j_action")):
        packed, entries = row[column], dimensions.n_entries(matrix)
        if len(packed) != -(-entries // 8):
            return f"the bits of {matrix} are {len(packed):,} bytes, {entries} entries take {-(-entries // 8)}"
        if entries % 8 and packed[-1] & (0xFF >> entries % 8):
            return f"bits of {matrix} that belong to no entry are set"
        words = f"{column}_words"
        bits = np.frombuffer(packed, np.uint8)[None]
        if words in row and row[words] != schemas.pattern_words(bits, entries)[0].tolist():
            return f"{words} are not the bits of {column}"
    ident = schemas.pattern_id(dimensions.d_state, dimensions.d_action, row["zero_state"] + row["zero_action"])
    if ident != row["pattern_id"]:
        return f"pattern_id is {row['pattern_id']}, the hash of its bits is {ident}"
    return None
