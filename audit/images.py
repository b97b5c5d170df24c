"""What an audit looks at: synthetic images, those their generator knew, and those it did not.

All are read image by image, made grey, and averaged to at most 64 pixels, so that a set of 100,000
takes 400 MB.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from datamodules.beside_synthetic import (
    SMALLEST_SIDE,
    film_levels,
    refuse_other_images,
    spread,
)
from datamodules.fewer_patients import patients_of_generators
from datamodules.film_cache import FilmCache
from datamodules.prepared_cache import PreparedCache
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticItem, SyntheticSet
from provenance import UserError

LARGEST_SIDE = 64
"""Pixels that an audit looks at."""

_MOST_OF_CONTROL = 200
"""Images of a control set: enough to tell a share of copies to a few percent."""

HeldOutSplit = Literal["val", "test", "val+test"]


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
    """Read all three.

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
    known, notes = _known(fakes, cache, split)
    usable = np.ones(len(cache), bool)
    if isinstance(cache, SliceCache):
        usable = np.array([item.has_foreground for item in cache.items], bool)
    training = np.flatnonzero(known & usable)
    strangers = ~np.isin(cache.patient_ids, np.unique(cache.patient_ids[known]))
    of_split = np.concatenate([cache.indices(name) for name in split.split("+")])
    chosen: NDArray[np.bool_] = np.zeros(len(cache), bool)
    chosen[of_split] = True
    chosen &= usable & strangers & _of_classes(fakes, cache, notes)
    others = np.flatnonzero(chosen)
    held_out = others[spread(len(others), num_held_out)]
    items = [fakes.items[index] for index in spread(len(fakes.items), num_images)]
    side = min(fakes.image_size, LARGEST_SIDE)
    if fakes.image_size > side:
        notes.append(
            f"Images of {fakes.image_size} px were looked at as {side} px. What differs in finer "
            "detail alone was not looked at."
        )

    def real(indices: NDArray[np.int64], what: str) -> Images:
        read = _reader(cache, indices, fakes.image_size)
        bar = tqdm(range(len(indices)), what, unit="image", disable=not show_progress)
        pixels = [_small(torch.from_numpy(read(place)), side) for place in bar]
        return Images(
            _stacked(pixels, side),
            cache.ids[indices].tolist(),
            cache.patient_ids[indices].tolist(),
        )

    def of_set(opened: SyntheticSet, chosen: list[SyntheticItem], what: str) -> Images:
        bar = tqdm(chosen, what, unit="image", disable=not show_progress)
        made = [_small(torch.from_numpy(np.array(opened.image(one))), side) for one in bar]
        return Images(
            _stacked(made, side), [one.id for one in chosen], [one.unit for one in chosen]
        )

    copying = None
    if control is not None:
        _refuse_control(control, cache, known, fakes.image_size)
        some = [control.items[index] for index in spread(len(control.items), _MOST_OF_CONTROL)]
        copying = of_set(control, some, "images of the control set")
    rows = {name: row for row, name in enumerate(cache.ids[training].tolist())}
    return AuditedSets(
        real(training, "training images"),
        real(held_out, "held-out images"),
        of_set(fakes, items, "synthetic images"),
        torch.tensor([rows.get(item.label_item_id or "", -1) for item in items]),
        notes,
        copying,
    )


def _refuse_control(
    control: SyntheticSet, cache: PreparedCache, searched: NDArray[np.bool_], size: int
) -> None:
    """Raise where a control set could not copy what is searched."""
    if not control.items or control.image_size != size:
        raise UserError(
            f"--control-set {control.root}: holds {len(control.items)} images of "
            f"{control.image_size} px, expected some of {size} px, as the audited set's are."
        )
    learnt = control.learnt().overlap(cache, by_item=cache.split_by != "patient").known
    if not (learnt & searched).any():
        raise UserError(
            f"--control-set {control.root}: its generator learnt from none of the images that are "
            f"searched for copies in {cache.root}, or does not tell. None of its copies could be "
            "found: train it on some of these images."
        )


