"""A trained model beside the data that it is scored on, checked to belong together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datamodules.cached_datamodule import CachedDataModule
from datamodules.chest_xray import ChestXrayDataModule
from datamodules.slice_cache import SliceCache
from device import Device, chosen_device
from evaluation.preparation import preparation_notes
from evaluation.unseen import Comparison, without_seen
from lightning_modules import Classifier, FindingsClassifier, Segmenter
from lightning_modules.loading import data_root, load_module
from lightning_modules.recorded_class import checked_class, own_class, settings_of
from provenance import UserError, sha256_of

_BATCH_SIZES = {Segmenter: 8, Classifier: 32, FindingsClassifier: 32}
# Settings of our datamodules that change what is trained on, and nothing that is evaluated. Left
# out, each takes its default, which is "no change".
_OF_TRAINING = (
    "synthetic",
    "synthetic_share",
    "real_films",
    "real_slices",
    "control",
    "augmentation",
    "augment_on",
    "sampling",
    "imbalance",
    "fraction_of_patients",
    "num_images",
    "balance",
    "images_per_epoch",
)


@dataclass(frozen=True)
class OpenedCheckpoint:
    """A segmenter or a classifier, ready to predict a split of a cache.

    Attributes:
        checkpoint: Its file.
        module: The model, on `device` and in evaluation mode.
        record: What the checkpoint says of it; see `load_module`.
        datamodule: Of the cache to score on, with the checkpoint's settings.
        split: The split to score, none of whose patients was trained on (unless it is "train").
        device: Where the model computes.
        on_seen: What becomes of images that it has seen: "refuse" or "exclude".
        comparisons: Of the splits that were compared so far.
    """

    checkpoint: Path
    module: Any
    record: Mapping[str, Any]
    datamodule: Any
    split: str
    device: torch.device
    on_seen: str = "refuse"
    comparisons: dict[str, Comparison] = field(default_factory=dict)

    def unit_images(self, batch: Mapping[str, Any]) -> Tensor:
        """Images of a batch as the model takes them: (N, C, H, W) in [-1, 1], on the device."""
        tensors = {key: value for key, value in batch.items() if isinstance(value, Tensor)}
        moved = {key: value.to(self.device) for key, value in tensors.items()}
        images: Tensor = self.datamodule.to_unit(moved)["image"]
        return images

    def logits(self, batch: Mapping[str, Any]) -> Tensor:
        """What the model says of a batch, without gradients.

        Raises:
            UserError: NaN or infinity.
        """
        with torch.inference_mode():
            logits: Tensor = self.module(self.unit_images(batch))
        if not bool(logits.isfinite().all()):
            raise UserError(
                f"{self.checkpoint}: predicts NaN or infinity, so its training has diverged. "
                "Nothing was scored; use an earlier checkpoint, or train with a lower learning "
                "rate."
            )
        return logits

    def identity(self, task: str) -> dict[str, Any]:
        """What makes an evaluation this one, whatever the kind of model."""
        left_out = self.compared_with_seen(self.split).left_out
        return {
            "task": task,
            "checkpoint_sha256": sha256_of(self.checkpoint),
            "split": self.split,
            "split_id": self.datamodule.cache.split_id,
            **({"images_left_out": left_out["images"]} if left_out else {}),
        }

    def notes_beside(self, splits: Sequence[str]) -> list[str]:
        """What was left out of these splits, beside the one that is scored."""
        return [
            note
            for split in splits
            for note in self.compared_with_seen(split).notes
            if split != self.split and self.compared_with_seen(split).left_out
        ]

    def compared_with_seen(self, split: str) -> Comparison:
        """See `without_seen`; done once for each split.

        Raises:
            UserError: The model has seen images of the split, and they are not left out.
        """
        if split not in self.comparisons:
            self.comparisons[split] = without_seen(
                self.checkpoint, self.record, self.datamodule, split, self.on_seen
            )
        return self.comparisons[split]

    @property
    def notes(self) -> list[str]:
        """Sentences for the reader of the scores: on synthetic, otherwise prepared, seen images."""
        prepared = preparation_notes(self.checkpoint, self.record, self.datamodule.cache)
        synthetic = self.datamodule.cache.synthetic_notes
        return synthetic + prepared + list(self.compared_with_seen(self.split).notes)

    @property
    def of_seen(self) -> dict[str, Any]:
        """What a result says of images that the model has seen, and that are nobody's."""
        compared = self.compared_with_seen(self.split)
        seen = {"left_out": compared.left_out, "not_compared": compared.not_compared}
        number = self.datamodule.cache.num_synthetic
        return seen | ({"num_synthetic": number} if number else {})


