"""What an audit looks at: synthetic images, those their generator knew, and those it did not.

All are read image by image, made grey, and averaged to at most 64 pixels, so that a set of 100,000
takes 400 MB.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from audit.choice import (
    HeldOutSplit,
    held_out_images,
    known_images,
    of_shown_classes,
    refuse_control,
)
from datamodules.beside_synthetic import (
    SMALLEST_SIDE,
    film_levels,
    refuse_other_images,
    spread,
)
from datamodules.film_cache import FilmCache
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticItem, SyntheticSet

LARGEST_SIDE = 64
"""Pixels that an audit looks at."""

_MOST_OF_CONTROL = 200
"""Images of a control set: enough to tell a share of copies to a few percent."""


@dataclass(frozen=True)
class Images:
    """N images of one size.

    Attributes:
        pixels: (N, 1, S, S) uint8.
        ids: Names; pseudonyms in a cache.
        patients: Whose each is. Of a synthetic image whose label map it was painted on, else the
            volume that it is a slice of, else its own id.
    """

    pixels: Tensor
    ids: list[str]
    patients: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_patients(self) -> int:
        """How many different ones there are."""
        return len(set(self.patients))


@dataclass(frozen=True)
class AuditedSets:
    """The three sides of an audit.

    Attributes:
        training: What the generator was trained on, as far as the cache has it.
        held_out: Of patients that it never saw.
        synthetic: What is audited.
        own: (N,) long: which training image had the label map of each synthetic one; -1 for none.
        control: Of a set that is known to copy them; None without.
        notes: Sentences: what the comparison rests on, and what it cannot see.
    """

    training: Images
    held_out: Images
    synthetic: Images
    own: Tensor
    notes: list[str] = field(default_factory=list)
    control: Images | None = None


def audited_sets(
    fakes: SyntheticSet,
    cache: SliceCache | FilmCache,
    split: HeldOutSplit,
    num_images: int | None,
    num_held_out: int,
    show_progress: bool,
    control: SyntheticSet | None = None,
) -> AuditedSets:
    """Read the three sides, and the control set.

    Args:
        fakes: The synthetic set.
        cache: The one that its generator was trained on.
        split: Where held-out patients come from.
        num_images: At most so many synthetic images, evenly spread; None: all.
        num_held_out: At most so many held-out images, likewise.
        show_progress: Bars with the time left.
        control: A set whose generator is known to copy, of at least one of the same images.

    Raises:
        UserError: The set and the cache are of two kinds or sizes, or its generator learnt from
            none of the cache's patients.
    """
    refuse_other_images(
        fakes,
        cache,
        of_kind="Give the cache that the set's generator was trained on.",
        of_size=f"An audit compares images of one size, of at least {SMALLEST_SIDE} px: give the "
        "cache that the set's generator was trained on, or prepare it with --image-size "
        f"{fakes.image_size}.",
    )
    known, notes = known_images(fakes, cache, split)
    usable = _usable(cache)
    training = np.flatnonzero(known & usable)
    comparable = held_out_images(cache, known, split) & of_shown_classes(fakes, cache, notes)
    others = np.flatnonzero(comparable & usable)
    held_out = others[spread(len(others), num_held_out)]
    read = _Reading(fakes.image_size, show_progress)
    if fakes.image_size > read.side:
        notes.append(
            f"Images of {fakes.image_size} px were looked at as {read.side} px. What differs in "
            "finer detail alone was not looked at."
        )
    copying = None
    if control is not None:
        refuse_control(control, cache, known, fakes.image_size)
        some = [control.items[index] for index in spread(len(control.items), _MOST_OF_CONTROL)]
        copying = read.synthetic(control, some, "images of the control set")
    items = [fakes.items[index] for index in spread(len(fakes.items), num_images)]
    rows = {name: row for row, name in enumerate(cache.ids[training].tolist())}
    return AuditedSets(
        read.real(cache, training, "training images"),
        read.real(cache, held_out, "held-out images"),
        read.synthetic(fakes, items, "synthetic images"),
        torch.tensor([rows.get(item.label_item_id or "", -1) for item in items]),
        notes,
        copying,
    )


def _usable(cache: SliceCache | FilmCache) -> NDArray[np.bool_]:
    """(N,) images that show what a generator makes: slices with foreground, and all films."""
    if isinstance(cache, SliceCache):
        return np.array([item.has_foreground for item in cache.items], bool)
    return np.ones(len(cache), bool)


@dataclass(frozen=True)
class _Reading:
    """How images are read.

    Attributes:
        image_size: Side in pixels of the set's images.
        show_progress: Bars with the time left.
    """

    image_size: int
    show_progress: bool

    @property
    def side(self) -> int:
        """Side in pixels of what is looked at."""
        return min(self.image_size, LARGEST_SIDE)

    def real(self, cache: SliceCache | FilmCache, indices: NDArray[np.int64], what: str) -> Images:
        """Images of a cache, in the order of the indices; `what` they are is the bar's title."""
        levels = _levels(cache, indices, self.image_size)
        bar = tqdm(range(len(indices)), what, unit="image", disable=not self.show_progress)
        pixels = [_small(torch.from_numpy(levels(place)), self.side) for place in bar]
        ids, patients = cache.ids[indices].tolist(), cache.patient_ids[indices].tolist()
        return Images(_stacked(pixels, self.side), ids, patients)

    def synthetic(self, made: SyntheticSet, items: Sequence[SyntheticItem], what: str) -> Images:
        """Images of a synthetic set."""
        bar = tqdm(items, what, unit="image", disable=not self.show_progress)
        pixels = [_small(torch.from_numpy(np.array(made.image(one))), self.side) for one in bar]
        ids, patients = [one.id for one in items], [one.unit for one in items]
        return Images(_stacked(pixels, self.side), ids, patients)


def _levels(
    cache: SliceCache | FilmCache, indices: NDArray[np.int64], size: int
) -> Callable[[int], NDArray[np.uint8]]:
    """Of real images as 8-bit levels like a synthetic one's, (C, size, size) or (size, size)."""
    if isinstance(cache, FilmCache):
        return film_levels(cache, indices, size)
    return lambda place: np.array(cache.image(cache.items[indices[place]]))


def _small(image: Tensor, side: int) -> Tensor:
    """Levels of any shape (..., S, S) to grey (1, side, side) uint8: means of squares."""
    grey = image.float().reshape(-1, 1, *image.shape[-2:]).mean(0, keepdim=True)
    if grey.shape[-1] != side:
        grey = F.interpolate(grey, size=(side, side), mode="area")
    return grey[0].round().byte()


def _stacked(images: Sequence[Any], side: int) -> Tensor:
    return torch.stack(list(images)) if images else torch.empty(0, 1, side, side, dtype=torch.uint8)
