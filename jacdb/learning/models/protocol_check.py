"""Hold somebody's model to the protocol before it is trained: shapes, kinds of numbers, and that it can be called."""

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jacdb.errors import JacdbError, UsageError, first_line
from jacdb.learning.loss_names import Loss
from jacdb.learning.models.model import Sizes, WorldModel, own_graph, own_loss

_FLOAT = "floating-point"


def check(name: str, model: WorldModel, sizes: Sizes, loss: Loss) -> None:
    """Refuse a model whose methods raise, or return what is not as docs/learning.md says; nothing is computed.

    Broadcasting would train and score a wrong shape without a word.

    Args:
        name: what the user calls the model.
        model: the model.
        sizes: of the vectors that it will get.
        loss: what it will be trained by; a loss of its own takes the place of the prediction's.

    Raises:
        UsageError: it is not.
    """
    own, graph = own_loss(model), own_graph(model)
    for method, found in (("loss", own), ("graph", graph)):
        if found is not None and not callable(found):
            told = f"its {method} is of type {type(found).__name__}, no method: give the attribute another name"
            raise UsageError(f"--model {name}: {told}")
    state, action, target = (jax.ShapeDtypeStruct((n,), jnp.float32) for n in sizes[:3])
    key = jax.random.key(0)
    params = _called(name, model, "init", lambda: model.init(key, sizes))
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        remedy = ""
        if not jnp.issubdtype(kind := _kind(leaf), jnp.inexact):
            remedy = f"give {_FLOAT} arrays; keep constants in the class"
        elif kind.kind == "V":  # not NumPy's own: bfloat16 and the like, which no checkpoint gives back
            remedy = "give float32; predict may convert them"
        if remedy:
            what = f"{_kind_name(kind)} among its parameters ({jax.tree_util.keystr(path) or 'the only one'})"
            raise UsageError(f"--model {name}: init returns {what}: {remedy}")

    def traced(method: str, function: Callable[..., Any], *given: Any) -> Any:
        return _called(name, model, method, lambda: jax.eval_shape(function, params, *given))

    def jacobian(params: Any, state: jax.Array, action: jax.Array) -> Any:
        return jax.jacfwd(model.predict, (1, 2))(params, state, action)

    _check_shape(name, "predict", traced("predict", model.predict, state, action), target.shape, "(n_target,)")
    # scores differentiate by state and action, training what it minimizes by the parameters
    traced("predict", jacobian, state, action)
    if own is not None:
        value = traced("loss", own, state, action, target, key)
        size_1 = isinstance(value, jax.ShapeDtypeStruct) and value.size == 1  # training takes the mean
        _check_shape(name, "loss", value, value.shape if size_1 else (), "a scalar")
        traced("loss", _gradient(own), state, action, target, key)
    else:
        traced("predict", _gradient(model.predict), state, action)
    if loss.jacobian != "none":
        traced("predict", _gradient(jacobian), state, action)
    if graph is not None:
        shape = (sizes.n_target, sizes.n_state + sizes.n_action)
        found = traced("graph", graph, state, action)
        _check_shape(name, "graph", found, shape, "(n_target, n_state + n_action)", only_floats=False)


def check_step(name: str, step: Callable[[jax.Array, jax.Array], jax.Array], n_state: int, n_action: int) -> None:
    """Refuse a function x' = f(x, u) that does not return a state.

    Raises:
        UsageError: it does not.
    """
    given = (jax.ShapeDtypeStruct((n,), jnp.float32) for n in (n_state, n_action))
    _check_shape(name, "it", jax.eval_shape(step, *given), (n_state,), "(n_state,)", before="")


def _gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the gradient by parameters of the sum of what a function of them returns."""
    return jax.grad(lambda params, *given: sum(jnp.sum(leaf) for leaf in jax.tree.leaves(function(params, *given))))


def _check_shape(
    name: str,
    method: str,
    found: Any,
    shape: tuple[int, ...],
    words: str,
    *,
    only_floats: bool = True,
    before: str = "--model ",
) -> None:
    """Refuse what a method returns if it is no array of this shape.

    Raises:
        UsageError: it is not.
    """
    wanted = words if words == "a scalar" else f"{shape}, which is {words}"
    if not isinstance(found, jax.ShapeDtypeStruct):
        raise UsageError(f"{before}{name}: {method} returns a {type(found).__name__}: give one array, {wanted}")
    if found.shape != shape:
        raise UsageError(f"{before}{name}: {method} returns an array of shape {found.shape}: give {wanted}")
    if only_floats and not jnp.issubdtype(found.dtype, jnp.floating):
        raise UsageError(f"{before}{name}: {method} returns {found.dtype}: give {_FLOAT} numbers")


def _kind(leaf: Any) -> Any:
    """Return the type of a parameter's numbers; that of the parameter itself if it has none."""
    try:
        return jnp.result_type(leaf)
    except TypeError:
        return type(leaf)


def _kind_name(kind: Any) -> str:
    return getattr(kind, "__name__", None) or str(kind)


def _called(name: str, model: WorldModel, method: str, call: Callable[[], Any]) -> Any:
    """Return what a call of a model's method returns.

    Raises:
        UsageError: it raises an error; the line of the class's file is named.
    """
    try:
        return call()
    except JacdbError:
        raise
    except Exception as error:  # whatever somebody's class raises
        # a class of a file is in no module that Python lists
        of_module = getattr(sys.modules.get(type(model).__module__), "__file__", None)
        file = Path(of_module or name.rpartition(":")[0]).resolve()
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == file]
        where = f" ({file.name}, line {lines[-1]})" if lines else ""
        told = f"{method} raises {type(error).__name__}: {first_line(error)}{where}"
        raise UsageError(f"--model {name}: {told}") from error
