"""What is predicted of several findings on a whole split, and the metrics that are logged of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_modules.distributed import gather_dealt
from metrics.findings import finding_score, macro_score
from metrics.ranking import Score
from metrics.thresholds import chosen_thresholds, rates_at


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
        probabilities: (n_r, K) of this process; see `gather_dealt`.
        findings: (n_r, K).
        losses: (n_r,).
    """
    number = probabilities.shape[1]
    columns = [losses.double()[:, None], probabilities, findings]
    rows = gather_dealt(torch.cat(columns, dim=1)).cpu().numpy()
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


def thresholds_record(predictions: FindingPredictions, names: Sequence[str]) -> dict[str, Any]:
    """What a checkpoint tells of the thresholds chosen on these validation films.

    Of each finding and rule of `metrics.thresholds` the threshold, and what it does to these
    films; not the usual 0.5. A finding in which the films do not differ has none. Empty where no
    finding has any.
    """
    of_findings, rates = {}, {}
    for k, name in enumerate(names):
        known = ~np.isnan(predictions.findings[:, k])
        scores, truth = predictions.probabilities[known, k], predictions.findings[known, k]
        rules = chosen_thresholds(scores, truth)
        del rules["default"]
        if rules:
            of_findings[name], rates[name] = rules, rates_at(scores, truth, rules)
    if not of_findings:
        return {}
    number = len(predictions.findings)
    return {"split": "val", "num_images": number, "findings": of_findings, "rates": rates}