def _known(
    fakes: SyntheticSet, cache: PreparedCache, split: HeldOutSplit
) -> tuple[NDArray[np.bool_], list[str]]:
    """(N,) which images of the cache the generator knew, and what is to be said about it.

    Where nobody knows, all that are not held out: it may have known any.
    """
    learnt = fakes.learnt()
    if learnt.of_unknown and not learnt.patients:
        return _all_but(cache, split)
    train = np.zeros(len(cache), bool)
    train[cache.indices("train")] = True
    if not learnt.patients and not learnt.items and not len(learnt.pixels):
        return train, [
            "The set does not tell whom its generator was trained on. It was compared with the "
            "training split of this cache; if that was not its training set, this audit says "
            "nothing."
        ]
    known = learnt.overlap(cache, by_item=cache.split_by != "patient").known
    gap = learnt.not_compared("The set", cache)
    if not known.any():
        raise UserError(
            f"{fakes.root}: its generator learnt from {len(learnt.patients)} patients, and none of "
            f"them is in {cache.root}. An audit looks for copies of its training images: give the "
            "cache that it was trained on." + (f" {gap.sentence}" if gap else "")
        )
    # A report is handed on; what things are called on this machine may name a person.
    notes = [gap.sentence.replace(str(cache.root), "the cache")] if gap else []
    notes += cache.synthetic_notes
    here = len(np.unique(cache.patient_ids[known]))
    if len(learnt.patients) > here:
        notes.append(
            f"Its generator learnt from {len(learnt.patients)} patients, of whom {here} are in "
            "this cache. Copies of the others' images cannot be seen here."
        )
    trained = cache.patients("train")
    chosen = patients_of_generators(fakes, trained)
    if chosen is not None and learnt.patients == frozenset(trained):
        known &= np.isin(cache.patient_ids, sorted(chosen))
        notes.append(
            f"Its generator was trained on {len(chosen)} of the {len(trained)} training patients, "
            "chosen by seed. Only their images were searched for copies."
        )
    notes += _more_classes_searched(fakes, cache, known)
    if (known & ~train).any():
        notes.append(
            f"Of the images that it knew, {int((known & ~train).sum())} are not in the cache's "
            "training split. They were searched for copies too."
        )
    return known, notes


def _more_classes_searched(
    fakes: SyntheticSet, cache: PreparedCache, searched: NDArray[np.bool_]
) -> list[str]:
    """That images of other classes than those of --data.only_label were searched too, if any were.

    They are not left out: whoever knew a patient may have gone on from weights that learnt from his
    other images.
    """
    makers = fakes.manifest.get("generator", {}).get("generators", [])
    classes = {maker.get("trained_on_label") for maker in makers}
    if not isinstance(cache, FilmCache) or not classes or None in classes:
        return []
    for column in cache.label_columns:
        names = cache.class_names(column)
        there = {names[row] for row in np.unique(cache.labels(column)[searched]) if row >= 0}
        others = sorted(there - classes)
        if others and classes <= set(names):
            return [
                f"Its generator was trained on images of {', '.join(sorted(classes))} alone (label "
                f"column {column}). Those of {', '.join(others)} were searched for copies too, so "
                "that more images than it was trained on may resemble one of the set."
            ]
    return []


def _all_but(cache: PreparedCache, split: HeldOutSplit) -> tuple[NDArray[np.bool_], list[str]]:
    """(N,) all images whose patients are not held out, and what that means."""
    of_split = np.concatenate([cache.indices(name) for name in split.split("+")])
    searched: NDArray[np.bool_] = ~np.isin(
        cache.patient_ids, np.unique(cache.patient_ids[of_split])
    )
    held_out = len(cache) - int(searched.sum())
    return searched, [
        "What the set's generator was trained on is unknown, as whoever brought the set in says. "
        f"It was compared with all {int(searched.sum())} images that are not held out; of what the "
        "generator learnt elsewhere no copy can be seen here.",
        f"The {held_out} images of held-out patients ({split}) say what a likeness by chance is, "
        "and were not searched for copies. If the generator may know them too, audit the set with "
        "--split val and with --split test: each searches the images that the other holds out.",
    ]


def _of_classes(fakes: SyntheticSet, cache: PreparedCache, notes: list[str]) -> NDArray[np.bool_]:
    """(N,) images of the classes that the set shows; all where it shows every one, or none.

    Healthy chests are more alike than ill ones: held-out images of another class than the set's
    would be another measure.
    """
    shown = {item.label for item in fakes.items}
    everything = np.ones(len(cache), bool)
    if not isinstance(cache, FilmCache) or None in shown:
        return everything
    for column in cache.label_columns:
        names = cache.class_names(column)
        if shown <= set(names) and shown != set(names):
            notes.append(
                f"The set shows {', '.join(sorted(map(str, shown)))} alone, and so do the held-out "
                f"images that it was compared with (label column {column})."
            )
            return np.isin(cache.labels(column), [names.index(str(name)) for name in shown])
    return everything


def _reader(
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
