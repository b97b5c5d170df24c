"""Augmentation of all that a discriminator sees, for training on few films."""

import torch
from torch import Tensor

from augmentations import differentiable
from lightning_modules.gan_settings import Augmentation

ADAPT_EVERY = 4
"""Training steps between two changes of an adaptive probability, as in StyleGAN2-ADA."""


class DiscriminatorAugmentation:
    """Draws and applies the same kind of augmentation for real and generated images.

    If it is adaptive, its probability moves so that the discriminator stays as sure of real images
    as it should be: one that knows its few training films by heart is surer.

    Args:
        settings: See `Augmentation`.

    Attributes:
        probability: Of each transform for each image, now.
        adaptive: Whether it moves.

    Source: Karras et al. 2020, arXiv:2006.06676 (StyleGAN2-ADA).
    """

    def __init__(self, settings: Augmentation) -> None:
        self.probability = settings.probability
        self.adaptive = settings.adaptive
        self._ramp_images = settings.ramp_images

    @property
    def used(self) -> bool:
        """Whether there is anything to draw."""
        return self.adaptive or self.probability > 0

    def draw(self, image_size: int, generator: torch.Generator) -> Tensor:
        """Parameters (1, K) of one image's transforms, from a CPU generator."""
        return differentiable.draw(1, image_size, generator, self.probability)

    def apply(self, images: list[Tensor], parameters: Tensor) -> list[Tensor]:
        """Transform images (N, C, r, r) of every resolution alike, by parameters (N, K)."""
        return differentiable.apply(images, parameters)

    def adapt(self, mean_sign: float, num_images: int) -> None:
        """Move the probability.

        Args:
            mean_sign: Of the discriminator's logits of real images since the last change, -1 to 1.
            num_images: Images of the global batches since then.
        """
        self.probability = differentiable.adapt(
            self.probability, mean_sign, num_images, ramp_images=self._ramp_images
        )
