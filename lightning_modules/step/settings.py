"""Settings of a training step, refused with the name of the flag before a network is built."""

import math
from collections.abc import Sequence

from provenance import UserError


def refuse_settings(
    learning_rate: float, micro_batches: int, gradient_clip_norm: float | None, decay_from: float
) -> None:
    """Refuse settings of `TrainingModule` outside of their ranges.

    Raises:
        UserError: Names the first that is, and the range.
    """
    clips = gradient_clip_norm is None or gradient_clip_norm > 0
    for name, value, fits, expected in (
        ("micro_batches", micro_batches, micro_batches >= 1, "1 or more"),
        ("learning_rate", learning_rate, learning_rate > 0, "above 0"),
        ("gradient_clip_norm", gradient_clip_norm, clips, "above 0, or left out"),
        ("decay_from", decay_from, 0 <= decay_from <= 1, "0 to 1"),
    ):
        if not fits:  # NaN neither
            raise UserError(f"--model.{name} is {value}; it must be {expected}.")


def refuse_betas(betas: Sequence[float]) -> None:
    """Refuse decay rates that Adam cannot have.

    Raises:
        UserError: Other than two numbers from 0 to below 1.
    """
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):  # NaN neither
        given = ", ".join(str(beta) for beta in betas)
        raise UserError(f"--model.betas is [{given}]; expected two numbers from 0 to below 1.")


def refuse_weight_decay(weight_decay: float) -> None:
    """Refuse a decay that would let weights grow.

    Raises:
        UserError: Below 0, infinite or no number.
    """
    if not 0 <= weight_decay < math.inf:
        raise UserError(f"--model.weight_decay is {weight_decay}; it must be 0 or more.")
