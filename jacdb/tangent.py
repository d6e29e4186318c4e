"""The tangent space of states: differences and steps of states that hold quaternions, as MuJoCo defines them.

A quaternion has four numbers and three degrees of freedom. So a state has more numbers than its Jacobian has rows, and
states are neither subtracted nor added entry by entry:

>>> space = dataset.tangent_space("PandaPickCube")
>>> dx = space.difference(state, next_state)  # 38 numbers of 39
>>> space.retract(state, dx)  # next_state

Everything takes one state or a batch of them, of NumPy or of JAX, also under ``jax.jit``, ``jax.vmap``, ``jax.grad``.
Conventions are those of ``mj_differentiatePos`` and ``mj_integratePos``: rotations turn in the body's own frame. The
derivatives on SO(3), and their letters, are those of Solà, Deray and Atchuthan, "A micro Lie theory for state
estimation in robotics" (2018).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from jacdb.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

type Array = Any  # of NumPy or of JAX: what has __array_namespace__

_SMALL = 1e-2  # squared angle below which quotients lose digits, and their series to the third term lose none


class _Segment(NamedTuple):
    """Consecutive axes: either one quaternion, or numbers that are added."""

    is_quaternion: bool
    state: slice
    tangent: slice


@dataclass(frozen=True)
class TangentSpace:
    """The tangent space of an environment's states.

    ``Dataset.tangent_space`` makes it from the table `axes`. Tangents have ``n_tangent`` numbers: rows and columns of
    j_state, rows of j_action.

    Attributes:
        state_names: the names of the numbers of a state, in order.
        tangent_names: the names of the numbers of a tangent, in order.
        segments: runs of axes, each one quaternion or numbers that are added; they cover both spaces in order.
    """

    state_names: tuple[str, ...]
    tangent_names: tuple[str, ...]
    segments: tuple[_Segment, ...]

    @classmethod
    def from_axes(cls, axes: "pl.DataFrame") -> Self:
        """Return the tangent space that the rows of `axes` of one environment describe.

        In the space 'state' an orientation is four consecutive rows (w, x, y, z), in 'tangent' it is three; all other
        rows stand in both spaces, in the same order.

        Raises:
            UsageError: the rows are of several environments, or are not such spaces.
        """
        if axes["env"].n_unique() != 1:
            raise UsageError(f"axes of {axes['env'].n_unique()} environments: give those of one")
        names, turns = {}, {}
        for space in ("state", "tangent"):
            rows = axes.filter(axes["space"] == space).sort("index")
            names[space] = tuple(rows["name"].to_list())
            turns[space] = [quantity == "orientation" for quantity in rows["quantity"].to_list()]
        return cls(names["state"], names["tangent"], tuple(_segments(turns["state"], turns["tangent"])))

    @property
    def n_state(self) -> int:
        return len(self.state_names)

    @property
    def n_tangent(self) -> int:
        return len(self.tangent_names)

    def difference(self, x: Array, y: Array) -> Array:
        """Return the tangent at x that leads to y: ``retract(x, difference(x, y))`` is y.

        Args:
            x, y: states (…, n_state). Quaternions need not have length 1; q and -q are the same orientation.

        Returns:
            Tangents (…, n_tangent). A rotation's length is at most pi (rad); units are those of the axes.

        Raises:
            UsageError: the last axis has another length, or the arrays are neither NumPy's nor JAX's.
        """
        xp = self._namespace(x=(x, self.n_state), y=(y, self.n_state))
        parts = []
        for is_quaternion, at, _ in self.segments:
            if is_quaternion:
                parts.append(_log(xp, _multiply(xp, _conjugate(xp, x[..., at]), y[..., at])))
            else:
                parts.append(y[..., at] - x[..., at])
        return xp.concatenate(parts, axis=-1)

    def retract(self, x: Array, dx: Array) -> Array:
        """Return the state that a tangent at x leads to; its quaternions have length 1.

        Args:
            x: states (…, n_state).
            dx: tangents at x (…, n_tangent), such as ``j_state @ dx`` at the next state.

        Raises:
            UsageError: the last axis has another length, or the arrays are neither NumPy's nor JAX's.
        """
        xp = self._namespace(x=(x, self.n_state), dx=(dx, self.n_tangent))
        parts = []
        for is_quaternion, at, by in self.segments:
            if is_quaternion:
                parts.append(_multiply(xp, _unit(xp, x[..., at]), _exp(xp, dx[..., by])))
            else:
                parts.append(x[..., at] + dx[..., by])
        return xp.concatenate(parts, axis=-1)

    def difference_derivatives(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Return the derivatives of ``difference(x, y)`` by tangents at x and at y, (…, n_tangent, n_tangent) each."""
        dx = self.difference(x, y)
        xp = self._namespace(dx=(dx, self.n_tangent))

        def by_end(theta: Array) -> Array:
            return inverse_right_jacobian(xp, theta)

        def by_start(theta: Array) -> Array:
            return -xp.matrix_transpose(inverse_right_jacobian(xp, theta))

        return self._blocks(xp, dx, by_start, -1.0), self._blocks(xp, dx, by_end, 1.0)

    def retract_derivatives(self, dx: Array) -> tuple[Array, Array]:
        """Return the derivatives of ``retract(x, dx)``, as tangents there, by tangents at x and by dx.

        They depend on dx alone. Shapes are (…, n_tangent, n_tangent) each.
        """
        xp = self._namespace(dx=(dx, self.n_tangent))

        def by_start(theta: Array) -> Array:
            return xp.matrix_transpose(_rotation(xp, theta))

        def by_tangent(theta: Array) -> Array:
            return _right_jacobian(xp, theta)

        return self._blocks(xp, dx, by_start, 1.0), self._blocks(xp, dx, by_tangent, 1.0)

    def lift(self, x: Array) -> Array:
        """Return the derivative of a state's numbers by a tangent at x, (…, n_state, n_tangent).

        With ``project`` it turns the Jacobian of a model of raw states into one that compares with j_state:
        ``project(f(x)) @ jacobian @ lift(x)``.
        """
        xp = self._namespace(x=(x, self.n_state))
        rows = []
        for is_quaternion, at, by in self.segments:
            block = _half_turn(xp, _unit(xp, x[..., at])) if is_quaternion else self._eye(xp, x, by, 1.0)
            rows.append(self._row(xp, block, by, self.n_tangent))
        return xp.concatenate(rows, axis=-2)

    def project(self, x: Array) -> Array:
        """Return the derivative of the tangent at x by a state's numbers, (…, n_tangent, n_state).

        ``project(x) @ lift(x)`` is the identity where quaternions have length 1. A change of a quaternion's length
        does not change the orientation.
        """
        xp = self._namespace(x=(x, self.n_state))
        rows = []
        for is_quaternion, at, by in self.segments:
            if is_quaternion:
                quat = x[..., at]
                block = 4 * xp.matrix_transpose(_half_turn(xp, quat)) / _squared(xp, quat)[..., None]
            else:
                block = self._eye(xp, x, by, 1.0)
            rows.append(self._row(xp, block, at, self.n_state))
        return xp.concatenate(rows, axis=-2)

    def _blocks(self, xp: Any, dx: Array, of_rotation: Any, of_numbers: float) -> Array:
        """Return a block-diagonal matrix: 3 x 3 blocks of rotation vectors, and a constant for all else."""
        rows = []
        for is_quaternion, _, by in self.segments:
            block = of_rotation(dx[..., by]) if is_quaternion else self._eye(xp, dx, by, of_numbers)
            rows.append(self._row(xp, block, by, self.n_tangent))
        return xp.concatenate(rows, axis=-2)

    def _eye(self, xp: Any, like: Array, by: slice, scale: float) -> Array:
        size = by.stop - by.start
        return xp.broadcast_to(scale * xp.eye(size, dtype=like.dtype), (*like.shape[:-1], size, size))

    def _row(self, xp: Any, block: Array, columns: slice, width: int) -> Array:
        """Return a block with zeros to the left and to the right of it."""
        left = xp.zeros((*block.shape[:-1], columns.start), dtype=block.dtype)
        right = xp.zeros((*block.shape[:-1], width - columns.stop), dtype=block.dtype)
        return xp.concatenate([left, block, right], axis=-1)

    def _namespace(self, **arrays: tuple[Array, int]) -> Any:
        """Return the module whose functions take these arrays: numpy or jax.numpy, by their own word."""
        modules = []
        for name, (array, width) in arrays.items():
            if not hasattr(array, "__array_namespace__"):
                raise UsageError(f"{name} is a {type(array).__name__}: give an array of NumPy or of JAX")
            if array.ndim < 1 or array.shape[-1] != width:
                raise UsageError(f"{name} is of shape {tuple(array.shape)}: its last axis must have {width} numbers")
            modules.append(array.__array_namespace__())
        return next((module for module in modules if module.__name__ != "numpy"), modules[0])


