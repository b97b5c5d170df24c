"""A policy: operations in order, drawn for an image from one seed and applied to it."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from augmentations.catalogue import name_of, settings_of
from augmentations.geometric import Geometric
from augmentations.operation import BatchOperation, Operation, Parameters, Size

Drawn = list[Parameters | None]
"""What is done to one image: an entry for each operation, None where it does nothing."""


@dataclass(frozen=True)
class Policy:
    """What is done to training images.

    Args:
        on_images: On each image and its mask, in this order.
        on_batches: On the batch afterwards, such as mixing.
    """

    on_images: tuple[Operation, ...] = ()
    on_batches: tuple[BatchOperation, ...] = ()

    def __bool__(self) -> bool:
        """Whether it does anything."""
        return bool(self.on_images or self.on_batches)

    def plain(self) -> list[dict[str, Any]]:
        """The resolved list: every operation with all its settings, as plain values."""
        operations: list[Operation | BatchOperation] = [*self.on_images, *self.on_batches]
        return [{name_of(one): settings_of(one)} for one in operations]

    def draw(self, seed: int, size: Size) -> Drawn:
        """Draw what is done to one image.

        Each operation has its own stream of random numbers, so that changing the settings of one
        leaves what the others draw as it was.

        Args:
            seed: Of the image.
            size: (H, W).
        """
        drawn: Drawn = []
        for place, operation in enumerate(self.on_images):
            generator = torch.Generator().manual_seed(_stream(seed, place))
            happens = operation.probability == 1 or (
                torch.rand(1, generator=generator).item() < operation.probability
            )
            drawn.append(operation.draw(generator, size) if happens else None)
        return drawn

    def apply(
        self,
        stored: Tensor,
        mask: Tensor | None,
        drawn: Sequence[Parameters | None],
        to_unit: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Tensor | None]:
        """Do what was drawn for one image.

        Args:
            stored: (C, H, W) integers, as the image is kept.
            mask: (H, W) integer labels; None without one.
            drawn: From `draw`.
            to_unit: Scales such an image to float32 in [-1, 1].

        Returns:
            The image as float32 in [-1, 1], and the mask. Where `Geometric` alone moved it the
            image is still in integers: rounded to grey levels, bit for bit as in runs of earlier
            versions, and scaled with its batch.
        """
        image, is_stored = stored, True
        for operation, parameters in zip(self.on_images, drawn, strict=True):
            if is_stored and not isinstance(operation, Geometric):
                image, is_stored = to_unit(image), False
            if parameters is not None:
                image, mask = operation.apply(image, mask, parameters)
        return image, mask


NOTHING = Policy()
"""Leaves every image as it is."""


def _stream(seed: int, place: int) -> int:
    """Seed of an operation's numbers: of the first the image's own, as in earlier versions."""
    if place == 0:
        return seed
    digest = hashlib.sha256(f"{seed}/{place}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
