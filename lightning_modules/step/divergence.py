"""Losses and gradients that are not finite: which end a training, and what it is told then."""

import math
from typing import Any

import torch

from provenance import UserError

GRADIENT_NORM = "train/gradient_norm"
"""How the names of reported norms begin."""


class TrainingError(UserError):
    """A training that went wrong by itself, and may go well from an earlier state."""


def when_diverged(precision: str) -> str:
    """What helps, of a training in this --trainer.precision."""
    rate = "Lower --model.learning_rate"
    if precision == "16-mixed":
        return (
            f"{rate}, set --model.gradient_clip_norm 1.0, or use --trainer.precision bf16-mixed, "
            "which has the range of float32."
        )
    return f"{rate}, or set --model.gradient_clip_norm 1.0."


def finite_values(values: dict[str, float], images_seen: int, trainer: Any) -> dict[str, float]:
    """Check the values of a step that is to be reported.

    Args:
        values: By their names; means over all processes, so that every process decides alike.
        images_seen: In the training so far, for the sentence.
        trainer: Lightning's.

    Returns:
        All of them, without the norm of a gradient whose step a gradient scaler (fp16) left out.

    Raises:
        TrainingError: One of them is not finite.
    """
    not_finite = [name for name, value in values.items() if not math.isfinite(value)]
    left_out: list[str] = []
    if _scale_is_sought(trainer):
        left_out = [name for name in not_finite if name.startswith(GRADIENT_NORM)]
    diverged = [name for name in not_finite if name not in left_out]
    if diverged:
        raise TrainingError(
            f"Training diverged by {images_seen} images: {', '.join(diverged)} is not finite. "
            f"Checkpoints are kept. {when_diverged(str(trainer.precision))}"
        )
    return {name: value for name, value in values.items() if name not in left_out}


def _scale_is_sought(trainer: Any) -> bool:
    """Whether a gradient that is not finite is a scaler's, which then takes a smaller scale.

    It multiplies losses by its scale, at first 65,536, and leaves out a step whose gradients
    overflow. Those that overflow at a scale below 1 do so by themselves.
    """
    scaler: torch.amp.GradScaler | None = getattr(trainer.precision_plugin, "scaler", None)
    return scaler is not None and scaler.get_scale() >= 1
