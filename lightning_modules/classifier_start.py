"""What a classifier takes from elsewhere when its training starts: weights and label counts."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from knowledge import Knowledge
from lightning_modules.checkpoint_files import load_checkpoint_file
from lightning_modules.loading import RECORD_KEY, seen_by
from losses.classification import balanced_weights
from networks.staged_classifier import StagedClassifier
from provenance import UserError


class LabelledData(Protocol):
    """What a classifier asks of its data module."""

    balance: str
    """How the training images' classes are balanced: "none", "oversample", ..."""

    def training_labels(self) -> NDArray[np.int64] | None:
        """(n,) class of each training image, synthetic ones too; None without labels."""
        ...


def start_from_checkpoint(
    module: nn.Module, path: Path, class_names: tuple[str, ...], cache: Any
) -> Knowledge:
    """Give a classifier the weights of another one, trained on the same patients.

    Args:
        module: Gets all weights, the head's too.
        path: Checkpoint of another run.
        class_names: This run's; the other's must be the same.
        cache: This run's data, a `PreparedCache`. The other run must have kept the same patients
            for validation and test, and have learnt of none of them elsewhere, or this one would be
            judged on patients that its weights have seen.

    Returns:
        Whom the weights have learnt from; see `seen_by`.

    Raises:
        UserError: No such checkpoint, or one of another task, other patients or another network.
    """
    flag = f"--model.start_from {path}"
    content = load_checkpoint_file(path)
    record: dict[str, Any] = content.get(RECORD_KEY) or {}
    kind = str(record.get("model", {}).get("class_path", "something unknown"))
    if not kind.endswith(".Classifier"):
        raise UserError(
            f"{flag}: is a checkpoint of {kind}, expected one of a Classifier that train.py wrote."
        )
    if tuple(record["class_names"]) != class_names:
        raise UserError(
            f"{flag}: tells apart {', '.join(record['class_names'])}, this run "
            f"{', '.join(class_names)}. Start from a classifier of the same classes."
        )
    theirs = record["split"]["split_id"]
    if theirs != cache.split_id:
        raise UserError(
            f"{flag}: was trained on the patient split {theirs[:12]}, this run's data "
            f"have {cache.split_id[:12]}. Its weights may have seen patients that this run is "
            "tested on. Train both on the same prepared data."
        )
    seen, by_image = seen_by(record), "training_items" in record["split"]
    held_out = np.concatenate([cache.indices("val"), cache.indices("test")])
    known = held_out[seen.overlap(cache, by_image).known[held_out]]
    if len(known):
        unit, names = ("images", cache.ids) if by_image else ("patients", cache.patient_ids)
        some = np.unique(names[known]).tolist()
        raise UserError(
            f"{flag}: has learnt from {len(some)} {unit} of the validation or test split of "
            f"{cache.root} ({', '.join(some[:5])}), so the scores of this run would be "
            "worthless. Start from a classifier that knows none of them, or leave the flag out."
        )
    try:
        module.load_state_dict(content["state_dict"])
    except RuntimeError as error:
        reason = " ".join(str(error).split()).partition(": ")[2][:300]
        raise UserError(
            f"{flag}: its weights do not fit this run's network ({reason}). Give --model.network "
            "the same settings as that run's."
        ) from error
    return seen


def check_frozen_stages(network: nn.Module, start_from: str | None) -> None:
    """Refuse frozen stages whose weights would stay random.

    Args:
        network: May have frozen stages and pretrained weights, as a `StagedClassifier`.
        start_from: Checkpoint that its weights will come from.

    Raises:
        UserError: Frozen stages would keep their random start.
    """
    if not isinstance(network, StagedClassifier) or not network.frozen_stages:
        return
    if network.initial_weights is None and start_from is None:
        raise UserError(
            f"--model.network.freeze {network.frozen_stages}: without pretrained weights these "
            "stages would keep their random start. Give --model.network.weights or "
            "--model.start_from, or --model.network.freeze 0."
        )


def training_label_counts(
    datamodule: LabelledData, class_names: tuple[str, ...]
) -> NDArray[np.int64]:
    """(K,) training images of each class, synthetic ones too.

    Raises:
        UserError: The data have no labels, or of less than two classes.
    """
    labels = datamodule.training_labels()
    if labels is None:
        raise UserError(
            "A classifier needs labels, and this run's data have none. Give --data.label_column "
            "with one of the prepared data's, or prepare them with labels."
        )
    if labels.max() >= len(class_names):
        raise UserError(
            f"--model.class_names {', '.join(class_names)}: the data have a class "
            f"{int(labels.max())}, counted from 0. Leave the flag out."
        )
    counts: NDArray[np.int64] = np.bincount(labels, minlength=len(class_names))
    if (counts > 0).sum() < 2:
        only = class_names[int(counts.argmax())]
        raise UserError(
            f"All {counts.sum()} training images are {only}: there is nothing to tell apart. Give "
            "a training split with two classes."
        )
    return counts


def balancing_weights(datamodule: LabelledData, class_names: tuple[str, ...]) -> Tensor:
    """(K,) class weights that undo the training set's imbalance.

    Raises:
        UserError: A class is missing, or the data are drawn balanced already.
    """
    counts = training_label_counts(datamodule, class_names)
    missing = [name for name, count in zip(class_names, counts, strict=True) if not count]
    if missing:
        raise UserError(
            f"--model.class_weights balanced: no training image is {' or '.join(missing)}. Add "
            "such images, or leave the flag out."
        )
    if datamodule.balance == "oversample":
        raise UserError(
            "--model.class_weights balanced: --data.balance oversample balances the classes "
            "already; together they would favour the rare one. Leave one of them out."
        )
    return balanced_weights(torch.from_numpy(counts))
