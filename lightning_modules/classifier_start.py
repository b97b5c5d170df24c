"""What a classifier looks at when its training starts: frozen stages and label counts."""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

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
            f"model.class_names {', '.join(class_names)}: the data have a class "
            f"{int(labels.max())}, counted from 0. Leave class_names out, and the data say them."
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
