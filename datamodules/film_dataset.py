"""One film as a sample: a crop of the stored film, its label and whose it is."""

from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from augmentations.policy import NOTHING, Policy
from datamodules.augmented import augmented, with_what_was_drawn
from datamodules.batch_order import Draw
from datamodules.choice.synthetic_films import classes_of
from datamodules.film_cache import FilmCache
from datamodules.synthetic import SyntheticItem, SyntheticSet

Sample = dict[str, Any]

_SIGN_BIT = np.uint16(0x8000)


class FilmDataset(Dataset[Sample]):
    """Real films of a cache, followed by those of a synthetic set.

    Args:
        cache: Where the real films lie.
        indices: (N,) which of them, as the cache numbers them.
        synthetic: Joins after the real ones; None for real only. Its images have the side of the
            crop or an integer fraction of it: then each pixel is repeated, which averaging on the
            device undoes exactly.
        crop: "random" crops a sample that is asked for with a `Draw` at a position drawn from its
            seed; "centre", and a plain index, take the middle.
        image_size: Side of the crop in pixels; None for the cache's own.
        label_column: Adds the class of this column to every sample; None: no labels.
        findings: (len(cache), K) float32, what is known of every film of the cache; see
            `datamodules.findings`. Adds a film's row to its sample; without a synthetic set.
        augmentation: What is done to a sample that is asked for with a `Draw`, drawn from its seed.
        on_device: Whether a sample only carries what was drawn, to be done on the device.
        resolution: Side in pixels that augmented films are averaged to before; None: the crop's.

    Attributes:
        labels: (len,) int64 class of every sample; None without a label column.

    Raises:
        UserError: A synthetic image lacks a label that the cache knows.
    """

    def __init__(
        self,
        cache: FilmCache,
        indices: NDArray[np.int64],
        synthetic: SyntheticSet | None = None,
        crop: Literal["random", "centre"] = "centre",
        image_size: int | None = None,
        label_column: str | None = None,
        augmentation: Policy = NOTHING,
        on_device: bool = False,
        resolution: int | None = None,
        findings: NDArray[np.float32] | None = None,
    ) -> None:
        assert findings is None or synthetic is None, "the datamodule refuses it"
        self.cache = cache
        self.indices = indices
        self.synthetic = synthetic
        self.crop = crop
        self.image_size = cache.image_size if image_size is None else image_size
        self.label_column = label_column
        self.augmentation = augmentation
        self.on_device = on_device
        self.resolution = resolution or self.image_size
        self.findings = findings
        self.labels: NDArray[np.int64] | None = None
        if label_column is not None:
            parts = [cache.labels(label_column)[indices].astype(np.int64)]
            if synthetic is not None:
                parts.append(classes_of(synthetic, cache.class_names(label_column)))
            self.labels = np.concatenate(parts)

    def __len__(self) -> int:
        return len(self.indices) + (0 if self.synthetic is None else len(self.synthetic.items))

    @property
    def num_real(self) -> int:
        """How many samples are real; they come first."""
        return len(self.indices)

    def kinds(self) -> list[int]:
        """(len,) class of every sample; 0 without labels."""
        return [0] * len(self) if self.labels is None else self.labels.tolist()

    def of_real(self, chosen: NDArray[np.int64]) -> "FilmDataset":
        """These of the real films alone, in this order; one may come several times."""
        return FilmDataset(
            self.cache,
            self.indices[chosen],
            None,
            self.crop,
            self.image_size,
            self.label_column,
            self.augmentation,
            self.on_device,
            self.resolution,
            self.findings,
        )

    def __getitem__(self, asked: int | Draw) -> Sample:
        """One sample, by its index or as `OrderedBatches` asks for it.

        Returns:
            image uint8 (C, H, W), or int16 for 16-bit films (grey value - 32768, since few
            operations know uint16), or float32 in [-1, 1] where the augmentation made it so; id,
            patient_id, label where there is a label column, findings (K,) float32 where there
            are; drawn where the device augments.
        """
        index = asked.index if isinstance(asked, Draw) else asked
        if index < len(self.indices):
            film = int(self.indices[index])
            stored = self.cache.image(film)
            top, left = self._offset(stored.shape[-1], asked)
            pixels = stored[..., top : top + self.image_size, left : left + self.image_size]
            name, patient = str(self.cache.ids[film]), str(self.cache.patient_ids[film])
        else:
            assert self.synthetic is not None
            item = self.synthetic.items[index - len(self.indices)]
            pixels = self._synthetic_pixels(item)
            name, patient = item.id, f"synthetic:{item.id}"
        sample: Sample = {"image": tensor_of(pixels), "id": name, "patient_id": patient}
        if self.labels is not None:
            sample["label"] = int(self.labels[index])
        if self.findings is not None:
            sample["findings"] = torch.from_numpy(self.findings[self.indices[index]])
        if isinstance(asked, Draw):
            size = (self.resolution, self.resolution)
            policy, on_device = self.augmentation, self.on_device
            return augmented(sample, policy, asked.seed, on_device, self.unit_image, size)
        return sample

    def unit_image(self, image: Tensor) -> Tensor:
        """Bring one image (C, H, W) to float32 in [-1, 1], and to the resolution."""
        unit: Tensor = to_unit({"image": image[None]}, self.resolution)["image"][0]
        return unit

    def _offset(self, stored_size: int, asked: int | Draw) -> tuple[int, int]:
        """Top and left of the crop, each 0 to the margin, which is the last that fits."""
        margin = stored_size - self.image_size
        if self.crop == "random" and isinstance(asked, Draw):
            top, left = np.random.default_rng(asked.seed).integers(0, margin + 1, size=2).tolist()
            return top, left
        return margin // 2, margin // 2

    def _synthetic_pixels(self, item: SyntheticItem) -> NDArray[Any]:
        """Bring a synthetic image to the crop's size, and to the cache's channels and depth."""
        assert self.synthetic is not None
        image = self.synthetic.image(item)
        if image.ndim == 3 and self.cache.channels == 1:  # such as grey in three equal channels
            image = np.rint(image.mean(axis=0)).astype(np.uint8)
        elif image.ndim == 2 and self.cache.channels == 3:
            image = np.stack([image] * 3)
        factor = self.image_size // self.synthetic.image_size
        image = image.repeat(factor, axis=-2).repeat(factor, axis=-1)
        sixteen_bits = self.cache.manifest["bit_depth"] == 16
        return image.astype(np.uint16) * 257 if sixteen_bits else image


