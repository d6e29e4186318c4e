"""Linear algebra with the samples of the batch as the last axis.

A robot's matrices are small and its batch is large. Laid out this way every step of a factorisation is one long
vector operation over all samples, on a CPU's vector units as on a GPU; a library call per matrix costs more in
calling than in computing at these sizes (measured: docs/jacobians.md).
"""

import functools
import operator
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

UNROLLED = 32  # terms of a sum that are written out; more take longer to compile than they save


def over_batches[Result](function: Callable[..., Result]) -> Callable[..., Result]:
    """Make ``function``, which takes and gives arrays with samples first, one of single samples.

    Under ``vmap`` it sees the batch as a whole and may lay it out as it likes.
    """

    @jax.custom_batching.custom_vmap
    def single(*arguments: Any) -> Result:
        return jax.tree.map(lambda leaf: leaf[0], function(*jax.tree.map(lambda leaf: leaf[None], arguments)))

    @single.def_vmap
    def _(size: int, batched: Any, *arguments: Any) -> tuple[Result, Any]:
        def spread(leaf: Array, is_batched: bool) -> Array:
            return leaf if is_batched else jnp.broadcast_to(leaf, (size, *leaf.shape))

        result = function(*jax.tree.map(spread, arguments, tuple(batched)))
        return result, jax.tree.map(lambda leaf: True, result)

    return single


def samples_last[Tree](samples: Tree) -> Tree:
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, -1), samples)


def samples_first[Tree](samples: Tree) -> Tree:
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), samples)


def sum_terms(terms: Iterable[Array]) -> Array:
    """The sum of at least one term, in their order."""
    return functools.reduce(operator.add, terms)


def materialize[Tree](values: Tree) -> Tree:
    """``values``, computed once. XLA would rather compute them anew inside whatever reads them, for every row and
    column of an outer product."""
    return jax.lax.optimization_barrier(values)


def matmul(a: Float[Array, "i k n"], b: Float[Array, "k j n"]) -> Float[Array, "i j n"]:
    """a @ b of every sample."""
    return sum_terms(a[:, k, None] * b[k, None] for k in range(a.shape[1]))


def pairwise_sum(values: Float[Array, "*k m n"], axis: int = 0) -> Float[Array, "*k n"]:
    """Sum over an axis, by halves: a few long additions, where XLA's own reduction takes the axis element by
    element."""
    values = jnp.moveaxis(values, axis, 0)
    while values.shape[0] > 1:
        half = values.shape[0] // 2
        summed = values[:half] + values[half : 2 * half]
        values = jnp.concatenate([summed, values[2 * half :]]) if values.shape[0] % 2 else summed
    return values[0] if values.shape[0] else jnp.zeros(values.shape[1:])


def matvec(a: Float[Array, "i k n"], x: Float[Array, "k n"]) -> Float[Array, "i n"]:
    """a @ x of every sample."""
    return sum_terms(a[:, k] * x[k] for k in range(a.shape[1]))


def matvec_transposed(a: Float[Array, "k i n"], x: Float[Array, "k n"]) -> Float[Array, "i n"]:
    """a.T @ x of every sample."""
    return _sum_over_rows(lambda row, weight: row * weight, a, x)


def gram(a: Float[Array, "k i n"], weight: Float[Array, "k n"]) -> Float[Array, "i i n"]:
    """a.T @ diag(weight) @ a of every sample."""
    return _sum_over_rows(lambda row, weighted: weighted[:, None] * row[None], a, materialize(a * weight[:, None]))


def _sum_over_rows(term: Callable[..., Array], *arrays: Array) -> Array:
    """Sum of ``term`` over the arrays' rows: written out for few, a loop over blocks for many."""
    n_rows = arrays[0].shape[0]

    def written_out(block: tuple[Array, ...]) -> Array:
        return sum_terms(term(*(array[k] for array in block)) for k in range(block[0].shape[0]))

    if n_rows <= UNROLLED:
        return written_out(arrays)
    blocks = n_rows // UNROLLED
    whole = [array[: blocks * UNROLLED].reshape(blocks, UNROLLED, *array.shape[1:]) for array in arrays]

    def add(sum_so_far: Array, block: tuple[Array, ...]) -> tuple[Array, None]:
        return sum_so_far + written_out(block), None

    first = written_out(tuple(array[0] for array in whole))
    summed = jax.lax.scan(add, first, tuple(array[1:] for array in whole))[0]
    rest = tuple(array[blocks * UNROLLED :] for array in arrays)
    return summed + written_out(rest) if n_rows % UNROLLED else summed


def cholesky(matrix: Float[Array, "m m n"]) -> list[Float[Array, "_ n"]]:
    """The lower factor of symmetric positive definite matrices: its columns, each from the diagonal down."""
    columns: list[Array] = []
    for j in range(matrix.shape[0]):
        column = matrix[j:, j]
        for k, before in enumerate(columns):
            column = column - before[j - k :] * before[j - k]
        # materialized, or XLA fuses a column with all before it and computes those anew: they grow without bound
        columns.append(materialize(column * jnp.reciprocal(jnp.sqrt(column[0]))))
    return columns


def cho_solve(factor: list[Float[Array, "_ n"]], right: Float[Array, "m k n"]) -> Float[Array, "m k n"]:
    """Solve for every column of ``right``."""
    size = len(factor)
    inverse = [jnp.reciprocal(column[0]) for column in factor]
    rows: list[Array] = []
    for i in range(size):
        row = right[i]
        for k in range(i):
            row = row - factor[k][i - k] * rows[k]
        rows.append(materialize(row * inverse[i]))
    for i in reversed(range(size)):
        row = rows[i]
        for k in range(i + 1, size):
            row = row - factor[i][k - i] * rows[k]
        rows[i] = materialize(row * inverse[i])
    return jnp.stack(rows)
