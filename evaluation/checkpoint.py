"""What every evaluation of a trained model on a cache shares: its data, and whose they are."""

import importlib
import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from datamodules.chest_xray import ChestXrayDataModule
from provenance import UserError

# Settings of our datamodules that change what is trained on, and nothing that is evaluated. Left
# out, each takes its default, which is "no change".
_OF_TRAINING = (
    "synthetic",
    "synthetic_share",
    "real_films",
    "augmentation",
    "sampling",
    "imbalance",
    "balance",
    "images_per_epoch",
)


def datamodule_to_evaluate(
    record: Mapping[str, Any], root: Path, batch_size: int, num_workers: int, **changed: Any
) -> Any:
    """The checkpoint's datamodule on a cache, without what belongs to training.

    Films that were prepared larger than the checkpoint's are averaged to its size where that goes.

    Args:
        record: As `load_module` gives it.
        root: The cache.
        batch_size: Images at once.
        num_workers: Processes that load.
        changed: Further settings to replace; those that are None stay as in the record.

    Raises:
        UserError: The record names another software's class, or the cache does not serve.
    """
    data = record["data"]
    module_name, _, class_name = data["class_path"].rpartition(".")
    if not module_name.startswith("datamodules"):
        raise UserError(f"The checkpoint names the data class {data['class_path']}, not ours.")
    kind = getattr(importlib.import_module(module_name), class_name)
    known = inspect.signature(kind).parameters
    settings = {key: value for key, value in data["init_args"].items() if key not in _OF_TRAINING}
    settings |= {"root": str(root), "batch_size": batch_size, "num_workers": num_workers}
    settings |= {key: value for key, value in changed.items() if value is not None}
    if issubclass(kind, ChestXrayDataModule) and record.get("image_size"):
        settings["resolution"] = record["image_size"]
    return kind(**{key: value for key, value in settings.items() if key in known})


def check_classes_and_size(
    checkpoint: Path,
    record: Mapping[str, Any],
    num_classes: int,
    root: Path,
    class_names: list[str],
    image_size: int,
) -> None:
    """Refuse a cache of other classes or another image size than the checkpoint's.

    Args:
        checkpoint: For the sentence.
        record: As `load_module` gives it.
        num_classes: That the network predicts.
        root: The cache.
        class_names: Of the cache.
        image_size: Side in pixels of what the network would see.

    Raises:
        UserError: They differ.
    """
    if len(class_names) != num_classes:
        raise UserError(
            f"{root}: has {len(class_names)} classes ({', '.join(class_names)}), but "
            f"{checkpoint} predicts {num_classes}. Give the cache that it was trained on."
        )
    known = list(record.get("class_names") or class_names)
    if class_names != known:
        raise UserError(
            f"{root}: has the classes {', '.join(class_names)}, but {checkpoint} was trained to "
            f"tell apart {', '.join(known)}. Prepare the data with labels of these names."
        )
    trained_at = record.get("image_size", image_size)
    if image_size != trained_at:
        raise UserError(
            f"{root}: holds images of {image_size} px, but {checkpoint} was trained at "
            f"{trained_at} px. Prepare the data with --image-size {trained_at}."
        )


def check_unseen(
    checkpoint: Path,
    record: Mapping[str, Any],
    root: Path,
    split_id: str,
    patient_ids: Iterable[str],
    split: str,
) -> None:
    """Refuse to score training patients as if they were new: another cache may split otherwise.

    Args:
        checkpoint: For the sentence.
        record: As `load_module` gives it.
        root: The cache.
        split_id: Of the cache.
        patient_ids: Patients to be scored.
        split: The split they are in; the training split is scored as such.

    Raises:
        UserError: The model was trained on some of them; names a few.
    """
    trained = record.get("split", {})
    if split == "train" or trained.get("split_id") == split_id:
        return
    seen = sorted(set(patient_ids) & set(trained.get("train", ())))
    if seen:
        named = ", ".join(seen[:5]) + (", ..." if len(seen) > 5 else "")
        raise UserError(
            f"{root}: {len(seen)} patients of its {split} split were training patients of "
            f"{checkpoint} ({named}). The scores would be worthless. Give the cache that it was "
            "trained on, or prepare this one with the same --split-seed and --split-ratios."
        )


def checked_finite(logits: Tensor, checkpoint: Path) -> Tensor:
    """The logits, or the sentence for a model whose training has diverged."""
    if not bool(logits.isfinite().all()):
        raise UserError(
            f"{checkpoint}: predicts NaN or infinity, so its training has diverged. Nothing was "
            "scored; use an earlier checkpoint, or train with a lower learning rate."
        )
    return logits
