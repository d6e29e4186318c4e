"""Every Jacobian against independent ones: autodiff through the solver, and MuJoCo's C engine."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import pytest
from thoroughness import thorough

from jacdb.ingest import runtime
from jacdb.ingest.differentiation import control_step, finite_differences
from jacdb.ingest.differentiation.finite_differences import relative
from jacdb.ingest.differentiation.types import PhysicsInput
from jacdb.ingest.dynamics import observations
from jacdb.ingest.dynamics.newton import RESIDUAL_TOLERANCE
from jacdb.ingest.recording import constraint_columns
from jacdb.schemas import ZERO_THRESHOLD

pytestmark = pytest.mark.slow

EPISODES = 8
STEPS = {"CheetahRun": 60, "FingerSpin": 60, "BallInCup": 100}  # test_panda.py has PandaPickCube's, compiled once
SAMPLES = 40  # of the steps rolled out, for autodiff and finite differences
FD_NOISE = 1e-7  # relative; the median is near 4e-10


class Rolled(NamedTuple):
    """Sampled steps of a rollout (leading axis), with Jacobians of the physics by all three ways."""

    inputs: PhysicsInput
    implicit: np.ndarray  # (samples, 2 nv, 2 nv + nu)
    by_autodiff: Callable[[], np.ndarray]  # compiles for a minute
    fd: np.ndarray
    residual: np.ndarray
    observed: observations.Observation
    moved: np.ndarray  # largest |C - MJX| of the next qpos and qvel
    smooth: np.ndarray  # (2 nv + nu,) per sample: columns at no kink, for there C takes one side and JAX the mean
    switches: list[str]

    @property
    def autodiff(self) -> np.ndarray:
        return self.by_autodiff()

    @property
    def converged(self) -> np.ndarray:
        return self.residual < RESIDUAL_TOLERANCE


def smooth_columns(model, inputs: PhysicsInput) -> np.ndarray:
    low, high = model.actuator_ctrlrange.T
    inside = (inputs.ctrl > low) & (inputs.ctrl < high)
    return np.concatenate([np.ones((len(inside), 2 * model.nv), bool), inside], axis=1)


@pytest.fixture(scope="session")
def rolled(system):
    @functools.cache
    def roll(name: str) -> Rolled:
        loaded = system(name)
        step = jax.vmap(control_step.control_step(loaded, "implicit"))

        def one(state, action):
            done = step(state, action)
            data = done.state.data
            return done.state, (done.physics, done.physics_input, done.observed, data.qpos, data.qvel)

        rng = np.random.default_rng(0)
        actions = np.clip(rng.normal(size=(STEPS[name], EPISODES, loaded.spec.d_action)), -1, 1)
        keys = jax.random.split(jax.random.key(0), EPISODES)
        start = runtime.compiled_quickly(jax.vmap(loaded.env.reset), keys)(keys)
        _, records = runtime.compiled_quickly(functools.partial(jax.lax.scan, one), start, actions)(start, actions)
        flat = jax.tree.map(lambda leaf: np.concatenate(np.asarray(leaf)), records)  # steps and episodes
        some = rng.choice(STEPS[name] * EPISODES, SAMPLES, replace=False)
        physics, inputs, observed, qpos, qvel = jax.tree.map(lambda leaf: leaf[some], flat)

        @functools.cache
        def by_autodiff() -> np.ndarray:
            differentiate = jax.vmap(control_step.physics_jacobian(loaded, "autodiff"))
            return runtime.compiled_quickly(differentiate, inputs)(inputs).matrix

        singles = [jax.tree.map(lambda leaf, i=i: leaf[i], inputs) for i in range(SAMPLES)]
        fd = [finite_differences.finite_difference(loaded, single).matrix for single in singles]
        replayed = [finite_differences.replay(loaded, single) for single in singles]
        moved = [max(abs(q - qpos[i]).max(), abs(v - qvel[i]).max()) for i, (q, v) in enumerate(replayed)]
        return Rolled(
            inputs, physics.matrix, by_autodiff, np.stack(fd), physics.residual, observed, np.array(moved),
            smooth_columns(loaded.mj_model, inputs),
            constraint_columns.switch_names(loaded.mj_model),
        )  # fmt: skip

    return roll


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["CheetahRun", "BallInCup"])
def test_implicit_is_autodiff_where_the_solver_converged(name, rolled):
    steps = rolled(name)
    assert steps.converged.sum() > SAMPLES / 2
    assert relative(steps.implicit, steps.autodiff)[steps.converged].max() < 1e-9


@pytest.mark.thorough
def test_implicit_is_autodiff_in_finger_spin_but_for_the_friction_that_autodiff_gets_wrong(rolled):
    """A hinge that dry friction holds: MJX's solver starts at the solution, and jacfwd through a line search that has
    nowhere to go is wrong (docs/jacobians.md). The C engine tells who is right."""
    steps, hinge = rolled("FingerSpin"), 2
    free = np.setdiff1d(np.arange(8), [hinge, hinge + 3])
    sticking = np.asarray(steps.observed.switches)[:, :, steps.switches.index("friction_holds:hinge")].all(axis=1)
    touching = np.asarray(steps.observed.touching).any(axis=(1, 2))
    chosen = steps.converged & sticking & ~touching
    assert chosen.sum() > 10
    block = np.ix_(chosen, [0, 1, 3, 4], free)
    assert relative(steps.implicit[block], steps.autodiff[block]).max() < 1e-9
    own = (chosen, hinge + 3, hinge + 3)
    # all but a hinge that begins to slide within the finite difference
    assert np.quantile(np.abs(steps.implicit[own] - steps.fd[own]), 0.9) < 1e-6
    assert np.median(np.abs(steps.autodiff[own] - steps.fd[own])) > 1


@pytest.mark.parametrize("name", ["CheetahRun", thorough("FingerSpin"), thorough("BallInCup")])
def test_implicit_is_the_c_engines_finite_difference(name, rolled):
    steps = rolled(name)
    same = steps.converged & (steps.moved < 1e-9)  # where the C engine moves as MJX does
    assert same.sum() > SAMPLES / 2
    error = relative(*(j * steps.smooth[:, None] for j in (steps.implicit, steps.fd)))[same]
    # The rest has a kink (a contact about to begin, friction about to slide) within the finite difference.
    assert np.quantile(error, 0.9) < FD_NOISE


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["CheetahRun", "BallInCup"])
def test_autodiff_is_the_c_engines_finite_difference(name, rolled):
    steps = rolled(name)
    same = steps.converged & (steps.moved < 1e-9)
    error = relative(*(j * steps.smooth[:, None] for j in (steps.autodiff, steps.fd)))[same]
    assert np.quantile(error, 0.9) < FD_NOISE


@pytest.mark.thorough
def test_the_samples_show_what_they_are_to_be_tested_on(rolled):
    cheetah = np.asarray(rolled("CheetahRun").observed.touching).any(axis=(1, 2))
    assert 0 < cheetah.sum() < SAMPLES
    ball = rolled("BallInCup")
    taut = np.asarray(ball.observed.switches)[:, :, ball.switches.index("tendon_limit:string")].any(axis=1)
    assert 0 < taut.sum() < SAMPLES


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["CheetahRun", "BallInCup"])
def test_both_ways_find_the_same_zeros(name, rolled):
    steps = rolled(name)
    zeros = [np.abs(j[steps.converged]) < ZERO_THRESHOLD for j in (steps.implicit, steps.autodiff)]
    assert np.array_equal(*zeros)


def test_where_the_cheetah_stands_matters_to_nothing_else_exactly(rolled, system):
    """Not to rounding: contact forces are large, and what would be left of them is above the threshold."""
    found = rolled("CheetahRun")
    assert np.asarray(found.observed.touching).any()
    x = int(system("CheetahRun").mj_model.joint("rootx").dofadr[0])
    column = found.implicit[:, :, x]
    assert (column[:, x] == 1).all() and not np.delete(column, x, axis=1).any()


@pytest.mark.thorough
def test_a_step_whose_solver_stopped_early_says_so_and_unrolled_covers_it(rolled, system):
    ball = rolled("BallInCup")  # one iteration is all that it allows
    assert not ball.converged.all()
    wrong = relative(ball.implicit, ball.autodiff) > 1e-6
    assert not (wrong & ball.converged).any()
    assert (wrong & ~ball.converged).any()

    differentiate = jax.vmap(control_step.physics_jacobian(system("BallInCup"), "unrolled"))
    unrolled = runtime.compiled_quickly(differentiate, ball.inputs)(ball.inputs)
    assert np.all(unrolled.valid)
    assert relative(unrolled.matrix, ball.autodiff).max() < 1e-9
    zeros = [np.abs(j) < ZERO_THRESHOLD for j in (unrolled.matrix, ball.autodiff)]
    assert np.array_equal(*zeros)
