"""What Adam takes, refused with the name of the flag before a network is built."""

import math
from collections.abc import Sequence

from provenance import UserError


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
