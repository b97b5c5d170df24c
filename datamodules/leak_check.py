"""The checks that a synthetic set may join a training split: it leaks nobody, and it fits."""

import sys

import numpy as np
from lightning.pytorch.utilities import rank_zero_only

from datamodules.prepared_cache import PreparedCache
from datamodules.synthetic import SyntheticSet
from provenance import UserError


def check_no_leak(synthetic: SyntheticSet, cache: PreparedCache) -> None:
    """Refuse a set that carries knowledge of a validation or test patient into training.

    Three ways in: the generator was trained on such a patient, the label map was drawn on one, or
    the image is a translated one of theirs; whatever the patient is called there, if the images
    have equal pixels. Where the cache is split by slice or by image, these are compared and not the
    patients. What cannot be compared is said on stderr, and so is that nobody knows what the
    generator was trained on, where the set says so.

    Raises:
        UserError: Names the patients, or says that the set does not tell its origin.
    """
    by = cache.split_by
    unit = by if by in ("patient", "slice") else "image"
    by_item = unit != "patient"
    origin = synthetic.manifest.get("generator", {})
    told = origin.get("training_items" if by_item else "training_patients") is not None
    if not told and not synthetic.trained_on_unknown:
        raise UserError(
            f"{synthetic.root}: does not say what its generator was trained on"
            + (f" by {unit}, while this cache is split by {unit}" if by_item else "")
            + ". It cannot be shown to be free of test data, so it does not join the training."
        )
    held_out = np.concatenate([cache.indices("val"), cache.indices("test")])
    names = cache.ids if by_item else cache.patient_ids
    for knowledge, how, equal in (
        (
            synthetic.learnt(),
            f"its generator was trained on this {unit}",
            "images that its generator was trained on",
        ),
        (
            synthetic.lent(),
            f"its label maps were drawn on this {unit}",
            "those that its label maps were drawn on",
        ),
        (
            synthetic.shown(),
            f"its images are translated ones of this {unit}",
            "those that it was translated from",
        ),
    ):
        overlap = knowledge.overlap(cache, by_item)
        by_name = np.unique(names[held_out[overlap.by_name[held_out]]]).tolist()
        equals = held_out[overlap.by_pixels[held_out]]
        leaked = np.unique(names[held_out[overlap.known[held_out]]]).tolist()
        ways = []
        if by_name:
            some = ", ".join(by_name[:5]) + (", ..." if len(by_name) > 5 else "")
            ways.append(f"{how}: {some}")
        if len(equals):
            ways.append(f"{len(equals)} of their images have the pixels of {equal}")
        if leaked:
            raise UserError(
                f"{synthetic.root}: leaks {len(leaked)} {unit}(s) of the validation or test split "
                f"of {cache.root} ({'; '.join(ways)}). The run stops, because its test result "
                "would be worthless. Train the generator on this cache's training split, and "
                "generate from label maps of other patients."
            )
    if gap := synthetic.seen().not_compared(str(synthetic.root), cache):
        rank_zero_only(print)(gap.sentence, file=sys.stderr)


def refuse_other_set(
    synthetic: SyntheticSet, cache: PreparedCache, with_label_maps: bool, sizes: set[int]
) -> None:
    """Refuse a set of another kind or size than the images that it would join.

    Args:
        synthetic: The set of --data.synthetic.
        cache: Of the real images.
        with_label_maps: Whether its images must have label maps, as slices do, or are films.
        sizes: Sides in pixels that its images may have.

    Raises:
        UserError: Says what the run needs.
    """
    fits = synthetic.has_label_maps if with_label_maps else not synthetic.of_slices
    if not fits and synthetic.items:
        raise UserError(
            f"--data.synthetic {synthetic.root}: holds "
            + (
                "images without label maps, and this run trains on label maps. Give a set that a "
                "Pix2Pix generator made, or prepare it with its masks (prepare.py synthetic "
                "--masks)."
                if with_label_maps
                else "slices with label maps, and no films. Give a set that a generator of films "
                "made."
            )
        )
    if synthetic.image_size not in sizes:
        raise UserError(
            f"--data.synthetic {synthetic.root}: images of {synthetic.image_size} px, but this run "
            f"on {cache.root} uses {' or '.join(map(str, sorted(sizes)))} px. Generate at that "
            "size."
        )
