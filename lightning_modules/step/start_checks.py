"""Settings of trainer and data that would train wrongly without saying so, refused at the start."""

from typing import Any

from augmentations.policy import Policy
from lightning_modules.distributed import UnwrappedDDPStrategy
from provenance import UserError


def refuse_mixed_gradients(trainer: Any) -> None:
    """Refuse a strategy that wraps both networks of a GAN as one.

    Args:
        trainer: Lightning's.

    Raises:
        UserError: Names the strategy that does not.
    """
    strategy = trainer.strategy
    if trainer.world_size > 1 and not isinstance(strategy, UnwrappedDDPStrategy):
        raise UserError(
            f"--trainer.strategy {type(strategy).__name__} wraps both networks and would mix their "
            "gradients. Use --trainer.strategy unwrapped_ddp."
        )


def refuse_mixed_images(policy: Policy | None, method: str) -> None:
    """Refuse to show images that are made of several, or with holes, to what generates images.

    Args:
        policy: Of the training images; None for none.
        method: Name of the module's class.

    Raises:
        UserError: Names the operations.
    """
    if policy is None or not policy.on_batches:
        return
    names = ", ".join(name for one in policy.plain() for name in one)
    raise UserError(
        f"--data.augmentation ({names}): mixes or blanks images of a batch, and {method} would "
        "learn to make such images. Leave mixup, cutmix, ricap, perlin_mix, cutout and augmix to "
        "classifiers and segmenters."
    )


def refuse_endless_decay(decay_from: float, max_epochs: int | None) -> None:
    """Refuse a learning rate that falls to 0 at the end of a training without an end.

    Args:
        decay_from: See `TrainingModule`.
        max_epochs: Of the trainer; None or -1 is without an end.

    Raises:
        UserError: Says what to give in their place.
    """
    if decay_from < 1 and (max_epochs is None or max_epochs < 0):
        raise UserError(
            f"--model.decay_from {decay_from}: the learning rate falls to 0 at the end of the "
            f"training, and --trainer.max_epochs {max_epochs} has none. Give a number of epochs, "
            "or --model.decay_from 1.0 for a constant rate."
        )
