"""Losses and the model's Jacobian, against plain formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT

import jacdb
from jacdb.errors import UsageError
from jacdb.learning.loss_names import LOSSES, loss_of
from jacdb.learning.losses import MinibatchLoss, ZeroColumns, columns_of_jacobian, device_rows
from jacdb.learning.minibatches import Minibatches
from jacdb.learning.models.layers import elu
from jacdb.learning.models.mlp import MLP
from jacdb.learning.models.model import WorldModel
from jacdb.learning.problem import LearningProblem
from jacdb.learning.training import initial_params

pytestmark = pytest.mark.slow
MODEL = MLP(width=16)


@pytest.fixture(scope="module", params=["next", "delta"])
def panda(request) -> LearningProblem:
    """States with a quaternion."""
    with jacdb.open(ROOT / "datasets" / "sample") as opened:
        return LearningProblem.of(opened, "PandaPickCube", target=request.param)


@pytest.fixture(scope="module")
def cheetah() -> LearningProblem:
    with jacdb.open(ROOT / "datasets" / "sample") as opened:
        return LearningProblem.of(opened, "CheetahRun")


def test_users_29_elu_and_its_derivatives_are_those_of_jax():
    x = jnp.linspace(-3, 3, 12)
    for derivative in (lambda f: f, lambda f: jax.grad(f), lambda f: jax.grad(jax.grad(f))):
        assert np.allclose(jax.vmap(derivative(elu))(x), jax.vmap(derivative(jax.nn.elu))(x), atol=1e-6)


def test_users_29_the_models_jacobian_is_a_difference_quotient_of_the_next_state(panda):
    """By tangents of states with a quaternion, whichever target it predicts: in float64."""
    rows, coordinates, space = panda.parts["train"], panda.coordinates, panda.coordinates.space
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), initial_params(MODEL, panda, 0))
    state, action = (jnp.asarray(values[3], jnp.float64) for values in (rows.state, rows.action))
    target = MODEL.predict(params, state, action)  # there the model's own tangent is
    every = jnp.arange(panda.shape[1])
    _, columns = columns_of_jacobian(MODEL, coordinates)(params, state, action, target, every)
    made, step = coordinates.normalization, 1e-6

    def next_raw(x: jax.Array, u: jax.Array) -> jax.Array:
        return coordinates.restored(coordinates.next_state(x, MODEL.predict(params, x, u)), u)[0]

    raw_x, _ = coordinates.restored(state, action)
    here = next_raw(state, action)
    for column in range(panda.shape[1]):
        dx, du = np.zeros(space.n_tangent), np.zeros(len(action))
        if column < space.n_tangent:
            dx[column] = made.tangent[column]
        else:
            du[column - space.n_tangent] = 1
        moved = [
            next_raw(jnp.asarray(made.state.normalized(space.retract(np.asarray(raw_x), sign * step * dx))),
                     action + sign * step * du)
            for sign in (1, -1)
        ]  # fmt: skip
        ahead, behind = (space.difference(here, other) for other in moved)
        assert np.allclose(columns[column], (ahead - behind) / (2 * step) / made.tangent, atol=1e-6), column


def test_users_29_both_targets_give_the_true_jacobian_to_a_model_that_has_it(linear):
    """Of the system itself, as a model that is not trained: x' = A x + B u."""

    class Truth(WorldModel):
        def init(self, key, sizes):
            return linear.jacobian(linear.parts["test"])[1]

        def predict(self, params, state, action):
            return params @ jnp.concatenate([state, action])

    rows = linear.parts["test"]
    given = (jnp.asarray(values[1]) for values in (rows.state, rows.action, rows.target))
    true = linear.jacobian(rows)[1]
    _, columns = columns_of_jacobian(Truth(), linear.coordinates)(jnp.asarray(true), *given, jnp.arange(5))
    assert np.allclose(columns.T, true, atol=1e-6)


