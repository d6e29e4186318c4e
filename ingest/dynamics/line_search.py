"""The line search of MuJoCo's Newton solver: it brackets a minimum by Newton steps from both ends, as MJX does.

The three trial points of a step are one array. Along the search direction the cost is a quadratic between the points
where a row's violation changes its sign or dry friction starts to slip. Corresponds to ``_linesearch`` in
``mujoco.mjx._src.solver``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jacdb.ingest.dynamics.constraint_problem import ConstraintCost, Iterate
from jacdb.ingest.linalg import batched
from jacdb.ingest.linalg.batched import choose, norm, pairwise_sum


class _Trial(NamedTuple):
    """Trial points: step lengths, and the cost's value and derivatives there."""

    alpha: Float[Array, "*k n"]
    origin: Float[Array, "*k n"]  # alpha of the trial whose Newton step leads here; NaN for the middle of two
    cost: Float[Array, "*k n"]
    slope: Float[Array, "*k n"]
    curvature: Float[Array, "*k n"]


class _Bracket(NamedTuple):
    """Two trial points between which the minimum lies, once their slopes differ in sign."""

    low: _Trial
    high: _Trial
    moved: Bool[Array, " n"]
    steps: Int[Array, ""]


def line_search(
    cost: ConstraintCost,
    start: Iterate,
    search: Float[Array, "nv n"],
    search_momentum: Float[Array, "nv n"],
    speed: Float[Array, "nefc n"],
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Find how far to go along a search direction.

    Args:
        search: the direction s.
        search_momentum: M s.
        speed: J s.

    Returns:
        The step length, 0 where no step improves, and the trial that it is a Newton step from.
    """
    p, settings = cost.problem, cost.settings
    gauss = (
        start.gauss,
        pairwise_sum(search * start.momentum) - pairwise_sum(search * p.smooth_force),
        0.5 * pairwise_sum(search * search_momentum),
    )
    gauss, speed = batched.materialize((gauss, speed))
    tolerance = settings.tolerance * settings.search_tolerance * norm(search) * cost.mass_trace
    return _Line(cost, start.violation, speed, gauss).minimum(start, tolerance)


@dataclass(frozen=True)
class _Line:
    """The cost along a search direction."""

    cost: ConstraintCost
    violation: Float[Array, "nefc n"]  # where the search starts
    speed: Float[Array, "nefc n"]
    gauss: tuple[Float[Array, " n"], Float[Array, " n"], Float[Array, " n"]]  # coefficients of 1, alpha, alpha^2

    def minimum(self, start: Iterate, tolerance: Float[Array, " n"]) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """Return the step length and its origin, given the slope that counts as none."""
        none = jnp.zeros_like(start.cost)
        zero = self._trials(none, none)
        # a floor for the slope that counts as none: rounding of the rows that make it up
        rows_0 = jnp.maximum(zero.cost - self.gauss[0], 0.0)
        rows_2 = jnp.maximum(0.5 * zero.curvature - self.gauss[2], 0.0)
        size = 2.0 * jnp.sqrt(rows_0 * rows_2) + jnp.abs(self.gauss[1])
        tolerance = jnp.maximum(tolerance, 8 * np.finfo(size.dtype).eps * size)

        def converged(trial: _Trial) -> Bool[Array, "*k n"]:
            return (jnp.abs(trial.slope) < tolerance) & (trial.cost < zero.cost)

        def unfinished(state: _Bracket) -> Bool[Array, " n"]:
            done = ~state.moved | converged(state.low) | converged(state.high)
            return ~done & (state.steps < self.cost.settings.search_iterations)

        def narrow(state: _Bracket) -> _Bracket:
            moved = self._narrow(state, converged)
            keep = unfinished(state)
            return _Bracket(
                choose(keep, moved.low, state.low),
                choose(keep, moved.high, state.high),
                jnp.where(keep, moved.moved, state.moved),
                state.steps + 1,
            )

        first = self._trials(-zero.slope / zero.curvature, none)
        low_is_first = first.slope < zero.slope
        bracket = _Bracket(
            choose(low_is_first, first, zero),
            choose(low_is_first, zero, first),
            jnp.ones(start.cost.shape, bool),
            jnp.zeros((), int),
        )
        bracket = jax.lax.while_loop(lambda state: unfinished(state).any(), narrow, bracket)
        low, high = bracket.low, bracket.high
        improved = (low.cost < zero.cost) | (high.cost < zero.cost)
        best = choose(low.cost < high.cost, low, high)
        return improved * best.alpha, best.origin

    def _narrow(self, state: _Bracket, converged: Callable[[_Trial], Array]) -> _Bracket:
        """Take a Newton step from each end, and the middle, where they narrow the bracket."""
        low, high = state.low, state.high
        three = self._trials(
            jnp.stack(
                [
                    low.alpha - low.slope / low.curvature,
                    high.alpha - high.slope / high.curvature,
                    0.5 * (low.alpha + high.alpha),
                ]
            ),
            jnp.stack([low.alpha, high.alpha, jnp.full_like(low.alpha, jnp.nan)]),
        )
        three = batched.materialize(three)
        low_next, high_next, middle = (jax.tree.map(lambda x, i=i: x[i], three) for i in range(3))

        def is_nearer(old: _Trial, new: _Trial) -> Bool[Array, " n"]:
            """Return whether the new trial is on the old one's side of the minimum, and nearer."""
            return ((old.slope < new.slope) & (new.slope < 0)) | ((old.slope > new.slope) & (new.slope > 0))

        changed = jnp.zeros(low.alpha.shape, bool)
        for candidate in (low_next, middle, high_next):
            swap = is_nearer(low, candidate)
            low, changed = choose(swap, candidate, low), changed | swap
        for candidate in (high_next, middle, low_next):
            swap = is_nearer(high, candidate)
            if candidate is high_next:  # a Newton step from below that lands beyond makes a bracket of both signs
                swap = swap | ((high.slope < 0) & (candidate.slope > 0))
            high, changed = choose(swap, candidate, high), changed | swap

        # the best of the three that has converged, whichever side it is on
        has_converged = converged(three)
        cost = jnp.where(has_converged, three.cost, jnp.inf)
        best = choose(
            (cost[0] <= cost[1]) & (cost[0] <= cost[2]), low_next, choose(cost[1] <= cost[2], high_next, middle)
        )
        done = has_converged.any(axis=0)
        return _Bracket(choose(done, best, low), choose(done, best, high), changed & ~done, state.steps)

    def _trials(self, alpha: Float[Array, "*k n"], origin: Float[Array, "*k n"]) -> _Trial:
        """Evaluate the cost at step lengths."""
        p, settings = self.cost.problem, self.cost.settings
        violation, speed, weight = self.violation, self.speed, p.weight
        at_alpha = violation + alpha[..., None, :] * speed
        active = (at_alpha < 0) | settings.two_sided
        rows = [
            0.5 * weight * violation * violation * active,
            weight * speed * violation * active,
            0.5 * weight * speed * speed * active,
        ]
        if settings.has_friction:
            sign, slipping = self.cost.slipping(at_alpha)
            slip_rows: list[Array | float] = [
                p.friction * (sign * violation - 0.5 * self.cost.slip),
                sign * p.friction * speed,
                0.0,
            ]
            rows = [jnp.where(slipping, slip, row) for slip, row in zip(slip_rows, rows, strict=True)]
        rows = batched.materialize(rows)
        q0, q1, q2 = (pairwise_sum(row, axis=-2) + g for row, g in zip(rows, self.gauss, strict=True))
        return _Trial(
            alpha=alpha,
            origin=origin,
            cost=alpha * alpha * q2 + alpha * q1 + q0,
            slope=2 * alpha * q2 + q1,
            curvature=2 * q2 + (q2 == 0) * mujoco.mjMINVAL,
        )
