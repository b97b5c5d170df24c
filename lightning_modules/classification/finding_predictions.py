"""What is predicted of several findings on a whole split, and the metrics that are logged of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_modules.predictions import gathered_in_order
from metrics.findings import finding_score, macro_score
from metrics.ranking import Score
from metrics.thresholds import chosen_thresholds


@dataclass(frozen=True)
class FindingPredictions:
    """A split's predictions in its own order.

    Attributes:
        probabilities: (N, K) float64, each by itself.
        findings: (N, K) float64: 1, 0, or NaN for unknown.
        losses: (N,) float64 loss of each image.
    """

    probabilities: NDArray[np.float64]
    findings: NDArray[np.float64]
    losses: NDArray[np.float64]


def gather_findings(probabilities: Tensor, findings: Tensor, losses: Tensor) -> FindingPredictions:
    """All processes' predictions in the order of the split. A collective: every rank calls it.

    Args:
        probabilities: (n_r, K) of this process; see `gathered_in_order`.
        findings: (n_r, K).
        losses: (n_r,).
    """
    number = probabilities.shape[1]
    rows = gathered_in_order(torch.cat([losses.double()[:, None], probabilities, findings], dim=1))
    return FindingPredictions(rows[:, 1 : 1 + number], rows[:, 1 + number :], rows[:, 0])


def finding_metrics(
    predictions: FindingPredictions, names: Sequence[str]
) -> dict[str, float | None]:
    """Metrics by name, without a stage; None where the films do not differ in a finding.

    "auroc" and "average_precision" are means over the findings in which they do.
    """
    scores, truth = predictions.probabilities, predictions.findings
    metrics: dict[str, float | None] = {"loss": float(predictions.losses.mean())}
    kinds: tuple[Score, ...] = ("auroc", "average_precision")
    for kind in kinds:
        metrics[kind] = macro_score(scores, truth, kind)
        for k, name in enumerate(names):
            metrics[f"{kind}_{name}"] = finding_score(scores[:, k], truth[:, k], kind)
    return metrics


def thresholds_of_findings(
    predictions: FindingPredictions, names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Of each finding the threshold of each rule of `metrics.thresholds`; not the usual 0.5.

    A finding in which the films do not differ has none.
    """
    found = {}
    for k, name in enumerate(names):
        known = ~np.isnan(predictions.findings[:, k])
        truth = predictions.findings[known, k]
        chosen = chosen_thresholds(predictions.probabilities[known, k], truth)
        rules = {rule: threshold for rule, threshold in chosen.items() if rule != "default"}
        if rules:
            found[name] = rules
    return found
