"""The two sides of a comparison of images: real ones from a cache, and a synthetic set.

Both are read image by image as 8-bit levels of one size. Real films of 16 bits are rounded to 8,
since a synthetic film has no more, and a distance would see the difference.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.beside_synthetic import (
    SMALLEST_SIDE,
    film_levels,
    refuse_other_images,
    spread,
)
from datamodules.film_cache import UNLABELLED, FilmCache
from datamodules.prepared_cache import PreparedCache
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticSet
from display.colours import ImageArray
from display.sheet import sheet
from provenance import UserError

FEWEST = 4  # two halves of two images
_COLUMNS, _CELL_SIZE = 8, 128  # of the sheet of films; pixels

Levels = NDArray[np.uint8]


@dataclass(frozen=True)
class ImageSet:
    """One side of a comparison.

    Attributes:
        patients: Whose each image is; a synthetic image counts as its own.
        read: Image of an index 0 to N - 1, uint8 (1 | 3, S, S).
        sha256: Of the list of images that the set was opened with.
        facts: What another lab needs to know of it, for the card.
    """

    patients: list[str]
    read: Callable[[int], Levels]
    sha256: str
    facts: dict[str, Any]

    def __len__(self) -> int:
        return len(self.patients)


def compared_sets(
    fakes: SyntheticSet, cache: SliceCache | FilmCache, split: str, num_images: int | None
) -> tuple[ImageSet, ImageSet]:
    """Real and synthetic images, ready to be compared.

    Of slices those with foreground are real images, since a synthetic set has no others. Of films
    the centre crop; where a generator was trained at a fraction of their size, squares of pixels
    are averaged, as they were for it.

    Args:
        fakes: The synthetic set.
        cache: Where the real images lie.
        split: Theirs.
        num_images: At most so many of each; None: all.

    Raises:
        UserError: The sets are of two kinds or sizes, or one has too few images.
    """
    size = fakes.image_size
    of_films = isinstance(cache, FilmCache)
    refuse_other_images(
        fakes,
        cache,
        of_kind="Compare a synthetic set with a cache of the kind that its generator was trained "
        "on.",
        of_size=f"Compare sets of one size, of at least {SMALLEST_SIDE} px: prepare the real "
        f"images again with --image-size {size}, or generate at theirs.",
    )
    real = (
        _films(cache, split, size, num_images)
        if isinstance(cache, FilmCache)
        else _slices(cache, split, num_images)
    )
    synthetic = _synthetic(fakes, size, num_images)
    what = "images" if of_films else "images with foreground"
    for where, found in (
        (f"{cache.root}: the {split} split", real),
        (f"{fakes.root}: the set", synthetic),
    ):
        if len(found) < FEWEST:
            raise UserError(
                f"{where} has {len(found)} {what}; a distance needs at least {FEWEST}, and "
                "hundreds to mean much. Choose another --split, or make more images."
            )
    return real, synthetic


def _films(cache: FilmCache, split: str, size: int, num_images: int | None) -> ImageSet:
    chosen = cache.indices(split)
    chosen = chosen[spread(len(chosen), num_images)]
    manifest = cache.manifest
    factor = cache.image_size // size
    preparation = {
        key: manifest[key]
        for key in ("on_nonsquare", "clahe", "clahe_clip_limit")
        if key in manifest
    }
    facts = {
        **_common(cache, split, size),
        "channels": cache.channels,
        "quantisation": f"8 bits, of {manifest['bit_depth']} stored",
        "cropping": f"centre {cache.image_size} of {cache.stored_size} px"
        + (f", then means of {factor} x {factor} pixels" if factor > 1 else ""),
    }
    if preparation:
        facts["preparation"] = ", ".join(f"{key} {value}" for key, value in preparation.items())
    for column in cache.label_columns:
        names = cache.class_names(column)
        labels = cache.labels(column)[chosen].tolist()
        key = "labels" if len(cache.label_columns) == 1 else f"labels, {column}"
        facts[key] = _counts("none" if label == UNLABELLED else names[label] for label in labels)
    return ImageSet(
        cache.patient_ids[chosen].tolist(),
        film_levels(cache, chosen, size),
        manifest["sha256_items"],
        facts,
    )


def _slices(cache: SliceCache, split: str, num_images: int | None) -> ImageSet:
    items = cache.select(split, foreground_only=True)
    items = [items[index] for index in spread(len(items), num_images)]
    facts = {
        **_common(cache, split, cache.image_size),
        "channels": cache.num_channels,
        "quantisation": "8 bits",
        "selection": "slices with foreground",
    }
    if cache.manifest.get("window"):
        facts["window"] = cache.manifest["window"]
    patients = [item.patient_id for item in items]
    return ImageSet(
        patients,
        lambda index: channels_first(cache.image(items[index])),
        cache.list_sha256,
        facts,
    )


def channels_first(image: Levels) -> Levels:
    """(C, H, W) of an image, also of a grey one (H, W)."""
    return image if image.ndim == 3 else image[None]


def _synthetic(fakes: SyntheticSet, size: int, num_images: int | None) -> ImageSet:
    items = [fakes.items[index] for index in spread(len(fakes.items), num_images)]

    def read(index: int) -> Levels:
        return channels_first(fakes.image(items[index]))

    origin = fakes.manifest.get("generator", {})
    if not isinstance(origin, dict):
        raise UserError(
            f"{fakes.root}: its manifest tells of its generator in a {type(origin).__name__}, "
            "expected a table. It is not read; use the folder as it was written."
        )
    facts = {
        "dataset": fakes.manifest.get("dataset", "unknown"),
        "image size": f"{size} px",
        "channels": fakes.manifest.get("channels", 1),
        "quantisation": f"8 bits, {fakes.image_format} files",
        "generator": origin.get("checkpoint_sha256", origin.get("made_by", "unknown")),
    }
    if "made_by" in origin:
        facts["trained on"] = origin.get("trained_on", "unknown")
    else:
        facts["images seen by it"] = origin.get("images_seen", "unknown")
        facts["seed"] = fakes.manifest.get("seed", "unknown")
    if any(item.label for item in items):
        facts["labels"] = _counts(item.label or "none" for item in items)
    return ImageSet([item.id for item in items], read, fakes.content_sha256, facts)


def sheet_of_films(real: ImageSet, fake: ImageSet) -> ImageArray:
    """Two rows of real and two of synthetic films, evenly spread over their sets."""
    rows = []
    for images in (real, fake):
        some = [images.read(i).transpose(1, 2, 0) for i in spread(len(images), 2 * _COLUMNS)]
        some = [np.ascontiguousarray(image.squeeze()) for image in some]
        rows += [some[:_COLUMNS], some[_COLUMNS:]]
    titles = ["real", "", "synthetic", ""]
    kept = [(row, title) for row, title in zip(rows, titles, strict=True) if row]
    return sheet(
        [row for row, _ in kept],
        [title for _, title in kept],
        cell_size=_CELL_SIZE,
        caption=f"Of {len(real)} real and {len(fake)} synthetic films, evenly spread. The real "
        "ones show patients: treat this picture as you treat the data.",
    )


def describe_training_overlap(fakes: SyntheticSet, cache: PreparedCache, real: ImageSet) -> str:
    """A phrase: how many of the real patients the generator was trained on.

    That there are such, and what cannot be compared, is said on stderr.
    """
    patients, learnt = set(real.patients), fakes.learnt()
    if learnt.of_unknown and not learnt.patients:
        print(
            f"{fakes.root}: what its generator was trained on is unknown, so whether it knew the "
            "real patients of this comparison cannot be told.",
            file=sys.stderr,
        )
        return f"unknown, as whoever brought the set in says; {len(patients)} patients"
    if not learnt.patients:
        return f"unknown: the set does not name whom; {len(patients)} patients"
    known = np.unique(cache.patient_ids[learnt.overlap(cache).known]).tolist()
    told = f"{len(patients & {*known})} of {len(patients)}"
    if patients & {*known}:
        print(
            f"{fakes.root}: its generator was trained on {told} real patients of this comparison, "
            "so a small distance to them says little about new patients.",
            file=sys.stderr,
        )
    gap = learnt.not_compared(str(fakes.root), cache)
    if gap is None:
        return told
    print(gap.sentence, file=sys.stderr)
    if gap.by_name or gap.by_pixels:
        return f"{told}, compared by {'names' if gap.by_name else 'pixels'} alone"
    return f"unknown: neither names nor pixels of {len(patients)} patients can be compared"


def _common(cache: PreparedCache, split: str, size: int) -> dict[str, Any]:
    return {
        "dataset": cache.dataset,
        "split": f"{split}, by {cache.split_by}",
        "split id": cache.split_id,
        "image size": f"{size} px",
        **({"synthetic among the real": f"{cache.num_synthetic:,}"} if cache.num_synthetic else {}),
    }


def _counts(names: Iterable[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(Counter(names).items()))
