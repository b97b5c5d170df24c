"""A policy's operations on a batch, one after another, each image with numbers of its own."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from augmentations.mixture import GROUP
from augmentations.operation import BatchOperation
from provenance import UserError


def mix_batch(
    batch: dict[str, Any],
    operations: Sequence[BatchOperation],
    seeds: Sequence[int],
    num_classes: int,
) -> dict[str, Any]:
    """Mix a process's share of a batch, where it lies.

    Args:
        batch: See `BatchOperation.apply`.
        operations: In the order in which they act; each has its own stream of numbers.
        seeds: N, one for each image; image i's own numbers depend on seeds[i] alone.
        num_classes: Of the labels.

    Returns:
        The batch with image and mask mixed and, where there are labels and something mixes them,
        target (N, num_classes) float32, rows of which sum to 1. Labels and all else stay those of
        the image at that place. With AugMix also views and consistency_weight.
    """
    for place, operation in enumerate(operations):
        generators = [np.random.default_rng([seed, place]) for seed in seeds]
        batch = operation.apply(batch, generators, num_classes)
    return batch


def check_share(names: Sequence[str], batch_size: int, num_processes: int) -> str | None:
    """Refuse a share of a batch with nobody to mix with; say where it is not that of one process.

    Args:
        names: Of a policy's operations that let images meet.
        batch_size: Images per step, over all processes.
        num_processes: That share them.

    Returns:
        A sentence, or None where as many processes give what one gives.

    Raises:
        UserError: One image a process.
    """
    share = batch_size // num_processes
    if not names:
        return None
    if share < 2:
        raise UserError(
            f"--data.augmentation: {names[0]}: --data.batch_size {batch_size} on {num_processes} "
            f"process{'' if num_processes == 1 else 'es'} leaves each with one image, and nothing "
            f"to mix it with. Give each 2 or more; with a multiple of {GROUP} the result does not "
            "depend on the number of processes."
        )
    if num_processes > 1 and share % GROUP:
        return (
            f"note: {names[0]} mixes images within groups of {GROUP}, and the {share} of each "
            f"process (--data.batch_size {batch_size}, {num_processes} processes) are no multiple: "
            "whom an image is mixed with is not as in one process. With a multiple it is."
        )
    return None
