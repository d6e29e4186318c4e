"""A class of one's own that is no model gets one line before it is trained."""

import pytest

from jacdb.errors import UsageError
from jacdb.learning import learn as learning
from jacdb.learning.loss_names import loss_of

FILE = """
import jax, jax.numpy as jnp

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
class Rounded(Right):
    def init(self, key, sizes): return {"w": super().init(key, sizes)["w"].astype(jnp.bfloat16)}
class Named(Right):
    def init(self, key, sizes): return super().init(key, sizes) | {"n": "x"}
class Setting(Right):
    def __init__(self, loss="huber"): self.loss = loss
class Flag(Right):
    graph = True
class Backward(Right):
    def predict(self, params, state, action):
        product = jax.custom_vjp(lambda w, x: w @ x)
        product.defvjp(lambda w, x: (w @ x, (w, x)), lambda kept, g: (jnp.outer(g, kept[1]), kept[0].T @ g))
        return product(params["w"], jnp.concatenate([state, action]))
class Forward(Right):
    def predict(self, *given):
        start = 0, super().predict(*given)
        return jax.lax.while_loop(lambda i_y: i_y[0] < 3, lambda i_y: (i_y[0] + 1, 1.0 * i_y[1]), start)[1]
class Complex(Right):
    def init(self, key, sizes): return {"w": super().init(key, sizes)["w"] + 1j}
    def predict(self, *given): return super().predict(*given).real
    def graph(self, params, state, action): return jnp.abs(params["w"])
class OwnLoss(Forward):
    def loss(self, params, state, action, target, key):
        return jnp.sum((Right.predict(self, params, state, action) - target) ** 2)
class Attribute:
    init, predict, loss = Right.init, Right.predict, None  # and no graph but this, which nobody calls
    def __init__(self): self.graph = lambda kind: kind
class Without(Right):
    graph = None
class SizeOne(Right):
    def loss(self, params, state, action, target, key):
        return jnp.sum((self.predict(params, state, action) - target) ** 2, keepdims=True)
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
    ("Rounded", "init returns bfloat16 among its parameters (['w']): give float32; predict may convert them"),
    ("Setting", "its loss is of type str, no method: give the attribute another name"),
    ("Flag", "its graph is of type bool, no method: give the attribute another name"),
    ("Backward", "predict raises TypeError: can't apply forward-mode autodiff"),
    ("Forward", "predict raises ValueError: Reverse-mode differentiation does not work"),
])  # fmt: skip
def test_a_class_that_does_not_keep_to_the_protocol_gets_one_line(kind, told, linear, tmp_path):
    file = tmp_path / "own.py"
    file.write_text(FILE)
    with pytest.raises(UsageError) as refused:
        learning.learn(linear, tmp_path / "data", f"{file}:{kind}", loss_of("mse"))
    assert f"own.py:{kind}: {told}" in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("kind", ["Right", "Complex", "OwnLoss", "Attribute", "Without", "SizeOne"])
def test_a_class_that_keeps_to_it_is_taken(kind, linear, tmp_path):
    file = tmp_path / "own.py"
    file.write_text(FILE)
    model = learning.registry.make(f"{file}:{kind}", {})
    learning.protocol_check.check(kind, model, learning.training.sizes_of(linear), loss_of("mse"))


def test_a_prediction_without_reverse_mode_is_not_trained_by_its_jacobian(linear, tmp_path):
    file = tmp_path / "own.py"
    file.write_text(FILE)
    with pytest.raises(UsageError, match="OwnLoss: predict raises ValueError: Reverse-mode"):
        learning.learn(linear, tmp_path / "data", f"{file}:OwnLoss", loss_of("mse+l1"))
    assert not (tmp_path / "data").exists()


def test_a_function_that_returns_no_state_gets_one_line(linear, tmp_path):
    with pytest.raises(UsageError, match=r"short: it returns an array of shape \(1,\): give \(3,\), which is"):
        learning.score_function(linear, tmp_path, "short", lambda x, u: x[:1])
