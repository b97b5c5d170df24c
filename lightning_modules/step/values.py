"""What a training step reports: means over the images of its batch."""

from collections.abc import Sequence

import torch
from torch import Tensor


def mean_score(logits: Sequence[Tensor]) -> Tensor:
    """Mean logit over images, patches and scales: above 0 the discriminator says real."""
    return torch.stack([scale.detach().float().mean() for scale in logits]).mean()


class StepValues(dict[str, Tensor]):
    """Scalars of a step, by the name "train/<name>", summed up over its micro-batches.

    Args:
        num_images: Of the whole batch.
    """

    def __init__(self, num_images: int) -> None:
        super().__init__()
        self.num_images = num_images

    def add(self, num_images: int, **values: Tensor) -> None:
        """Add means over a micro-batch of so many images, without their gradients."""
        share = num_images / self.num_images
        for name, value in values.items():
            self[f"train/{name}"] = self.get(f"train/{name}", 0.0) + value.detach() * share
