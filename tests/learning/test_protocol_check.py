"""A class of one's own that is no model gets one line before it is trained."""

import pytest

from jacdb.errors import UsageError
from jacdb.learning import learn as learning
from jacdb.learning.loss_names import loss_of

FILE = """
import jax.numpy as jnp

class Right:
    def init(self, key, sizes):
        return {"w": jnp.zeros((sizes.n_target, sizes.n_state + sizes.n_action))}
    def predict(self, params, state, action):
        return params["w"] @ jnp.concatenate([state, action])
    def graph(self, params, state, action):
        return params["w"] > 0

class One(Right):
    def predict(self, *given): return super().predict(*given)[:1]
class Scalar(Right):
    def predict(self, *given): return super().predict(*given).sum()
class Column(Right):
    def predict(self, *given): return super().predict(*given)[:, None]
class Whole(Right):
    def predict(self, *given): return jnp.arange(3, dtype=jnp.int32)
class Pair(Right):
    def predict(self, *given): return super().predict(*given), 0.0
class Raises(Right):
    def predict(self, *given): raise KeyError("oops")
class Square(Right):
    def graph(self, params, state, action): return jnp.ones((len(state), len(state)))
class Transposed(Right):
    def graph(self, params, state, action): return params["w"].T
class Vector(Right):
    def loss(self, params, state, action, target, key): return (self.predict(params, state, action) - target) ** 2
class Numbered(Right):
    def init(self, key, sizes): return super().init(key, sizes) | {"n": jnp.arange(3, dtype=jnp.int32)}
class Named(Right):
    def init(self, key, sizes): return super().init(key, sizes) | {"n": "x"}
"""


@pytest.mark.parametrize(("kind", "told"), [
    ("One", "predict returns an array of shape (1,): give (3,), which is (n_target,)"),
    ("Scalar", "predict returns an array of shape (): give (3,)"),
    ("Column", "predict returns an array of shape (3, 1): give (3,)"),
    ("Whole", "predict returns int32: give floating-point numbers"),
    ("Pair", "predict returns a tuple: give one array"),
    ("Raises", "predict raises KeyError: 'oops' (own.py, line 23)"),
    ("Square", "graph returns an array of shape (3, 3): give (3, 5), which is (n_target, n_state + n_action)"),
    ("Transposed", "graph returns an array of shape (5, 3): give (3, 5)"),
    ("Vector", "loss returns an array of shape (3,): give a scalar"),
    ("Numbered", "init returns int32 among its parameters (['n']): give floating-point arrays"),
    ("Named", "init returns str among its parameters (['n']): give floating-point arrays"),
])  # fmt: skip
def test_a_class_that_does_not_keep_to_the_protocol_gets_one_line(kind, told, linear, tmp_path):
    file = tmp_path / "own.py"
    file.write_text(FILE)
    with pytest.raises(UsageError) as refused:
        learning.learn(linear, tmp_path / "data", f"{file}:{kind}", loss_of("mse"))
    assert f"own.py:{kind}: {told}" in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "data").exists()


def test_a_class_that_keeps_to_it_is_taken(linear, tmp_path):
    file = tmp_path / "own.py"
    file.write_text(FILE)
    model = learning.registry.make(f"{file}:Right", {})
    learning.protocol_check.check("Right", model, learning.training.sizes_of(linear))


def test_a_function_that_returns_no_state_gets_one_line(linear, tmp_path):
    with pytest.raises(UsageError, match=r"short: it returns an array of shape \(1,\): give \(3,\), which is"):
        learning.score_function(linear, tmp_path, "short", lambda x, u: x[:1])
