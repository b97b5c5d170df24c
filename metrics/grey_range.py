"""What a fixed range of grey values, such as a threshold in Hounsfield units, would score.

A network that finds no more of a structure than the best such range has learnt nothing about its
shape or place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LEVELS = 256


@dataclass(frozen=True)
class GreyRange:
    """A range of grey values taken for a class.

    Attributes:
        low: Darkest grey value of it, 0 to 255.
        high: Brightest one, included.
        dice: Mean over patients of their Dice, in [0, 1], as `SegmentationScores` has it: a patient
            with the class in neither truth nor range is left out.
    """

    low: int
    high: int
    dice: float


class GreyLevels:
    """Counts of grey values per patient and class; images are added one by one.

    Args:
        num_classes: Classes, background included.
    """

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        self._counts: dict[str, NDArray[np.int64]] = {}

    def update(
        self, patient_ids: Sequence[str], images: NDArray[np.uint8], target: NDArray[np.integer]
    ) -> None:
        """Add images.

        Args:
            patient_ids: N patients.
            images: (N, H, W) uint8.
            target: (N, H, W) labels in 0..num_classes - 1.
        """
        for patient, image, labels in zip(patient_ids, images, target, strict=True):
            level = labels.astype(np.int64).ravel() * _LEVELS + image.ravel()
            counts = np.bincount(level, minlength=self._num_classes * _LEVELS)
            shape = (self._num_classes, _LEVELS)
            self._counts[patient] = self._counts.get(patient, 0) + counts.reshape(shape)

    def best(self, label: int) -> GreyRange | None:
        """The range with the highest mean Dice of a class, of all ranges; None: nobody holds it.

        It is chosen on the very images that it is scored on, so no range that is chosen elsewhere
        can score higher. Of ranges that score alike, the one that begins, then ends, darkest.
        """
        if not self._counts:
            return None
        counts = np.stack(list(self._counts.values()))
        of_class, of_all = counts[:, label], counts.sum(1)
        total = of_class.sum(1, keepdims=True)
        if not total.any():
            return None
        best = GreyRange(0, 0, -1.0)
        for low in range(_LEVELS):
            overlap = of_class[:, low:].cumsum(1)
            held = of_all[:, low:].cumsum(1) + total
            dice = 2 * overlap / np.maximum(held, 1)
            mean = dice.sum(0) / np.maximum((held > 0).sum(0), 1)
            step = int(mean.argmax())
            if mean[step] > best.dice:
                best = GreyRange(low, low + step, float(mean[step]))
        return best