def _segments(in_state: list[bool], in_tangent: list[bool]) -> list[_Segment]:
    """Return the segments of two spaces, given which of their axes are of an orientation."""
    segments: list[_Segment] = []
    at = by = 0
    while at < len(in_state):
        is_quaternion = in_state[at]
        end = at
        while not is_quaternion and end < len(in_state) and not in_state[end]:
            end += 1
        end = at + 4 if is_quaternion else end
        size = 3 if is_quaternion else end - at
        if in_state[at:end] != [is_quaternion] * (end - at) or in_tangent[by : by + size] != [is_quaternion] * size:
            raise UsageError(f"axes of the spaces 'state' and 'tangent' do not belong together from axis {at} on")
        segments.append(_Segment(is_quaternion, slice(at, end), slice(by, by + size)))
        at, by = end, by + size
    if by != len(in_tangent) or not segments:
        raise UsageError(
            f"axes name {len(in_tangent)} tangents and {len(in_state)} numbers of a state: they do not fit"
        )
    return segments


# --- quaternions (…, 4) as w, x, y, z, and rotation vectors (…, 3) ----------------------------------------------------


def _conjugate(xp: Any, q: Array) -> Array:
    return xp.concatenate([q[..., :1], -q[..., 1:]], axis=-1)


def _multiply(xp: Any, p: Array, q: Array) -> Array:
    a, b, c, d = (p[..., i] for i in range(4))
    w, x, y, z = (q[..., i] for i in range(4))
    parts = [
        a * w - b * x - c * y - d * z,
        a * x + b * w + c * z - d * y,
        a * y - b * z + c * w + d * x,
        a * z + b * y - c * x + d * w,
    ]
    return xp.stack(parts, axis=-1)


