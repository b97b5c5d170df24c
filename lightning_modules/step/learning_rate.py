"""The learning rate of a step."""

from collections.abc import Iterable
from typing import Any


def set_rates(optimizers: Iterable[Any], rate: float) -> None:
    """Give every optimiser a rate; a parameter group with a "rate_factor", so many times of it."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("rate_factor", 1.0)


def decay_factor(decay_from: float, steps_done: int, trainer: Any) -> float:
    """1 at first, then linearly down to 0 at the end of the training.

    Args:
        decay_from: Share of the training, 0 to 1, from which it falls; 1 keeps it at 1.
        steps_done: Before this step.
        trainer: Lightning's, which knows the planned steps.
    """
    if decay_from >= 1.0:
        return 1.0
    planned = _planned_steps(trainer)
    progress = steps_done / planned if planned else 0.0
    return min(1.0, max(0.0, (1.0 - progress) / (1.0 - decay_from)))


def _planned_steps(trainer: Any) -> int | None:
    """Training steps until the end; None when training has no end (--trainer.max_epochs -1)."""
    epochs = trainer.max_epochs
    if epochs is None or epochs < 0:
        return None
    return int(epochs) * int(trainer.num_training_batches)
