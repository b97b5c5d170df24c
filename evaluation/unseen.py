"""Images that a model has seen are not scored as new: refused, or left out and counted."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.synthetic import SyntheticSet
from knowledge import Knowledge
from lightning_modules.loading import chosen_by, path_of_data, seen_by
from provenance import UserError


@dataclass(frozen=True)
class Comparison:
    """What came of comparing a split with what a model has seen.

    Attributes:
        left_out: How many images and patients, and why; None where all are scored.
        notes: Sentences for the reader of the scores.
        not_compared: What could not be compared; None where all could.
    """

    left_out: dict[str, int] | None = None
    notes: tuple[str, ...] = ()
    not_compared: str | None = None

    @property
    def leaves_nothing(self) -> bool:
        """Whether every image was left out."""
        return self.left_out is not None and self.left_out["images"] == self.left_out["of_images"]


def without_seen(
    checkpoint: Path, record: Mapping[str, Any], datamodule: Any, split: str, on_seen: str
) -> Comparison:
    """Refuse to score training images as if they were new, or leave them out of the split.

    Another cache may split its patients differently, or name them differently, so the pixels of
    images are compared too. A patient with a training image is a training patient, and so are those
    whom the model knows through synthetic images, or through the weights that it started from.
    If the model's own data were split by image, images are compared instead of patients. A note
    says which images of these data are in the model's validation split, which chose the checkpoint.

    Args:
        checkpoint: The model's file.
        record: Its record; see `load_module`.
        datamodule: Data module of the data to score on. What is left out is added to its
            `left_out`.
        split: Split of these data; the model's own "train" is never refused.
        on_seen: "refuse", or "exclude" to score the others.

    Raises:
        UserError: The model was trained on some of the split; says on how many, and names a few.
    """
    cache = datamodule.cache
    same_split = record.get("split", {}).get("split_id") == cache.split_id
    if split == "train" and same_split:
        note = "These are the images that the model was trained on: it may know them by heart."
        return Comparison(notes=(note,))
    by_item = same_split and cache.split_by != "patient"
    seen, chose = seen_by(record), Knowledge()
    if not same_split:
        seen |= _known_through_an_earlier_set(checkpoint, record, cache.root)
    if not same_split or split == "all":
        chose = chosen_by(record)
    items = _indices(datamodule, split)
    overlap = seen.overlap(cache, by_item)
    equal, named, trained = (
        each[items] for each in (overlap.by_pixels, overlap.by_name, overlap.known)
    )
    validated = chose.overlap(cache).known[items] & ~trained
    # A published division is not ours to change, and its benchmark is what it is.
    published = same_split and cache.split_by == "published"
    refused = named if published else trained
    if on_seen == "refuse" and refused.any():
        one, many = ("image", "images") if by_item else ("patient", "patients")
        both = np.unique((cache.ids if by_item else cache.patient_ids)[items[refused]]).tolist()
        some = ", ".join(both[:5]) + (", ..." if len(both) > 5 else "")
        were = f"{one} of its {split} split was a training {one}"
        if len(both) > 1:
            were = f"{many} of its {split} split were training {many}"
        pixels = (
            f"Equal to training images pixel by pixel: {equal.sum()} of its {len(items)} images. "
        )
        raise UserError(
            f"{cache.root}: {len(both)} {were} of {checkpoint} ({some}). "
            f"{pixels if equal.any() else ''}The scores would be worthless. "
            "Give the cache that it was trained on, prepare this one with the same --split-seed "
            "and --split-ratios, or score the others alone with --seen exclude."
        )
    out = trained | validated if on_seen == "exclude" else np.zeros(len(items), bool)
    notes = []
    left_out = None
    if out.any():
        left_out = {
            "images": int(out.sum()),
            "of_images": len(items),
            "patients": len(np.unique(cache.patient_ids[items[out]])),
            "equal_to_training_images": int(equal.sum()),
            "with_training_names": int(named.sum()),
            "of_validation": int(validated.sum()),
        }
        notes.append(
            f"Left out of {split}, since {checkpoint} has seen them: {out.sum()} of {len(items)} "
            f"images (patients: {left_out['patients']}; images equal to training images pixel by "
            f"pixel: {equal.sum()}; with the name of a training "
            f"{'image' if by_item else 'patient'}: {named.sum()}; of the validation split that "
            f"chose it: {validated.sum()})."
        )
        datamodule.left_out |= {*cache.ids[items[out]].tolist()}
    elif validated.any():
        notes.append(
            f"Of the validation split that chose {checkpoint}: {validated.sum()} of {len(items)} "
            "images, so the scores are a little too good. --seen exclude leaves them out."
        )
    elif equal.any():
        notes.append(
            f"Equal to training images pixel by pixel: {equal.sum()} of {len(items)} images, since "
            "the published division has them on both sides. --seen exclude leaves them out."
        )
    if split == "val" and same_split:
        notes.append(
            "The validation split chose the checkpoint, so scores on it are better than on others."
        )
    same = same_split and not seen.of_unknown
    gap = None if same else seen.not_compared(str(checkpoint), cache)
    if gap is not None:
        print(gap.sentence, file=sys.stderr)
    return Comparison(left_out, tuple(notes), None if gap is None else gap.sentence)


def _indices(datamodule: Any, split: str) -> NDArray[np.int64]:
    """Where in the cache the images of a split are."""
    items = datamodule.items(split)
    if isinstance(items, np.ndarray):
        return items
    return np.flatnonzero(np.isin(datamodule.cache.ids, [item.id for item in items]))


def _known_through_an_earlier_set(
    checkpoint: Path, record: Mapping[str, Any], scored: Path
) -> Knowledge:
    """Whom the synthetic set of a checkpoint of an earlier version knew, if it is there.

    A checkpoint of today names them itself.
    """
    if "also_seen" in record or not record["data"]["init_args"].get("synthetic"):
        return Knowledge()
    root = path_of_data(checkpoint, dict(record), "synthetic", "")
    if (root / "manifest.json").is_file():
        return SyntheticSet.open(root).seen()
    print(
        f"{checkpoint}: was trained with the synthetic set {root}, which is not there as seen "
        f"from this folder, so whom its images know was not compared with {scored}. Put the set "
        "back and score again.",
        file=sys.stderr,
    )
    return Knowledge()
