"""Linear algebra on large batches of small matrices, with the samples of the batch as the last axis.

A robot's matrices are small and its batch is large. With samples last, every step of a factorisation is one long
vector operation over all samples, on a CPU's vector units as on a GPU. A library call per matrix spends more time on
calling than on computing at these sizes (measured: docs/performance.md).

In the shapes below n is the number of samples. Every function acts on each sample alone.
"""

import contextlib
import functools
import operator
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

UNROLLED = 32  # terms of a sum that are written out; more take longer to compile than they save


_expected: ContextVar[int] = ContextVar("expected", default=1)


@contextlib.contextmanager
def expecting(size: int) -> Iterator[None]:
    """Have functions of batches traced once, and not twice, where their batches have this size.

    JAX traces a function of single samples before it asks for one of the batch. That trace, too, is then of a batch.
    """
    former = _expected.set(size)
    try:
        yield
    finally:
        _expected.reset(former)


def over_batches[Result](function: Callable[..., Result]) -> Callable[..., Result]:
    """Turn a function of arrays with samples first into a function of single samples.

    Under ``vmap`` the function sees the whole batch, and may lay it out as it likes.
    """
    function = jax.jit(function, inline=True)  # which is traced once for each size of a batch

    @jax.custom_batching.custom_vmap
    def single(*arguments: Any) -> Result:
        size = _expected.get()
        batch = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (size, *jnp.shape(leaf))), arguments)
        return jax.tree.map(lambda leaf: leaf[0], function(*batch))

    @single.def_vmap
    def _(size: int, batched: Any, *arguments: Any) -> tuple[Result, Any]:
        def broadcast(leaf: Array, is_batched: bool) -> Array:
            return leaf if is_batched else jnp.broadcast_to(leaf, (size, *leaf.shape))

        result = function(*jax.tree.map(broadcast, arguments, tuple(batched)))
        return result, jax.tree.map(lambda leaf: True, result)

    return single


def samples_last[Tree](samples: Tree) -> Tree:
    """Move every array's first axis to its end."""
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, -1), samples)


def samples_first[Tree](samples: Tree) -> Tree:
    """Move every array's last axis to its front."""
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), samples)


def choose[Tree](condition: Bool[Array, " n"], chosen: Tree, other: Tree) -> Tree:
    """Take, sample by sample, the first of two trees where the condition holds and the second elsewhere."""
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), chosen, other)


def sum_terms(terms: Iterable[Array]) -> Array:
    """Add up at least one term, in their order."""
    return functools.reduce(operator.add, terms)


def materialize[Tree](values: Tree) -> Tree:
    """Have ``values`` computed once.

    XLA would rather compute them again inside whatever reads them, for every row and column of an outer product.
    """
    return jax.lax.optimization_barrier(values)


def pairwise_sum(values: Float[Array, "..."], axis: int = 0) -> Float[Array, "..."]:
    """Sum over an axis by halves.

    That is a few long additions, where XLA's own reduction takes the axis element by element.
    """
    values = jnp.moveaxis(values, axis, 0)
    while values.shape[0] > 1:
        half = values.shape[0] // 2
        summed = values[:half] + values[half : 2 * half]
        values = jnp.concatenate([summed, values[2 * half :]]) if values.shape[0] % 2 else summed
    return values[0] if values.shape[0] else jnp.zeros(values.shape[1:])


def norm(vector: Float[Array, "m *n"]) -> Float[Array, "*n"]:
    """Return the Euclidean norm of a vector; of one sample, too."""
    return jnp.sqrt(pairwise_sum(vector * vector))


def matmul(a: Float[Array, "i k #n"], b: Float[Array, "k j #n"]) -> Float[Array, "i j _"]:
    """Return a @ b. Either may have one sample for all."""
    return sum_terms(a[:, k, None] * b[k, None] for k in range(a.shape[1]))


def matvec(a: Float[Array, "i k n"], x: Float[Array, "k n"]) -> Float[Array, "i n"]:
    """Return a @ x."""
    return sum_terms(a[:, k] * x[k] for k in range(a.shape[1]))


def matvec_transposed(a: Float[Array, "k i n"], x: Float[Array, "k n"]) -> Float[Array, "i n"]:
    """Return a.T @ x."""
    return _sum_over_rows(lambda row, weight: row * weight, a, x)


def gram(a: Float[Array, "k i n"], weight: Float[Array, "k n"]) -> Float[Array, "i i n"]:
    """Return a.T @ diag(weight) @ a."""
    return _sum_over_rows(lambda row, weighted: weighted[:, None] * row[None], a, materialize(a * weight[:, None]))


def _sum_over_rows(term: Callable[..., Array], *arrays: Array) -> Array:
    """Sum ``term`` over the arrays' rows: written out for few rows, a loop over blocks for many."""
    n_rows = arrays[0].shape[0]

    def written_out(block: tuple[Array, ...]) -> Array:
        return sum_terms(term(*(array[k] for array in block)) for k in range(block[0].shape[0]))

    if n_rows <= UNROLLED:
        return written_out(arrays)
    n_blocks = n_rows // UNROLLED
    blocks = [array[: n_blocks * UNROLLED].reshape(n_blocks, UNROLLED, *array.shape[1:]) for array in arrays]

    def add(sum_so_far: Array, block: tuple[Array, ...]) -> tuple[Array, None]:
        return sum_so_far + written_out(block), None

    first = written_out(tuple(array[0] for array in blocks))
    summed = jax.lax.scan(add, first, tuple(array[1:] for array in blocks))[0]
    rest = tuple(array[n_blocks * UNROLLED :] for array in arrays)
    return summed + written_out(rest) if n_rows % UNROLLED else summed


def diagonal_blocks(joined: Bool[np.ndarray, "m m"]) -> list[slice]:
    """Return the smallest blocks along a matrix's diagonal that hold all its entries, given where these may be."""
    last = [int(np.flatnonzero(row | column)[-1]) for row, column in zip(joined, joined.T, strict=True)]
    reach = np.maximum.accumulate(last)  # the last row that the rows so far are joined with
    ends = [row + 1 for row in range(len(joined)) if reach[row] == row]
    return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def cholesky(matrix: Float[Array, "m m n"]) -> list[Float[Array, "_ n"]]:
    """Factorise symmetric positive definite matrices.

    Returns:
        The lower factor's columns, each from the diagonal down.
    """
    columns: list[Array] = []
    for j in range(matrix.shape[0]):
        column = matrix[j:, j]
        for k, before in enumerate(columns):
            column = column - before[j - k :] * before[j - k]
        # Without materialize XLA fuses a column with all before it and computes those again: time and code grow
        # without bound.
        columns.append(materialize(column * jnp.reciprocal(jnp.sqrt(column[0]))))
    return columns


def cho_solve(factor: list[Float[Array, "_ n"]], right: Float[Array, "m k n"]) -> Float[Array, "m k n"]:
    """Solve for every column of ``right``, given :func:`cholesky`'s factor."""
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


def solve(matrix: Float[Array, "m m n"], right: Float[Array, "m k n"]) -> Float[Array, "m k n"]:
    """Solve for every column of ``right``, whether or not the matrices are symmetric."""
    return samples_last(jnp.linalg.solve(samples_first(matrix), samples_first(right)))
