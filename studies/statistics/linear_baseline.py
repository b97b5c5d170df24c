"""Logistic regressions that see next to nothing of a film: what a deep classifier has to beat.

Where the frame of the films does well, the classes differ in how their films were taken, and a
network can learn that in place of the disease.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from metrics.ranking import auroc

SIDE, FRAME = 32, 2  # pixels
PENALTIES = (0.001, 0.01, 0.1, 1.0)


def frame(films: Tensor) -> Tensor:
    """(N, 240) pixels of films (N, 1, 32, 32) within 2 pixels of the edge: 23 % of the film."""
    inside = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    inside[FRAME:-FRAME, FRAME:-FRAME] = True
    return films[:, 0, ~inside]


VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean grey": lambda films: films.mean(dim=(2, 3)),
    "frame alone": frame,
    "8 x 8 squares": lambda films: F.avg_pool2d(films, SIDE // 8).flatten(1),
    "16 x 16 squares": lambda films: F.avg_pool2d(films, SIDE // 16).flatten(1),
}


@dataclass(frozen=True)
class LinearFit:
    """A logistic regression on one view of the films.

    Attributes:
        num_inputs: Numbers that it sees of a film.
        penalty: The L2 penalty that was best on the validation films.
        auroc_val: Its AUROC there.
        scores: (N,) float64 logit of every film, by split.
    """

    num_inputs: int
    penalty: float
    auroc_val: float
    scores: dict[str, Tensor]


def fit_view(view: str, films: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> LinearFit:
    """Fit on the training films, standardised by them; the validation films choose the penalty.

    Args:
        view: One of `VIEWS`.
        films: (N, 1, 32, 32) of "train", "val" and others to be scored.
        labels: (N,) 0 or 1, of "train" and "val".
    """
    inputs = {split: VIEWS[view](each).double() for split, each in films.items()}
    mean, spread = inputs["train"].mean(dim=0), inputs["train"].std(dim=0).clamp_min(1e-6)
    inputs = {split: (values - mean) / spread for split, values in inputs.items()}
    fits = []
    for penalty in PENALTIES:
        weights = logistic_regression(inputs["train"], labels["train"], penalty)
        scores = {split: x @ weights[:-1] + weights[-1] for split, x in inputs.items()}
        chosen_by = auroc(scores["val"], labels["val"]) or 0.0
        fits.append(LinearFit(inputs["train"].shape[1], penalty, chosen_by, scores))
    return max(fits, key=lambda fit: fit.auroc_val)


def logistic_regression(inputs: Tensor, labels: Tensor, penalty: float) -> Tensor:
    """Weights (D + 1,) of least mean cross-entropy + penalty |w|^2; the last is the offset.

    Convex, so L-BFGS finds the one minimum.

    Args:
        inputs: (N, D) float64.
        labels: (N,) 0 or 1.
        penalty: On the weights, not on the offset.
    """
    weights = torch.zeros(inputs.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([weights], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        logits = inputs @ weights[:-1] + weights[-1]
        loss = F.binary_cross_entropy_with_logits(logits, labels.to(torch.float64))
        loss = loss + penalty * weights[:-1].square().sum()
        loss.backward()
        return loss

    search.step(closure)
    return weights.detach()
