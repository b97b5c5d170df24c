"""A classifier's predictions on a whole split, and the metrics of them that a validation logs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_modules.distributed import gather_dealt
from metrics import classification
from metrics.ranking import auroc, average_precision
from metrics.thresholds import chosen_thresholds, rates_at


@dataclass(frozen=True)
class Predictions:
    """A split's predictions in its own order.

    Attributes:
        probabilities: (N, K) float64, rows sum to 1.
        labels: (N,) int64 true classes.
        losses: (N,) float64 loss of each image.
    """

    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]
    losses: NDArray[np.float64]

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(N,) most probable classes."""
        return self.probabilities.argmax(axis=1).astype(np.int64)


def gather_predictions(probabilities: Tensor, labels: Tensor, losses: Tensor) -> Predictions:
    """All processes' predictions in the order of the split. A collective: every rank calls it.

    Args:
        probabilities: (n_r, K) of this process; see `gather_dealt`.
        labels: (n_r,).
        losses: (n_r,).
    """
    columns = [labels.double()[:, None], losses.double()[:, None], probabilities.double()]
    in_order = gather_dealt(torch.cat(columns, dim=1)).cpu().numpy()
    return Predictions(in_order[:, 2:], in_order[:, 0].astype(np.int64), in_order[:, 1])


def thresholds_record(predictions: Predictions) -> dict[str, Any]:
    """What a checkpoint tells of the thresholds chosen on these validation images.

    Of each rule of `metrics.thresholds` the threshold, and what it does to these images. Empty
    unless there are two classes and both have images. The usual 0.5 is no choice, so it is left
    out.
    """
    if predictions.probabilities.shape[1] != 2:
        return {}
    scores = predictions.probabilities[:, 1]
    rules = chosen_thresholds(scores, predictions.labels)
    del rules["default"]
    if not rules:
        return {}
    rates = rates_at(scores, predictions.labels, rules)
    return {"split": "val", "num_images": len(scores), "rules": rules, "rates": rates}


def validation_metrics(predictions: Predictions) -> dict[str, float | None]:
    """Metrics by name, without a stage; None where a class that a metric needs is missing.

    With two classes, class 1 is the positive one: sensitivity and specificity are at probability
    0.5, calibration is of its probability. With more, AUROC, average precision, sensitivity and
    specificity are means over classes of each against the others, and calibration is of the most
    probable class.
    """
    probabilities, labels = predictions.probabilities, predictions.labels
    right = predictions.predicted == labels
    metrics: dict[str, float | None] = {
        "loss": float(predictions.losses.mean()),
        "accuracy": float(right.mean()),
    }
    if probabilities.shape[1] == 2:
        positive = probabilities[:, 1]
        metrics["auroc"] = auroc(positive, labels)
        metrics["average_precision"] = average_precision(positive, labels)
        pair = classification.sensitivity_specificity(positive, labels)
        metrics["sensitivity"], metrics["specificity"] = pair
        metrics["ece"] = classification.calibration_error(positive, labels)
        return metrics
    metrics["auroc"] = auroc(probabilities, labels)
    metrics["average_precision"] = average_precision(probabilities, labels)
    pairs = [
        classification.sensitivity_specificity(
            (predictions.predicted == each).astype(np.float64), labels == each
        )
        for each in range(probabilities.shape[1])
    ]
    sides = zip(*pairs, strict=True)
    for name, values in zip(("sensitivity", "specificity"), sides, strict=True):
        known = [value for value in values if value is not None]
        metrics[name] = float(np.mean(known)) if len(known) == len(values) else None
    metrics["ece"] = classification.calibration_error(probabilities.max(axis=1), right)
    return metrics
