"""The zero pattern of a step: one bit an entry, and few distinct patterns.

Statistics over patterns cost by the step; statistics over matrices, by the entry.
"""

import hashlib

import numpy as np

type Patterns = dict[int, tuple[bytes, bytes]]  # {id: (bits of j_state, bits of j_action)}


def zero_patterns(zero_state: np.ndarray, zero_action: np.ndarray) -> tuple[np.ndarray, Patterns]:
    """The pattern of every row, and the bits of every distinct pattern.

    Args:
        zero_state: (rows, d_state, d_state) bool, true where the entry is zero.
        zero_action: (rows, d_state, d_action) bool.

    Returns:
        Pattern ids (rows,) int64: 63 bits of a hash of shape and bits, so that an id needs no register and means
        the same in every run; and {id: (bits of j_state, bits of j_action)}.
    """
    rows = len(zero_state)
    state_bits = np.packbits(zero_state.reshape(rows, -1), axis=1)
    action_bits = np.packbits(zero_action.reshape(rows, -1), axis=1)
    both = np.ascontiguousarray(np.concatenate([state_bits, action_bits], axis=1))
    keys = both.view(np.dtype((np.void, both.shape[1]))).ravel()
    distinct, inverse = np.unique(keys, return_inverse=True)
    shape = repr((zero_state.shape[1:], zero_action.shape[1:])).encode()
    ids, patterns, split = [], {}, state_bits.shape[1]
    for key in distinct:
        bits = key.tobytes()
        ident = int.from_bytes(hashlib.blake2b(shape + bits, digest_size=8).digest(), "big") >> 1
        ids.append(ident)
        patterns[ident] = (bits[:split], bits[split:])
    return np.asarray(ids, np.int64)[inverse], patterns
