"""Spatial algebra in which a component that is 0 whatever the state costs nothing.

A robot that moves in a plane turns about one axis and shifts along two. The other components of its motions are None
here, which stands for a 0 that is known before anything is computed: sums leave it out, and products with it are None
again. All other components are arrays of one shape, or Python's numbers.

Spatial algebra as in Featherstone, "Rigid Body Dynamics Algorithms", 2008. Motions and forces are dual, so they are two
types: motions are crossed with motions (x) and with forces (x*), and a force on a motion is power (:func:`outer`).
All vectors are about one common point, along the world's axes.
"""

import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, overload

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jacdb.ingest.linalg.batched import sum_terms

# An array, a number, or None for a 0 that is known beforehand. Not a union: the model, and so no type, says which.
type Known = Any


def plus(*terms: Known) -> Known:
    """Add the terms; None where every term is None."""
    nonzero = [term for term in terms if term is not None]
    return functools.reduce(functools.partial(_traced_fast, jax.lax.add, operator.add), nonzero) if nonzero else None


def minus(a: Known, b: Known) -> Known:
    """Return a - b."""
    if b is None:
        return a
    return -b if a is None else _traced_fast(jax.lax.sub, operator.sub, a, b)


def times(a: Known, b: Known) -> Known:
    """Return a b; None where a factor is None."""
    return None if a is None or b is None else _traced_fast(jax.lax.mul, operator.mul, a, b)


def _traced_fast(of_alike: Callable[..., Array], operation: Callable[..., Any], a: Known, b: Known) -> Known:
    """Return an operation's result, by JAX's primitive where a and b are alike.

    An operator of JAX's arrays broadcasts and promotes, and takes several times as long to trace.
    """
    alike = isinstance(a, Array) and isinstance(b, Array) and a.shape == b.shape and a.dtype == b.dtype
    return of_alike(a, b) if alike else operation(a, b)


def products(a: Iterable[Known], b: Iterable[Known]) -> Known:
    """Return the sum of the products of one with the other, component by component."""
    return plus(*(times(x, y) for x, y in zip(a, b, strict=True)))


class Vector(NamedTuple):
    """Three components along the world's axes."""

    x: Known
    y: Known
    z: Known

    def __add__(self, other: "Vector") -> "Vector":  # type: ignore[override]
        return Vector(*(plus(a, b) for a, b in zip(self, other, strict=True)))

    def __sub__(self, other: "Vector") -> "Vector":
        return Vector(*(minus(a, b) for a, b in zip(self, other, strict=True)))

    def __neg__(self) -> "Vector":
        return Vector(*(minus(None, a) for a in self))

    def __mul__(self, scale: Known) -> "Vector":
        return Vector(*(times(a, scale) for a in self))

    def cross(self, other: "Vector") -> "Vector":
        """Return the cross product."""
        a, b = self, other
        return Vector(
            minus(times(a.y, b.z), times(a.z, b.y)),
            minus(times(a.z, b.x), times(a.x, b.z)),
            minus(times(a.x, b.y), times(a.y, b.x)),
        )

    def dot(self, other: "Vector") -> Array:
        """Return the scalar product."""
        product = products(self, other)
        return jnp.zeros(()) if product is None else product

    @property
    def components(self) -> Sequence[Known]:
        return self


class _SpatialVector(NamedTuple):
    """A motion or a force: two vectors. Both kinds can be added and multiplied by a number."""

    ang: Vector
    lin: Vector

    def __add__[S: "_SpatialVector"](self: S, other: S) -> S:  # type: ignore[override]
        return type(self)(self.ang + other.ang, self.lin + other.lin)

    def __sub__[S: "_SpatialVector"](self: S, other: S) -> S:
        return type(self)(self.ang - other.ang, self.lin - other.lin)

    def __mul__[S: "_SpatialVector"](self: S, scale: Known) -> S:
        return type(self)(self.ang * scale, self.lin * scale)

    @property
    def components(self) -> Sequence[Known]:
        return (*self.ang, *self.lin)

    @classmethod
    def of[S: "_SpatialVector"](cls: type[S], components: Sequence[Known]) -> S:
        """Put six components together, rotation or torque first."""
        return cls(Vector(*components[:3]), Vector(*components[3:]))


class Force(_SpatialVector):
    """A torque about the common point (``ang``) and a force (``lin``); a momentum, too."""


class Motion(_SpatialVector):
    """A rotation (``ang``) and the translation of the common point (``lin``): a velocity, an acceleration, an axis."""

    def cross(self, other: "Motion") -> "Motion":
        """Return self x other: the rate of a motion that is carried along by this one."""
        return Motion(self.ang.cross(other.ang), self.ang.cross(other.lin) + self.lin.cross(other.ang))

    def cross_force(self, force: Force) -> Force:
        """Return self x* force: the rate of a force that is carried along by this motion."""
        return Force(self.ang.cross(force.ang) + self.lin.cross(force.lin), self.ang.cross(force.lin))


class Symmetric(NamedTuple):
    """A symmetric matrix, 3 by 3."""

    xx: Known
    yy: Known
    zz: Known
    xy: Known
    xz: Known
    yz: Known

    @property
    def rows(self) -> tuple[Vector, Vector, Vector]:
        return (
            Vector(self.xx, self.xy, self.xz),
            Vector(self.xy, self.yy, self.yz),
            Vector(self.xz, self.yz, self.zz),
        )

    def times(self, vector: Vector) -> Vector:
        """Return the matrix times a vector."""
        return Vector(*(products(row, vector) for row in self.rows))

    def crossed(self, w: Vector) -> list[list[Known]]:
        """Return the matrix [w] A by rows: w x each column."""
        columns = [w.cross(column) for column in self.rows]
        return [[column[i] for column in columns] for i in range(3)]


SYMMETRIC_ENTRIES = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))  # of Symmetric, in its order


class Inertia(NamedTuple):
    """A body's inertia about the common point."""

    mass: Array
    moment: Vector  # mass times centre of mass
    rotational: Symmetric

    def times(self, motion: Motion) -> Force:
        """Return the momentum of a motion."""
        return Force(
            self.rotational.times(motion.ang) + self.moment.cross(motion.lin),
            motion.lin * self.mass - self.moment.cross(motion.ang),
        )


@overload
def outer(rows: Vector | Force, columns: Motion) -> Array: ...
@overload
def outer(rows: Motion, columns: Force) -> Array: ...
def outer(rows: Vector | Motion | Force, columns: Motion | Force) -> Array:
    """Return the product of every row with every column, a force on a motion: (rows, columns, n).

    A Vector stands for a force that is a torque alone.
    """
    pairs = zip(rows.components, columns.components, strict=False)
    nonzero = [row[:, None] * column[None] for row, column in pairs if row is not None and column is not None]
    return sum_terms(nonzero) if nonzero else jnp.zeros(())
