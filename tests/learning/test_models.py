"""Models made for the question: each finds a local graph that is known, and keeps to the protocol."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cart_rows import ENV, PUSH, SWITCHING, V1, V2, X1, X2, cart_dataset
from conftest import ROOT, call_jacdb
from thoroughness import one_in_five

import jacdb
from jacdb.ingest.environments.kinematic_tree import parents
from jacdb.learning import training
from jacdb.learning.bodies import Bodies
from jacdb.learning.evaluation import Evaluator
from jacdb.learning.graph_scores import LocalGraphs, ranking
from jacdb.learning.loss_names import loss_of
from jacdb.learning.models import gates, layers, registry
from jacdb.learning.models.cdl import CDL
from jacdb.learning.models.graph_network import GraphNetwork
from jacdb.learning.models.spartan import Spartan
from jacdb.learning.problem import LearningProblem
from jacdb.learning.training_settings import TrainingSettings

pytestmark = pytest.mark.slow
WITH_OWN_LOSS = [name for name in registry.BUILT_IN if hasattr(registry.make(name, {}), "loss")]


@pytest.fixture(scope="module")
def carts(tmp_path_factory) -> LearningProblem:
    with jacdb.open(cart_dataset(tmp_path_factory.mktemp("carts") / "data")) as opened:
        return LearningProblem.of(opened, ENV)


@pytest.fixture(scope="module")
def panda() -> LearningProblem:
    """States with a quaternion."""
    with jacdb.open(ROOT / "datasets" / "sample") as opened:
        return LearningProblem.of(opened, "PandaPickCube")


def trained(model, problem, steps=1000):
    settings = TrainingSettings(steps=steps, batch_size=128, learning_rate=3e-3, validate_every=250)
    return training.train(model, problem, loss_of("mse"), settings, 0).params


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "steps", "least"),
    [("spartan", 1000, 0.9), ("locally_linear", 1000, 0.95), ("fcdl", 2000, 0.75), ("graph_network", 500, 0.85)],
)
def test_users_29_a_model_sees_carts_touch(name, steps, least, carts):
    """By the graph of a state alone: AUROC of the entries that switch. A global graph has 0.5."""
    model = registry.make(name, {})
    rows = carts.parts["test"]
    graphs = Evaluator(model, carts).graphs(trained(model, carts, steps), rows)
    auroc = ranking(graphs, LocalGraphs.of(carts.zero(rows), carts.undecided(rows)))[0]
    assert {(int(i), int(j)) for i, j in np.argwhere(~np.isnan(auroc))} == SWITCHING
    assert np.nanmean(auroc) > least


def test_users_29_cdl_finds_the_global_parents(carts):
    """What is never on has no conditional mutual information; what is on in half of the rows has some."""
    model = CDL()
    params = trained(model, carts, 1500)
    rows = carts.parts["test"]
    graphs = Evaluator(model, carts).graphs(params, rows)
    assert (graphs == graphs[0]).all()
    ever = (~carts.zero(rows)).any(0)
    assert graphs[0][ever].min() > 2 * graphs[0][~ever].max() and graphs[0][ever].min() > 0.3
    assert ever.sum() == 2 * 2 + len(SWITCHING) + 3 and not ever[V2, PUSH] and not ever[[X1, X2], [V2, V1]].any()


@pytest.mark.parametrize("name", one_in_five(registry.BUILT_IN))
def test_users_29_models_take_states_with_quaternions(name, panda):
    model, sizes, rows = registry.make(name, {}), training.sizes_of(panda), panda.parts["train"]
    assert (sizes.n_state, sizes.n_action, sizes.n_target) == (39, 8, 38)
    assert sizes.state_of_target == (*range(12), *range(13, 39))
    assert sizes.bodies[9:17] == ("box",) * 7 + ("link1",) and sizes.bodies[-1] == "left_finger"
    params = model.init(jax.random.key(0), sizes)
    state, action = jnp.asarray(rows.state[0]), jnp.asarray(rows.action[0])
    assert model.predict(params, state, action).shape == (38,)
    graph = np.asarray(model.graph(params, state, action))
    assert graph.shape == (38, 47) and (graph >= 0).all() and np.isfinite(graph).all()


@pytest.mark.parametrize("name", WITH_OWN_LOSS)
def test_users_29_losses_of_models_differentiate_and_depend_on_the_key(name, carts):
    model, rows = registry.make(name, {}), carts.parts["train"]
    params = training.initial_params(model, carts, 0)
    given = [jnp.asarray(values[0]) for values in (rows.state, rows.action, rows.target)]

    @jax.jit
    def of(key):
        return jax.value_and_grad(lambda p: model.loss(p, *given, key))(params)

    values = [float(of(jax.random.key(seed))[0]) for seed in (0, 0, 1, 2, 3, 4)]
    assert values[0] == values[1] and len(set(values)) > 1
    gradient = of(jax.random.key(0))[1]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    constants = {"token"} if name == "spartan" else set()
    assert {key for key, of_key in gradient.items() if not any(np.any(leaf) for leaf in jax.tree.leaves(of_key))} \
        == constants  # fmt: skip


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["spartan", "fcdl"])
def test_users_29_a_larger_penalty_closes_more(name, carts):
    rows = carts.parts["validation"]

    def mean_graph(weight):
        model = registry.make(name, {"weight": weight})
        return Evaluator(model, carts).graphs(trained(model, carts, 250), rows).mean()

    assert mean_graph(1.0) < 0.6 * mean_graph(0.0)


def test_users_29_nothing_passes_a_closed_gate(carts):
    """A target of SPARTAN to which no path is open does not depend on an input, whatever the others are."""
    model, rows = Spartan(), carts.parts["train"]
    params = training.initial_params(model, carts, 1)
    closed = 0
    for row in range(20):
        state, action = jnp.asarray(rows.state[row]), jnp.asarray(rows.action[row])
        jacobian = np.abs(jnp.concatenate(jax.jacfwd(model.predict, (1, 2))(params, state, action), axis=1))
        reached = np.eye(5)
        tokens = jnp.concatenate([state, action])[:, None] * params["scale"] + params["place"]
        for layer in params["layers"]:
            moved, probability = model._attend(layer, tokens, gates.likelier)
            tokens = tokens + moved
            tokens = tokens + layers.apply(layer["mlp"], tokens)
            reached = reached + (np.asarray(probability) > 0.5) @ reached
        assert ((jacobian > 0) <= (reached[:4] > 0)).all()
        closed += int((reached[:4] == 0).sum())
    assert closed


def test_users_29_a_sampled_gate_is_open_as_often_as_its_probability_says():
    keys = jax.random.split(jax.random.key(0), 4000)
    logits = jnp.array([-2.0, 0.0, 1.0])
    drawn = jax.vmap(lambda key: gates.sampled(key, logits))(keys)
    assert np.allclose(drawn, np.round(drawn), atol=1e-6)
    assert np.allclose(drawn.mean(0), jax.nn.sigmoid(logits), atol=0.03)
    slope = jax.vmap(jax.grad(lambda x, key: gates.sampled(key, x)), (None, 0))(0.0, keys)
    assert float(slope.min()) > 0 and float(slope.max()) <= 0.25
    assert float(jax.grad(lambda x: gates.likelier(x))(1.0)) == 0


def test_users_29_a_graph_network_has_the_edges_of_the_robots_tree(system):
    tree = parents(system("CheetahRun").mj_model)
    assert tree == {"bthigh": "torso", "bshin": "bthigh", "bfoot": "bshin", "fthigh": "torso", "fshin": "fthigh",
                    "ffoot": "fshin"}  # fmt: skip
    with jacdb.open(ROOT / "datasets" / "sample") as opened:
        problem = LearningProblem.of(opened, "CheetahRun")
    params = training.initial_params(GraphNetwork(parents=tree), problem, 0)
    assert params["tree"].shape == (7, 7) and params["tree"].sum() == 12 and (params["tree"] == params["tree"].T).all()
    assert params["node_of_input"].sum(1).tolist() == [6.0] + [3.0] * 6
    assert training.initial_params(GraphNetwork(), problem, 0)["tree"].sum() == 0


def test_users_29_what_has_no_body_is_a_node_by_itself(carts):
    sizes = training.sizes_of(carts)
    assert sizes.bodies == (None,) * 5
    assert GraphNetwork().init(jax.random.key(0), sizes)["tree"].shape == (5, 5)
    of_bodies = dataclasses.replace(carts, bodies=Bodies(("left", None, "left", "right"), ("left",)))
    params = GraphNetwork(parents={"right": "hidden", "hidden": "left"}).init(
        jax.random.key(0), training.sizes_of(of_bodies)
    )
    assert params["node_of_input"].sum(1).tolist() == [3, 1, 1] and params["tree"].tolist() == [
        [0, 0, 1], [0, 0, 0], [1, 0, 0],
    ]  # fmt: skip


@pytest.mark.thorough
def test_users_29_the_command_trains_them_and_asks_for_a_tree_it_does_not_know(tmp_path):
    root = cart_dataset(tmp_path / "data")
    words = ["learn", "--env", ENV, "--steps", "20", "--validate-every", "10", "--data", root, "--model"]
    ran = call_jacdb(*words, "locally_linear", "--set", "experts=2", "--set", "width=8")
    assert ran.returncode == 0 and ran.stdout.startswith("locally_linear-mse-seed0-"), ran.stderr
    ran = call_jacdb(*words, "graph_network")
    assert (ran.returncode, len(ran.stderr.splitlines())) == (2, 1) and "--set parents=null" in ran.stderr
    ran = call_jacdb(*words, "graph_network", "--set", "parents=null", "--set", "width=8")
    assert ran.returncode == 0, ran.stderr
    with jacdb.open(root) as opened:
        scores = opened.sql("from learning_scores inner join learning_runs using (env, run_id)").pl()
    assert set(scores["model"]) == {"locally_linear", "graph_network"} and "auroc" in set(scores["metric"])