def tensor_of(pixels: NDArray[Any]) -> Tensor:
    """A stored film (S, S) or (C, S, S) as a batch carries it, see `FilmDataset.__getitem__`."""
    # Copies: a tensor must not share a read-only, memory-mapped page.
    if pixels.dtype == np.uint16:
        pixels = np.bitwise_xor(pixels, _SIGN_BIT).view(np.int16)
    else:
        pixels = np.array(pixels)
    return torch.from_numpy(pixels if pixels.ndim == 3 else pixels[None])


def collate(samples: list[Sample]) -> dict[str, Any]:
    """Stack samples into a batch of the contract; images stay integers until on the device.

    Returns:
        image uint8 or int16 (N, C, H, W), id and patient_id lists of N strings, label int64 (N,)
        or findings float32 (N, K) where the samples have them, drawn, a list, where the device
        augments.
    """
    batch: dict[str, Any] = {
        **with_what_was_drawn(samples),
        "image": torch.stack([sample["image"] for sample in samples]),
        "id": [sample["id"] for sample in samples],
        "patient_id": [sample["patient_id"] for sample in samples],
    }
    if "label" in samples[0]:
        batch["label"] = torch.tensor([sample["label"] for sample in samples])
    if "findings" in samples[0]:
        batch["findings"] = torch.stack([sample["findings"] for sample in samples])
    return batch


def to_unit(
    batch: dict[str, Any], resolution: int | None = None, channels: int = 1
) -> dict[str, Any]:
    """Scale a batch where it lies: image float32 in [-1, 1], black exactly -1, white exactly 1.

    Args:
        batch: As `collate` gives it, on any device; images in [-1, 1] are not scaled again.
        resolution: Average squares of pixels down to this side, which divides the image's.
        channels: 3 repeats a grey image to three equal channels.
    """
    image: Tensor = batch["image"]
    if not image.is_floating_point():  # the augmentation has not scaled it already
        half, middle = (32767.5, 32768.0) if image.dtype == torch.int16 else (127.5, 0.0)
        levels = image.float() + middle
        if resolution is not None and resolution != levels.shape[-1]:
            # Before the scaling: sums of integers are exact in float32, so equal pixels stay equal.
            levels = F.avg_pool2d(levels, levels.shape[-1] // resolution)
        image = levels / half - 1.0
    if image.shape[1] < channels:
        image = image.repeat(1, channels, 1, 1)
    return {**batch, "image": image}