def open_checkpoint(
    checkpoint: Path,
    root: Path | None,
    split: str,
    batch_size: int | None,
    num_workers: int,
    device: Device,
    on_seen: str = "refuse",
    **changed: Any,
) -> OpenedCheckpoint:
    """Open a model and its data, and check that one can be scored on the other.

    Films that were prepared larger than the checkpoint's are averaged to its size where that goes.

    Args:
        checkpoint: Of a segmenter or a classifier.
        root: The cache; None takes the one that the checkpoint was trained on.
        split: Which split is to be scored.
        batch_size: Images at once; None: 8 slices or 32 films.
        num_workers: Processes that load.
        device: Where to compute.
        on_seen: See `without_seen`.
        changed: Settings of the datamodule to replace; those that are None stay as in the record.

    Raises:
        UserError: Another kind of model, or a cache of other classes, of another image size,
            without the split, or with training patients of the model in it.
    """
    module, record = load_module(checkpoint)
    kind = next((kind for kind in _BATCH_SIZES if isinstance(module, kind)), None)
    if kind is None:
        raise UserError(
            f"{checkpoint}: holds a {type(module).__name__}, expected a Segmenter, a "
            "Classifier or a FindingsClassifier. A generator is judged by its images: make some "
            "with generate.py, then run evaluate.py images."
        )
    root = root if root is not None else data_root(checkpoint, record, "--root")
    settings = {
        "root": str(root),
        "batch_size": _BATCH_SIZES[kind] if batch_size is None else batch_size,
        "num_workers": num_workers,
        **{key: value for key, value in changed.items() if value is not None},
    }
    datamodule = _datamodule(checkpoint, record, settings)
    _check_classes_and_size(checkpoint, module, record, datamodule)
    datamodule.items(split)  # there are some
    target = chosen_device(device)
    opened = OpenedCheckpoint(
        checkpoint, module.to(target), record, datamodule, split, target, on_seen
    )
    if opened.compared_with_seen(split).leaves_nothing:
        raise UserError(
            f"{root}: {checkpoint} has seen every image of its {split} split, so --seen exclude "
            "leaves none to score. Give data that it has not seen."
        )
    return opened


def _datamodule(checkpoint: Path, record: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
    """The checkpoint's datamodule with other settings, without what belongs to training."""
    data, rooms = record["data"], ("datamodules",)
    kind: Any = own_class(data["class_path"], CachedDataModule, rooms, "data", checkpoint)
    known = settings_of(kind)
    kept = {
        key: value
        for key, value in data["init_args"].items()
        if key in known and key not in _OF_TRAINING
    }
    kept = checked_class({**data, "init_args": kept}, kind, rooms, "data", checkpoint)["init_args"]
    arguments = {**kept, **settings}
    if issubclass(kind, ChestXrayDataModule) and record.get("image_size"):
        arguments["resolution"] = record["image_size"]
    try:
        return kind(**{key: value for key, value in arguments.items() if key in known})
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{checkpoint}: its record of the data has settings that no training accepts "
            f"({error}). It is not scored."
        ) from error


def _check_classes_and_size(
    checkpoint: Path, module: Any, record: Mapping[str, Any], datamodule: Any
) -> None:
    root, names, size = datamodule.root, list(datamodule.class_names), datamodule.image_size
    if isinstance(module, Classifier | FindingsClassifier) and not names:
        raise UserError(
            f"{root}: its films have no labels, so there is nothing to compare predictions with. "
            "Prepare it with --labels TABLE."
        )
    if len(names) != module.num_classes:
        raise UserError(
            f"{root}: has {len(names)} classes ({', '.join(names)}), but {checkpoint} predicts "
            f"{module.num_classes}. Give the cache that it was trained on."
        )
    known = list(record.get("class_names") or names)
    if names != known:
        raise UserError(
            f"{root}: has the classes {', '.join(names)}, but {checkpoint} was trained to tell "
            f"apart {', '.join(known)}. Prepare the data with labels of these names."
        )
    _check_channels(checkpoint, module, record, datamodule)
    trained_at = record.get("image_size", size)
    if size != trained_at:
        raise UserError(
            f"{root}: holds images of {size} px, but {checkpoint} was trained at {trained_at} px. "
            f"Prepare the data with --image-size {trained_at}."
        )


def _check_channels(
    checkpoint: Path, module: Any, record: Mapping[str, Any], datamodule: Any
) -> None:
    """Slices have the channels of the training slices, each in its place; films are converted."""
    cache = datamodule.cache
    if not isinstance(cache, SliceCache):
        return
    told = (record.get("preparation") or {}).get("channels") or ()
    trained = [str(one.get("name")) for one in told if isinstance(one, dict)] or ["CT"]
    wanted = getattr(module, "image_channels", len(trained))
    alike = cache.channels == trained or (len(trained) == 1 and cache.num_channels == 1)
    if cache.num_channels != wanted or not alike:
        raise UserError(
            f"{cache.root}: its images have {cache.num_channels} channels "
            f"({', '.join(cache.channels)}), but {checkpoint} was trained on {wanted} "
            f"({', '.join(trained)}). Prepare the data with these channels in this order."
        )
