"""Images of a cache as the gallery of augmentations shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datamodules.film_cache import UNLABELLED, FilmCache
from datamodules.film_dataset import FilmDataset
from datamodules.film_dataset import to_unit as unit_films
from datamodules.prepared_cache import PreparedCache
from datamodules.slice_cache import SliceCache
from datamodules.slice_dataset import SliceDataset, unit_image
from display.colours import ImageArray, overlay
from display.tensor_images import image_arrays
from provenance import UserError


@dataclass(frozen=True)
class Picture:
    """An image of the cache as a network gets it.

    Attributes:
        image: (C, H, W) float32 in [-1, 1].
        mask: (H, W) uint8; None for films.
        label: Class of a film; None where it has none.
    """

    image: Tensor
    mask: Tensor | None = None
    label: int | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.image.shape[-2], self.image.shape[-1]

    def shown(self) -> ImageArray:
        """As a cell of a sheet; the outlines of the mask's areas are drawn over it."""
        pixels: ImageArray = image_arrays(self.image[None])[0]
        if self.mask is None:
            return pixels
        return overlay(pixels, self.mask.numpy(), opacity=0, contour=1)


def training_pictures(cache: PreparedCache, count: int) -> tuple[list[Picture], list[str]]:
    """Images spread evenly over the training split, and the names of their labels.

    Of slices those with the rarest class, and of films each class, so that they are seen.
    """
    if isinstance(cache, FilmCache):
        column = next(iter(cache.label_columns), None)
        films = FilmDataset(cache, cache.indices("train"), label_column=column)
        labels = np.zeros(len(films), int) if films.labels is None else films.labels
        by_class = np.argsort(labels, kind="stable")
        by_class = by_class[labels[by_class] != UNLABELLED]
        return [
            Picture(unit_films({"image": films[k]["image"][None]})["image"][0], label=label)
            for k in _spread(by_class, count)
            for label in (None if films.labels is None else int(labels[k]),)
        ], [] if column is None else cache.class_names(column)
    assert isinstance(cache, SliceCache)
    if not cache.has_images:
        raise UserError(f"--data.root {cache.root}: holds label maps without images to augment.")
    slices = SliceDataset(cache, cache.select("train", foreground_only=True))
    held = np.array([item.class_pixels[1:] for item in slices.items], int) > 0
    chosen = np.flatnonzero(held[:, held.sum(axis=0).argmin()]) if held.size else np.arange(0)
    chosen = np.arange(len(slices)) if len(chosen) < count else chosen
    samples = [slices[int(k)] for k in _spread(chosen, count)]
    return [Picture(unit_image(s["image"]), s["mask"]) for s in samples], cache.class_names


def _spread(chosen: Any, count: int) -> list[int]:
    if not len(chosen):
        raise UserError("--data.root: its training split holds no image to show.")
    inner = (np.arange(min(count, len(chosen))) + 0.5) / min(count, len(chosen))
    return [int(chosen[int(place * len(chosen))]) for place in inner]


def batch_of(pictures: Sequence[Picture]) -> dict[str, Any]:
    """As a datamodule gives it."""
    batch: dict[str, Any] = {"image": torch.stack([one.image for one in pictures])}
    if pictures[0].mask is not None:
        batch["mask"] = torch.stack([one.mask.long() for one in pictures if one.mask is not None])
    if pictures[0].label is not None:
        batch["label"] = torch.tensor([one.label for one in pictures])
    return batch
