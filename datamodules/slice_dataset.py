"""One slice as a sample: array, mask, identity, and its augmentation."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from augmentations.policy import NOTHING, Policy
from datamodules.augmented import augmented, with_what_was_drawn
from datamodules.batch_order import Draw
from datamodules.slice_cache import SliceCache, SliceItem
from datamodules.synthetic import SyntheticItem, SyntheticSet

Sample = dict[str, Any]


class SliceDataset(Dataset[Sample]):
    """Real slices of a cache, followed by those of a synthetic set.

    Args:
        cache: Where the real slices lie.
        items: Which of them.
        synthetic: Joins after the real ones; None for real only.
        augmentation: What is done to a sample that is asked for with a `Draw`, drawn from its seed.
        on_device: Whether a sample only carries what was drawn, to be done on the device.

    Attributes:
        num_real: How many samples are real; they come first.
    """

    def __init__(
        self,
        cache: SliceCache,
        items: list[SliceItem],
        synthetic: SyntheticSet | None = None,
        augmentation: Policy = NOTHING,
        on_device: bool = False,
    ) -> None:
        self.cache = cache
        self.num_real = len(items)
        self.items: list[SliceItem | SyntheticItem] = [*items]
        self.synthetic = synthetic
        if synthetic is not None:
            self.items += synthetic.items
        self.augmentation = augmentation
        self.on_device = on_device

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, asked: int | Draw) -> Sample:
        """One sample, by its index or as `OrderedBatches` asks for it.

        Returns:
            image uint8 (C, H, W), or float32 in [-1, 1] where the augmentation made it so; mask
            uint8 (H, W), id, patient_id, slice_index; drawn where the device augments.
        """
        index = asked.index if isinstance(asked, Draw) else asked
        item = self.items[index]
        if isinstance(item, SliceItem):
            pixels, labels = self.cache.image(item), self.cache.mask(item)
            patient, slice_index = item.patient_id, item.slice_index
        else:
            assert self.synthetic is not None
            pixels, labels = self.synthetic.image(item), self.synthetic.mask(item)
            patient, slice_index = f"synthetic:{item.unit}", -1
        # Copies: a tensor must not share a read-only, memory-mapped page.
        image = torch.from_numpy(np.array(pixels))
        image = image.unsqueeze(0) if image.ndim == 2 else image
        mask = torch.from_numpy(np.array(labels))
        sample: Sample = {
            "image": image,
            "mask": mask,
            "id": item.id,
            "patient_id": patient,
            "slice_index": slice_index,
        }
        if isinstance(asked, Draw):
            return augmented(sample, self.augmentation, asked.seed, self.on_device, unit_image)
        return sample

    def kinds(self) -> list[tuple[bool, ...]]:
        """(len,) which classes each sample's label map holds."""
        return [tuple(pixels > 0 for pixels in item.class_pixels) for item in self.items]

    def of_real(self, chosen: NDArray[np.int64]) -> "SliceDataset":
        """These of the real slices alone, in this order; one may come several times."""
        real = [item for item in self.items[: self.num_real] if isinstance(item, SliceItem)]
        return SliceDataset(
            self.cache, [real[k] for k in chosen], None, self.augmentation, self.on_device
        )

    def has_class(self, class_index: int) -> np.ndarray:
        """(len,) bool: whether each sample's label map holds the class."""
        return np.array([item.class_pixels[class_index] > 0 for item in self.items])


def collate(samples: list[Sample]) -> dict[str, Any]:
    """Stack samples into a batch of the contract; images stay uint8 until they are on the device.

    Returns:
        image uint8 (N, C, H, W), mask uint8 (N, H, W), id and patient_id lists of N strings,
        slice_index int64 (N,); drawn, a list, where the device augments.
    """
    return {
        **with_what_was_drawn(samples),
        "image": torch.stack([sample["image"] for sample in samples]),
        "mask": torch.stack([sample["mask"] for sample in samples]),
        "id": [sample["id"] for sample in samples],
        "patient_id": [sample["patient_id"] for sample in samples],
        "slice_index": torch.tensor([sample["slice_index"] for sample in samples]),
    }


def unit_image(image: Tensor) -> Tensor:
    """Scale uint8 images to float32 in [-1, 1]; such images stay as they are."""
    return image if image.is_floating_point() else image.float() / 127.5 - 1.0


def to_unit(batch: dict[str, Any]) -> dict[str, Any]:
    """Scale a batch where it lies: image float32 in [-1, 1], mask int64."""
    return {**batch, "image": unit_image(batch["image"]), "mask": batch["mask"].long()}