@pytest.mark.parametrize("compared", [64, 24])
@pytest.mark.parametrize("name", LOSSES)
def test_users_29_losses_and_gradients_are_those_of_plain_formulas(name, compared, cheetah):
    """Also where SAE computes some columns alone, in tiers, and where some rows alone have their Jacobians compared."""
    loss = loss_of(name)
    rows = cheetah.parts["train"]
    value = MinibatchLoss(MODEL, cheetah, loss)
    params = initial_params(MODEL, cheetah, 0)
    places = np.random.default_rng(0).permutation(len(rows))[:64]
    tiers = value.whole(compared)
    if value.zeros is not None:
        places = Minibatches(len(rows), 64, 0, value.zeros.filled[rows.pattern], compared).between(0, 1)[0]
        tiers = value.zeros.tiers(rows.pattern, compared)
        assert value.zeros.fit(tiers, rows.pattern[places[:compared]][None]) and (len(tiers) > 1) == (compared == 64)
        assert sum(n * (end - first) for n, first, end in tiers) < compared * 24 / 4
    chosen = rows.where(places)
    true, zero = jnp.asarray(cheetah.jacobian(chosen)), jnp.asarray(cheetah.zero(chosen))

    def plain(params):
        def jacobian(x, u):
            return jnp.concatenate(jax.jacfwd(lambda x, u: MODEL.predict(params, x, u), (0, 1))(x, u), axis=1)

        some = slice(compared)
        predicted = jax.vmap(lambda x, u: MODEL.predict(params, x, u))(chosen.state, chosen.action)
        found = jax.vmap(jacobian)(jnp.asarray(chosen.state[some]), jnp.asarray(chosen.action[some]))
        part = {
            "none": 0.0,
            "msej": jnp.mean((found - true[some]) ** 2),
            "maej": jnp.mean(jnp.abs(found - true[some])),
            "l1": jnp.mean(jnp.abs(found)),
            "sae": jnp.sum(jnp.abs(found) * zero[some]) / zero[some].sum(),
        }[loss.jacobian]
        return jnp.mean((predicted - chosen.target) ** 2) + loss.weight * part

    data = device_rows(cheetah, chosen, loss)
    ours, gradient = jax.value_and_grad(lambda p: value(p, data, tiers))(params)
    theirs, expected = jax.value_and_grad(plain)(params)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected), strict=True):
        assert np.allclose(a, b, rtol=1e-4, atol=1e-6)


def test_users_29_the_gradient_of_sae_touches_true_zeros_alone(linear):
    """A linear model's weights are its Jacobian: only those of zeros move, also not those that are undecided."""
    model = MLP(depth=0)
    params = initial_params(model, linear, 0)
    rows = linear.parts["train"]

    def gradient(weight):
        loss = loss_of("mse+sae", weight)
        value = MinibatchLoss(model, linear, loss)
        data = device_rows(linear, rows, loss)
        return jax.grad(lambda p: value(p, data, value.whole(len(rows))))(params)[0]["weight"]

    of_sae = np.asarray(gradient(1.0) - gradient(0.0)).T
    ever = linear.zero(rows).any(0)
    assert np.abs(of_sae[~ever]).max() < 1e-7 < 1e-3 < np.abs(of_sae[ever]).min()


def test_users_29_rows_to_compare_are_sorted_and_are_a_random_choice():
    filled = np.arange(1000) % 7
    of = [Minibatches(1000, 100, 3, filled, first).between(0, 10) for first in (None, 20)]
    assert (np.diff(filled[of[0]], axis=1) <= 0).all() and (np.diff(filled[of[1][:, :20]], axis=1) <= 0).all()
    assert filled[of[0][:, :20]].mean() > 5.5 and filled[of[1][:, :20]].mean() == pytest.approx(3, abs=0.5)
    assert all(len(np.unique(batches)) == 1000 for batches in of)


def test_users_29_more_columns_than_a_tier_has_are_noticed():
    patterns = np.zeros((2, 3, 4), bool)
    patterns[1, 0, :3] = True
    zeros = ZeroColumns.of(patterns)
    rare = np.repeat([0, 1], [990, 10])
    tiers = zeros.tiers(rare, 64)
    assert tiers == ((8, 0, 3),)
    assert zeros.fit(tiers, np.array([[1] * 8 + [0] * 56])) and not zeros.fit(tiers, np.array([[1] * 9 + [0] * 55]))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("mse+sea",), "no loss 'mse.sea'.* did you mean mse.sae"),
        (("mse", 0.5), "has no part on the Jacobian"),
        (("mse+l1", -1.0), "--weight -1.0"),
        (("mse+l1", float("nan")), "--weight nan"),
    ],
)
def test_users_29_a_wrong_loss_gets_one_line(words, told):
    with pytest.raises(UsageError, match=told):
        loss_of(*words)
