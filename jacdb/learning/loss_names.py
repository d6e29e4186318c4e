"""The names of losses and their weights. Nothing here imports JAX."""

import math
from dataclasses import dataclass

from jacdb.errors import UsageError, suggestion


@dataclass(frozen=True)
class Loss:
    """A loss: MSE(s'), the mean squared error of the prediction, and a weighted part on the model's Jacobian.

    Attributes:
        name: its name.
        jacobian: the part on the Jacobian: msej, maej, l1, sae, or none.
        entries: which entries of the Jacobian it needs: none, all, or those of true zeros.
        weight: of that part.
        means: in a formula.
    """

    name: str
    jacobian: str
    entries: str
    weight: float
    means: str


LOSSES = {
    loss.name: loss
    for loss in (
        Loss("mse", "none", "none", 0.0, "MSE(s')"),
        Loss("mse+msej", "msej", "all", 0.1, "MSE(s') + weight * MSE(J)"),
        Loss("mse+maej", "maej", "all", 0.1, "MSE(s') + weight * MAE(J)"),
        Loss("mse+l1", "l1", "all", 0.01, "MSE(s') + weight * mean |J|"),
        Loss("mse+sae", "sae", "zeros", 0.1, "MSE(s') + weight * mean |J| over true zeros: SAE(J)"),
    )
}


def loss_of(name: str, weight: float | None = None) -> Loss:
    """Return a loss by its name, with another weight if one is given.

    Raises:
        UsageError: there is no such loss, the weight is below 0, or the loss has none.
    """
    if name not in LOSSES:
        raise UsageError(f"no loss {name!r}: {suggestion(name, LOSSES)}")
    loss = LOSSES[name]
    if weight is None:
        return loss
    if loss.jacobian == "none":
        raise UsageError(f"--weight {weight}: {name} has no part on the Jacobian; leave it out")
    if not 0 <= weight < math.inf:
        raise UsageError(f"--weight {weight}: give 0 or more")
    return Loss(loss.name, loss.jacobian, loss.entries, weight, loss.means)
