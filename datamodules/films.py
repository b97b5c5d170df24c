"""One film as a sample: a crop of the stored film, its label and whose it is."""

import hashlib
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.film_cache import FilmCache
from datamodules.ordering import Draw
from datamodules.synthetic import SyntheticItem, SyntheticSet
from provenance import UserError

Sample = dict[str, Any]

_SIGN_BIT = np.uint16(0x8000)


class FilmDataset(Dataset[Sample]):
    """Real films of a cache, followed by those of a synthetic set.

    Args:
        cache: Where the real films lie.
        places: (N,) which of them.
        synthetic: Joins after the real ones; None for real only. Its images have the side of the
            crop or an integer fraction of it: then each pixel is repeated, which averaging on the
            device undoes exactly.
        crop: "random" crops a sample that is asked for with a `Draw` at a place drawn from its
            seed; "centre", and a plain index, take the middle.
        image_size: Side of the crop in pixels; None for the cache's own.
        label_column: Adds the class of this column to every sample; None: no labels.

    Attributes:
        labels: (len,) int64 class of every sample; None without a label column.

    Raises:
        UserError: A synthetic image lacks a label that the cache knows.
    """

    def __init__(
        self,
        cache: FilmCache,
        places: NDArray[np.int64],
        synthetic: SyntheticSet | None = None,
        crop: Literal["random", "centre"] = "centre",
        image_size: int | None = None,
        label_column: str | None = None,
    ) -> None:
        self.cache = cache
        self.places = places
        self.synthetic = synthetic
        self.crop = crop
        self.image_size = cache.image_size if image_size is None else image_size
        self.labels: NDArray[np.int64] | None = None
        if label_column is not None:
            parts = [cache.labels(label_column)[places].astype(np.int64)]
            if synthetic is not None:
                parts.append(classes_of(synthetic, cache.class_names(label_column)))
            self.labels = np.concatenate(parts)

    def __len__(self) -> int:
        return len(self.places) + (0 if self.synthetic is None else len(self.synthetic.items))

    def __getitem__(self, place: int | Draw) -> Sample:
        """One sample.

        Returns:
            image uint8 (C, H, W), or int16 for 16-bit films (grey value - 32768, since few
            operations know uint16), id, patient_id, and label where there is a label column.
        """
        index = place.index if isinstance(place, Draw) else place
        if index < len(self.places):
            film = int(self.places[index])
            stored = self.cache.image(film)
            top, left = self._offset(stored.shape[-1], place)
            pixels = stored[..., top : top + self.image_size, left : left + self.image_size]
            name, patient = str(self.cache.ids[film]), str(self.cache.patient_ids[film])
        else:
            assert self.synthetic is not None
            item = self.synthetic.items[index - len(self.places)]
            pixels = self._synthetic_pixels(item)
            name, patient = item.id, f"synthetic:{item.id}"
        # Copies: a tensor must not share a read-only, memory-mapped page.
        if pixels.dtype == np.uint16:
            pixels = np.bitwise_xor(pixels, _SIGN_BIT).view(np.int16)
        else:
            pixels = np.array(pixels)
        image = torch.from_numpy(pixels if pixels.ndim == 3 else pixels[None])
        sample: Sample = {"image": image, "id": name, "patient_id": patient}
        if self.labels is not None:
            sample["label"] = int(self.labels[index])
        return sample

    def _offset(self, stored_size: int, place: int | Draw) -> tuple[int, int]:
        """Top and left of the crop, each 0 to the margin, which is the last place that fits."""
        margin = stored_size - self.image_size
        if self.crop == "random" and isinstance(place, Draw):
            top, left = np.random.default_rng(place.seed).integers(0, margin + 1, size=2).tolist()
            return top, left
        return margin // 2, margin // 2

    def _synthetic_pixels(self, item: SyntheticItem) -> NDArray[Any]:
        """Bring a synthetic image to the crop's size, and to the cache's channels and depth."""
        assert self.synthetic is not None
        image = self.synthetic.image(item)
        size = int(self.synthetic.manifest["image_size"])
        if image.shape[-2:] != (size, size):
            raise UserError(
                f"{self.synthetic.root}: the image of {item.id} is {image.shape[-2]}x"
                f"{image.shape[-1]}, but its manifest.json says {size}x{size}. The set is damaged; "
                "make it again with the command in its README.md."
            )
        if image.ndim == 3 and self.cache.channels == 1:  # such as grey in three equal channels
            image = np.rint(image.mean(axis=0)).astype(np.uint8)
        elif image.ndim == 2 and self.cache.channels == 3:
            image = np.stack([image] * 3)
        factor = self.image_size // size
        image = image.repeat(factor, axis=-2).repeat(factor, axis=-1)
        sixteen_bits = self.cache.manifest["bit_depth"] == 16
        return image.astype(np.uint16) * 257 if sixteen_bits else image


