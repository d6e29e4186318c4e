"""Spatial algebra in which a component that is 0 whatever the state costs nothing.

A robot that moves in a plane turns about one axis and shifts along two. Its motions' other components are None here,
for a 0 that is known before anything is computed: sums leave it out, and products with it are None again. Numbers of
every other kind are arrays of one shape each, or Python's.

Spatial algebra as in Featherstone, "Rigid Body Dynamics Algorithms", 2008; vectors are about one common point, along
the world's axes.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from jacdb.ingest.linalg.batched import sum_terms

type Known = Any  # an array, a number, or None for 0


def plus(*terms: Known) -> Known:
    there = [term for term in terms if term is not None]
    return sum_terms(there) if there else None


def minus(a: Known, b: Known) -> Known:
    if b is None:
        return a
    return -b if a is None else a - b


def times(a: Known, b: Known) -> Known:
    return None if a is None or b is None else a * b


def products(a: Iterable[Known], b: Iterable[Known]) -> Known:
    """The sum of the products of one with the other."""
    return plus(*(times(x, y) for x, y in zip(a, b, strict=True)))


class Vector(NamedTuple):
    """Three components."""

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
        a, b = self, other
        return Vector(
            minus(times(a.y, b.z), times(a.z, b.y)),
            minus(times(a.z, b.x), times(a.x, b.z)),
            minus(times(a.x, b.y), times(a.y, b.x)),
        )

    def dot(self, other: "Vector") -> Array:
        found = products(self, other)
        return jnp.zeros(()) if found is None else found

    @property
    def components(self) -> Sequence[Known]:
        return self


class Spatial(NamedTuple):
    """A motion (rotation, translation) or a force (torque, force)."""

    ang: Vector
    lin: Vector

    def __add__(self, other: "Spatial") -> "Spatial":  # type: ignore[override]
        return Spatial(self.ang + other.ang, self.lin + other.lin)

    def __sub__(self, other: "Spatial") -> "Spatial":
        return Spatial(self.ang - other.ang, self.lin - other.lin)

    def __mul__(self, scale: Known) -> "Spatial":
        return Spatial(self.ang * scale, self.lin * scale)

    def cross(self, other: "Spatial") -> "Spatial":
        """Motion x motion."""
        return Spatial(self.ang.cross(other.ang), self.ang.cross(other.lin) + self.lin.cross(other.ang))

    def cross_force(self, force: "Spatial") -> "Spatial":
        """Motion x* force."""
        return Spatial(self.ang.cross(force.ang) + self.lin.cross(force.lin), self.ang.cross(force.lin))

    @property
    def components(self) -> Sequence[Known]:
        return (*self.ang, *self.lin)

    @classmethod
    def of(cls, components: Sequence[Known]) -> "Spatial":
        return cls(Vector(*components[:3]), Vector(*components[3:]))


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

    def times(self, w: Vector) -> Vector:
        return Vector(*(products(row, w) for row in self.rows))

    def crossed(self, w: Vector) -> list[list[Known]]:
        """w x each column: the matrix [w] A, by rows."""
        columns = [w.cross(column) for column in self.rows]
        return [[column[i] for column in columns] for i in range(3)]


SYMMETRIC_ENTRIES = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))  # of Symmetric, in its order


class Inertia(NamedTuple):
    """Inertia about the common point."""

    mass: Array
    moment: Vector  # mass times centre of mass
    rotational: Symmetric

    def times(self, motion: Spatial) -> Spatial:
        return Spatial(
            self.rotational.times(motion.ang) + self.moment.cross(motion.lin),
            motion.lin * self.mass - self.moment.cross(motion.ang),
        )


def outer(rows: Vector | Spatial, columns: Spatial) -> Array:
    """Every row's force on every column's motion: (nv, nv, n). A Vector meets the columns' rotation alone."""
    pairs = zip(rows.components, columns.components, strict=False)
    there = [row[:, None] * column[None] for row, column in pairs if row is not None and column is not None]
    return sum_terms(there) if there else jnp.zeros(())
