"""JAX's programs as data: what jacdb takes from ``jax.extend`` and ``jax.interpreters``.

JAX shows these names, and promises of neither module that they stay as they are.
"""

from jax.extend.core import Jaxpr, jaxpr_as_fun
from jax.interpreters import partial_eval

WRITTEN_AGAINST = {"jax": "0.12.0.1"}

as_function = jaxpr_as_fun


def inputs_read(program: Jaxpr, outputs: list[bool]) -> list[bool]:
    """Return of each input of a program whether the outputs that are asked for depend on it.

    An input of a loop counts if any turn of the loop reads it.

    Args:
        outputs: of each output, whether it is asked for.
    """
    _, read = partial_eval.dce_jaxpr(program.jaxpr, outputs)
    return read
