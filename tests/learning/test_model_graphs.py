"""Graphs of trained models: their own, or the absolute Jacobian."""

import jax.numpy as jnp
import numpy as np
import pytest

import jacdb
from jacdb.learning.evaluation import Evaluator
from jacdb.learning.problem import LearningProblem


class Halves:
    """Predicts half of what it gets, and has a graph of its own: column numbers, and NaN for the last action."""

    def predict(self, params, state, action):
        return 0.5 * state[: len(params)]

    def graph(self, params, state, action):
        columns = jnp.arange(len(state) + len(action), dtype=state.dtype).at[-1].set(jnp.nan)
        return jnp.tile(columns, (len(params), 1))


@pytest.mark.slow
def test_users_29_a_model_without_a_graph_has_its_jacobian(linear):
    class Plain:
        predict = Halves.predict

    rows = linear.parts["test"]
    graphs = Evaluator(Plain(), linear).graphs(jnp.zeros(3), rows)
    np.testing.assert_allclose(graphs, np.broadcast_to(0.5 * np.eye(3, 5), (len(rows), 3, 5)), atol=1e-6)


@pytest.mark.slow
def test_users_29_a_graph_by_quaternions_is_folded_into_one_by_rotations():
    with jacdb.open("datasets/sample") as dataset:
        problem = LearningProblem.of(dataset, "PandaPickCube")
    rows = problem.parts["test"].where(np.arange(3))
    graphs = Evaluator(Halves(), problem).graphs(jnp.zeros(38), rows)
    assert graphs.shape == (3, 38, 46)
    # the quaternion's numbers are 12 to 15; all that follows has one number less
    np.testing.assert_array_equal(graphs[0, 0], [*range(12), 15, 15, 15, *range(16, 46), np.nan])


@pytest.mark.slow
def test_users_29_a_graph_of_the_change_has_the_states_own_column_besides(linear_root):
    with jacdb.open(linear_root) as dataset:
        problem = LearningProblem.of(dataset, "Linear", target="delta")
    graph = Evaluator(Halves(), problem).graphs(jnp.zeros(3), problem.parts["test"])[0]
    own = np.eye(3, 5, dtype=bool)
    assert graph[own].min() > 1e30
    np.testing.assert_array_equal(graph[~own], np.tile([0, 1, 2, 3, np.nan], (3, 1))[~own])
