"""Synthetic slices beside the real slices that share their label maps."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from datamodules.beside_synthetic import spread
from datamodules.slice_cache import SliceCache, SliceItem
from datamodules.synthetic import SyntheticItem, SyntheticSet
from display.colours import ImageArray, colour_mask
from display.sheet import as_picture, sheet
from evaluation.images.compared_sets import channels_first
from evaluation.images.embedding import unit_batch
from metrics.extractor import FeatureExtractor
from metrics.image_sets import paired_scores
from metrics.intervals import patient_interval

_COLUMNS = 8  # of the sheet

Pair = tuple[SyntheticItem, SliceItem]


def find_pairs(fakes: SyntheticSet, cache: SliceCache) -> tuple[list[Pair], int]:
    """Synthetic images with the real slice of their label map, and how many had a changed map."""
    by_id = {item.id: item for item in cache.items} if cache.has_images else {}
    candidates = [
        (fake, by_id[fake.label_item_id]) for fake in fakes.items if fake.label_item_id in by_id
    ]
    pairs = [
        (fake, item)
        for fake, item in candidates
        if np.array_equal(fakes.mask(fake), cache.mask(item))
    ]
    return pairs, len(candidates) - len(pairs)


def score_pairs(
    batches: Iterable[Sequence[Pair]],
    fakes: SyntheticSet,
    cache: SliceCache,
    network: FeatureExtractor,
) -> list[dict[str, Any]]:
    """MAE, PSNR, SSIM and feature distance: one row per pair, None where a score is infinite.

    Args:
        batches: Pairs to be scored at once.
        fakes: Knows the synthetic images.
        cache: Knows the real ones.
        network: Feature extractor.
    """
    rows = []
    device = next(network.parameters()).device
    for batch in batches:
        scores = paired_scores(
            unit_batch([channels_first(fakes.image(fake)) for fake, _ in batch], device),
            unit_batch([channels_first(cache.image(item)) for _, item in batch], device),
            network,
        )
        for row, (fake, item) in enumerate(batch):
            rows.append(
                {
                    "id": fake.id,
                    "real_id": item.id,
                    "patient_id": item.patient_id,
                    "split": item.split,
                }
                | {
                    key: values[row] if math.isfinite(values[row]) else None
                    for key, values in scores.items()
                }
            )
    return rows


def summaries(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Means with intervals over patients, by split."""
    return {
        name: _summary([row for row in rows if row["split"] == name])
        for name in sorted({row["split"] for row in rows})
    }


def _summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    named = ("id", "real_id", "patient_id", "split")
    patients = [row["patient_id"] for row in rows]
    return {
        key: patient_interval([row[key] for row in rows], patients).as_dict()
        for key in rows[0]
        if key not in named
    }


def _pictures(
    fakes: SyntheticSet, fake: SyntheticItem, cache: SliceCache, item: SliceItem
) -> tuple[ImageArray, ImageArray]:
    return as_picture(fakes.image(fake)), as_picture(cache.image(item))


def sheet_of_slices(
    pairs: Sequence[Pair], fakes: SyntheticSet, cache: SliceCache, split: str
) -> ImageArray:
    """Columns of label map, synthetic image and real image; of one slice each where it is known."""
    size = max(128, min(192, cache.image_size))

    def mask_of(fake: SyntheticItem) -> ImageArray | None:
        return fakes.mask(fake) if fakes.has_label_maps else None

    if pairs:
        some = [pairs[i] for i in spread(len(pairs), _COLUMNS)]
        columns = [(mask_of(f), *_pictures(fakes, f, cache, item)) for f, item in some]
        title = "real slice of that label map"
    else:
        real = cache.select(split, foreground_only=True)
        others = [real[i] for i in spread(len(real), _COLUMNS)]
        some_fakes = [fakes.items[i] for i in spread(len(fakes.items), _COLUMNS)]
        columns = [
            (mask_of(f), *_pictures(fakes, f, cache, item))
            for f, item in zip(some_fakes, others, strict=False)
        ]
        title = "other real slices"
    masks = [colour_mask(mask) for mask, _, _ in columns if mask is not None]
    rows = [
        *([masks] if masks else []),
        [fake for _, fake, _ in columns],
        [image for _, _, image in columns],
    ]
    return sheet(
        rows,
        [*(["label map"] if masks else []), "synthetic", title.replace(" of ", "\nof ")],
        cell_size=size,
        caption=f"{len(columns)} of {len(fakes.items)} synthetic images, evenly spread.",
        legend=cache.class_names if masks else None,
    )