def classes_of(synthetic: SyntheticSet, class_names: list[str]) -> NDArray[np.int64]:
    """(N,) the class of every synthetic image, by the name of its label.

    Raises:
        UserError: One has no label, or one of another class.
    """
    number = {name: place for place, name in enumerate(class_names)}
    for item in synthetic.items:
        if item.label not in number:
            raise UserError(
                f"{synthetic.root}: the image {item.id} "
                + ("has no label" if item.label is None else f"is labelled {item.label!r}")
                + f", but this run tells apart {', '.join(class_names)}. Generate films of these "
                "classes, or leave out --data.synthetic."
            )
    return np.array([number[str(item.label)] for item in synthetic.items], np.int64)


def imbalanced_counts(
    there: NDArray[np.int64], ratio: float, class_names: list[str], where: str
) -> NDArray[np.int64]:
    """Films of each class to keep so that all are `ratio` times rarer than the largest.

    Args:
        there: (num_classes,) films that there are.
        ratio: >= 1; the largest class keeps all, every other round(largest / ratio), at least 1.
        class_names: For the sentence.
        where: What is counted, for the sentence.

    Raises:
        UserError: A class is rarer already; says how rare.
    """
    largest, rarest = int(there.argmax()), int(there.argmin())
    wanted = np.full(len(there), max(1, round(there[largest] / ratio)))
    wanted[largest] = there[largest]
    if (there < wanted).any():
        present = f"{there[largest] / there[rarest]:.4g} times" if there[rarest] else "infinitely"
        raise UserError(
            f"--data.imbalance {ratio:g}: in {where} {class_names[rarest]} ({there[rarest]} films) "
            f"is already {present} rarer than {class_names[largest]} ({there[largest]}). Films are "
            "only taken away: give a larger ratio, or none."
        )
    return wanted


def keep_per_class(
    cache: FilmCache,
    places: NDArray[np.int64],
    labels: NDArray[np.integer[Any]],
    counts: NDArray[np.int64],
    seed: int,
) -> NDArray[np.int64]:
    """Keep so many films of each class, patient after patient in an order that the seed draws.

    A smaller count keeps a part of what a larger one keeps, and a patient's place in the order
    depends on nobody else. No random state is used or changed.

    Args:
        cache: Knows the patients.
        places: (N,) films to choose from.
        labels: (N,) their classes.
        counts: (num_classes,) films to keep; a class that has no more keeps all.
        seed: Of the order.

    Returns:
        The films kept, in the order of `places`.
    """
    patients, owner = np.unique(cache.patient_ids[places], return_inverse=True)
    digests = (hashlib.sha256(f"{seed}/{patient}".encode()).digest() for patient in patients)
    rank = np.array([int.from_bytes(digest[:8], "big") for digest in digests], np.uint64)
    order = np.argsort(rank[owner], kind="stable")
    kept = [order[labels[order] == label][:count] for label, count in enumerate(counts)]
    return places[np.sort(np.concatenate(kept))]


def collate(samples: list[Sample]) -> dict[str, Any]:
    """Stack samples into a batch of the contract; images stay integers until on the device.

    Returns:
        image uint8 or int16 (N, C, H, W), id and patient_id lists of N strings, label int64 (N,)
        where the samples have one.
    """
    batch: dict[str, Any] = {
        "image": torch.stack([sample["image"] for sample in samples]),
        "id": [sample["id"] for sample in samples],
        "patient_id": [sample["patient_id"] for sample in samples],
    }
    if "label" in samples[0]:
        batch["label"] = torch.tensor([sample["label"] for sample in samples])
    return batch


def to_unit(
    batch: dict[str, Any], resolution: int | None = None, channels: int = 1
) -> dict[str, Any]:
    """Scale a batch where it lies: image float32 in [-1, 1], black exactly -1, white exactly 1.

    Args:
        batch: As `collate` gives it, on any device.
        resolution: Average squares of pixels down to this side, which divides the image's.
        channels: 3 repeats a grey image to three equal channels.
    """
    levels: Tensor = batch["image"].float()
    half = 127.5
    if batch["image"].dtype == torch.int16:
        levels, half = levels + 32768.0, 32767.5
    if resolution is not None and resolution != levels.shape[-1]:
        # Before the scaling: sums of integers are exact in float32, so equal pixels stay equal.
        levels = F.avg_pool2d(levels, levels.shape[-1] // resolution)
    image = levels / half - 1.0
    if image.shape[1] < channels:
        image = image.repeat(1, channels, 1, 1)
    return {**batch, "image": image}