def _squared(xp: Any, v: Array) -> Array:
    """Return the squared length, (…, 1)."""
    return xp.sum(v * v, axis=-1, keepdims=True)


def _unit(xp: Any, q: Array) -> Array:
    return q / xp.sqrt(_squared(xp, q))


def _exp(xp: Any, theta: Array) -> Array:
    """Return the quaternion of a rotation vector."""
    sq = _squared(xp, theta)
    small = sq < _SMALL
    angle = xp.sqrt(xp.where(small, 1.0, sq))  # a root at 0 has no derivative, and JAX would make NaN of it
    cos = xp.where(small, 1 - sq / 8 + sq**2 / 384 - sq**3 / 46080, xp.cos(angle / 2))
    sinc = xp.where(small, 0.5 - sq / 48 + sq**2 / 3840 - sq**3 / 645120, xp.sin(angle / 2) / angle)
    return xp.concatenate([cos, theta * sinc], axis=-1)


def _log(xp: Any, q: Array) -> Array:
    """Return the rotation vector of a quaternion, the shorter of the two ways."""
    w = xp.where(q[..., :1] < 0, -q[..., :1], q[..., :1])
    v = xp.where(q[..., :1] < 0, -q[..., 1:], q[..., 1:])
    sq, wsq = _squared(xp, v), w * w
    small = sq < _SMALL / 4 * (sq + wsq)
    n = xp.sqrt(xp.where(small, 1.0, sq))
    r = xp.where(small, sq, 0.0) / xp.where(small, wsq, 1.0)  # tan^2 of half the angle
    series = 2 * (1 - r / 3 + r**2 / 5 - r**3 / 7 + r**4 / 9 - r**5 / 11) / xp.where(small, w, 1.0)
    return v * xp.where(small, series, 2 * xp.arctan2(n, w) / n)


def _cross(xp: Any, v: Array) -> Array:
    """Return the matrix of the cross product with v."""
    x, y, z = (v[..., i] for i in range(3))
    zero = xp.zeros_like(x)
    rows = [(zero, -z, y), (z, zero, -x), (-y, x, zero)]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def _squared_angle(xp: Any, theta: Array) -> tuple[Array, Array, Array, Array]:
    """Return the squared angle, whether it is small, the angle (1 where small), and the identity, for 3 x 3 blocks."""
    sq = _squared(xp, theta)[..., None]
    small = sq < _SMALL
    return sq, small, xp.sqrt(xp.where(small, 1.0, sq)), xp.eye(3, dtype=theta.dtype)


def _rotation(xp: Any, theta: Array) -> Array:
    sq, small, angle, eye = _squared_angle(xp, theta)
    sinc = xp.where(small, 1 - sq / 6 + sq**2 / 120 - sq**3 / 5040, xp.sin(angle) / angle)
    half = xp.where(small, 0.5 - sq / 48 + sq**2 / 3840 - sq**3 / 645120, xp.sin(angle / 2) / angle)
    cross = _cross(xp, theta)
    return eye + sinc * cross + 2 * half**2 * (cross @ cross)


def _right_jacobian(xp: Any, theta: Array) -> Array:
    """Return J_r: Exp(theta + d) = Exp(theta) Exp(J_r d)."""
    sq, small, angle, eye = _squared_angle(xp, theta)
    half = xp.where(small, 0.5 - sq / 48 + sq**2 / 3840 - sq**3 / 645120, xp.sin(angle / 2) / angle)
    rest = xp.where(small, 1 / 6 - sq / 120 + sq**2 / 5040 - sq**3 / 362880, (angle - xp.sin(angle)) / angle**3)
    cross = _cross(xp, theta)
    return eye - 2 * half**2 * cross + rest * (cross @ cross)


def inverse_right_jacobian(xp: Any, theta: Array) -> Array:
    """Return the inverse of J_r: Log(Exp(theta) Exp(d)) = theta + J_r^-1 d."""
    sq, small, angle, eye = _squared_angle(xp, theta)
    half = angle / 2
    quotient = (1 - half * xp.cos(half) / xp.sin(half)) / angle**2
    rest = xp.where(small, 1 / 12 + sq / 720 + sq**2 / 30240 + sq**3 / 1209600, quotient)
    cross = _cross(xp, theta)
    return eye + cross / 2 + rest * (cross @ cross)


def _half_turn(xp: Any, q: Array) -> Array:
    """Return the derivative of q Exp(theta) by theta at 0, (…, 4, 3): q times half of each axis."""
    w, x, y, z = (q[..., i] for i in range(4))
    rows = [(-x, -y, -z), (w, -z, y), (z, w, -x), (-y, x, w)]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2) / 2
