"""Cutout: a square of each image of a batch is blanked."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from augmentations.mixing import NOTHING_TO_LEARN, is_drawn
from augmentations.operation import BatchOperation, Generators, Images, setting


@dataclass(frozen=True, kw_only=True)
class Cutout(BatchOperation):
    """A square of each image turns mid-grey; label and mask stay as they are.

    The anatomy is where it was, and the network has to tell it from what is around (as in nnU-Net's
    blank rectangles).

    Args:
        side: Of the square, as a share of the image's; the square's centre is anywhere in the
            image, so a part may lie outside. 0 leaves the image as it is.

    Source: DeVries and Taylor 2017, arXiv:1708.04552: half the side for CIFAR-10, a quarter for
    CIFAR-100. Blank is mid-grey, 0 in [-1, 1].
    """

    side: float = setting(0.5, 0, 1)

    source: ClassVar[str] = "DeVries and Taylor 2017, arXiv:1708.04552"
    breaks_meaning: ClassVar[str] = "The square may hide the finding that the label names."
    breaks_meaning_of_masks: ClassVar[str] = (
        "The square may hide a structure whole, such as a small tumour, and its label stays: the "
        "network learns to guess it."
    )

    def undefined_for(self, images: Images) -> str | None:
        """See `BatchOperation`."""
        return None if images.labels or images.masks else NOTHING_TO_LEARN

    def draw(self, generators: Generators, height: int, width: int) -> Tensor:
        """(N, 1, H, W) bool, True where an image is blank; N generators, one for each."""
        blank = torch.zeros(len(generators), 1, height, width, dtype=torch.bool)
        rows, columns = round(self.side * height), round(self.side * width)
        for square, random in zip(blank, generators, strict=True):
            happens = is_drawn(random, self.probability)
            across, down = int(random.integers(width)), int(random.integers(height))
            if happens:
                top, left = down - rows // 2, across - columns // 2
                square[
                    0, max(top, 0) : max(top + rows, 0), max(left, 0) : max(left + columns, 0)
                ] = True
        return blank

    def apply(
        self, batch: dict[str, Any], generators: Generators, num_classes: int
    ) -> dict[str, Any]:
        """See `BatchOperation`."""
        image: Tensor = batch["image"]
        blank = self.draw(generators, image.shape[-2], image.shape[-1])
        return {**batch, "image": image.masked_fill(blank.to(image.device), 0.0)}
