"""The environment's own part of F: from state and action to ctrl, and to what it keeps for the next step."""

import dataclasses
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jacdb.ingest.differentiation import control_step
from jacdb.ingest.differentiation.types import CtrlJacobian, PhysicsJacobian
from jacdb.ingest.environments import registry, transition

pytestmark = pytest.mark.slow

KEEPS_STATE = [name for name, spec in registry.all_specs().items() if spec.memory]


@pytest.mark.parametrize("keeps_qpos", [True, False])
@pytest.mark.parametrize("name", ["CheetahRun", "Go1Getup", "PandaPickCube", *KEEPS_STATE])
def test_the_composed_jacobian_is_that_of_the_composed_maps(name, keeps_qpos, system):
    spec = registry.all_specs()[name]
    nv, nu, n = spec.nv, spec.nu, 2 * spec.nv
    d_mapped = nu + sum(memory.size for memory in spec.memory)
    draw = np.random.default_rng(0).normal
    physics = PhysicsJacobian(draw(size=(n, n)), draw(size=(n, nu)), np.zeros(()), np.array(True))
    by_qpos = draw(size=(d_mapped, nv)) * (spec.action_map == "qpos")
    by_carried, by_action = draw(size=(d_mapped, spec.d_carried)), draw(size=(d_mapped, spec.d_action))

    def step(x, action):
        q, v, carried = x[:nv], x[nv:n], x[n:]
        mapped = by_qpos @ q + by_carried @ carried + by_action @ action
        moved = physics.by_state @ jnp.concatenate([q * keeps_qpos, v]) + physics.by_ctrl @ mapped[:nu]
        return jnp.concatenate([moved, mapped[0 if spec.ctrl_is_state else nu :]])

    ctrl = CtrlJacobian(by_qpos, by_carried, by_action, np.asarray(keeps_qpos))
    # of the environment, only the facts are asked for
    composed = control_step.compose(dataclasses.replace(system("CheetahRun"), spec=spec), physics, ctrl)
    expected = jax.jacobian(step, (0, 1))(jnp.zeros(spec.d_state), jnp.zeros(spec.d_action))
    for got, want in zip(composed, expected, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-12)


@pytest.mark.skipif(not os.environ.get("MENAGERIE_ROOT"), reason="needs robot models: set MENAGERIE_ROOT")
@pytest.mark.thorough
@pytest.mark.parametrize("name", KEEPS_STATE)
def test_a_map_with_memory_has_the_derivative_of_its_finite_difference(name, system):
    loaded = system(name)
    spec = loaded.spec
    shapes = jax.eval_shape(loaded.env.reset, jax.random.key(0))
    state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    state.info["rng"] = jax.random.key(0)
    if name == "PandaPickCubeCartesian":
        state.info["current_pos"] = jnp.asarray(loaded.env._start_tip_transform[:3, 3])
        state.info["_steps"] = jnp.ones_like(state.info["_steps"])  # the first step puts the target at its start
    state = state.replace(data=state.data.replace(ctrl=jnp.asarray(loaded.env._init_ctrl)))

    def mapped(x):
        carried, action = jnp.split(x, [spec.d_carried])
        return transition.ctrl_map(loaded, state)(jnp.zeros(spec.nv), carried, action)

    x = jnp.concatenate([transition.carried(loaded, state), jnp.full(spec.d_action, 0.1)])
    run = jax.jit(lambda x, directions: (jax.jacfwd(mapped)(x), jax.vmap(mapped)(directions)))
    eps = 1e-6
    derivative, sides = run(x, x + eps * jnp.concatenate([jnp.eye(len(x)), -jnp.eye(len(x))]))
    plus, minus = jnp.split(sides, 2)
    np.testing.assert_allclose(derivative, (plus - minus).T / (2 * eps), atol=1e-7)
