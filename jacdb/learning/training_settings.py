"""How a model is trained, besides its loss. Nothing here imports JAX."""

import math
from dataclasses import dataclass

from jacdb.errors import UsageError


@dataclass(frozen=True)
class TrainingSettings:
    """How a model is trained: Adam on minibatches, validated at intervals, stopped when validation no longer improves.

    Attributes:
        steps: minibatches at most; rounded up to whole intervals of validation.
        batch_size: rows of a minibatch; all of the training part if it has fewer.
        learning_rate: Adam's.
        validate_every: minibatches between validations.
        patience: validations without improvement after which training stops.
        jacobian_rows: rows of a minibatch whose Jacobians are compared; None for all rows.
    """

    steps: int = 20_000
    batch_size: int = 256
    learning_rate: float = 1e-3
    validate_every: int = 250
    patience: int = 12
    jacobian_rows: int | None = None

    def check(self) -> None:
        """Refuse settings that can't be.

        Raises:
            UsageError: a number is not above 0.
        """
        for name in ("steps", "batch_size", "validate_every", "patience"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)}: give 1 or more")
        if not 0 < self.learning_rate < math.inf:
            raise UsageError(f"learning_rate={self.learning_rate}: give more than 0")
        if self.jacobian_rows is not None and self.jacobian_rows < 1:
            raise UsageError(f"jacobian_rows={self.jacobian_rows}: give 1 or more, or leave it out for all rows")

    @property
    def call(self) -> int:
        """Minibatches of one call of the compiled program; a validation comes after a whole number of calls."""
        return max(n for n in range(1, 51) if self.validate_every % n == 0)

    @property
    def all_steps(self) -> int:
        """The minibatches of a training that is not stopped early."""
        return math.ceil(self.steps / self.validate_every) * self.validate_every
