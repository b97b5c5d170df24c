"""How typical and how varied a set is, beside held-out images of the same number.

These scores depend on the number of images and on the extractor, and none has a value that means
"good". What is as good as real images is what other real images reach.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from audit.distances.spaces import Space
from audit.images import AuditedSets
from audit.statistics import share_of
from datamodules.beside_synthetic import spread
from metrics.alpha_precision import alpha_precision, authentic, beta_recall
from metrics.prdc import prdc
from metrics.set_intervals import half_sample_intervals

NUM_NEIGHBOURS = 5
SCORES = (
    "precision",
    "recall",
    "density",
    "coverage",
    "alpha_precision",
    "beta_recall",
    "authenticity",
)
FEWEST = 2 * (NUM_NEIGHBOURS + 1)
"""Patients of each side: halves of them, which give intervals, need more images than neighbours."""

_MOST = 2000
"""Images of each side: tables of distances grow with the square."""

_HALVES = 20


def fidelity(space: Space, sets: AuditedSets, seed: int) -> dict[str, Any] | None:
    """Every score of the set and of held-out images, against the training images.

    Args:
        space: Where distances are measured.
        sets: Whose images they are.
        seed: Of the halves that give intervals.

    Returns:
        "num_images" of the set and of held-out ones, as many; "num_training"; for "synthetic" and
        "held_out" each of `SCORES` with "value", "low" and "high" (95 %). Authenticity alone is of
        all images. None with fewer than 12 patients on any side.
    """
    if min(one.num_patients for one in (sets.training, sets.held_out, sets.synthetic)) < FEWEST:
        return None
    number = min(len(space.synthetic), len(space.held_out), _MOST)
    training, whose = _spread(space.training, sets.training.patients, _MOST)
    found: dict[str, Any] = {"num_images": number, "num_training": len(training)}
    for name, points, patients in (
        ("synthetic", space.synthetic, sets.synthetic.patients),
        ("held_out", space.held_out, sets.held_out.patients),
    ):
        judged, owners = _spread(points, patients, number)
        intervals = half_sample_intervals(
            _scores, [training, judged], [whose, owners], _HALVES, seed=seed
        )
        found[name] = {
            key: {
                "value": one.value,
                "low": max(0.0, one.low),
                "high": one.high if key == "density" else min(1.0, one.high),
            }
            for key, one in intervals.items()
        }
        flags = authentic(space.training, points)
        share = share_of(flags, patients)
        found[name]["authenticity"] = {"value": share.value, "low": share.low, "high": share.high}
    return found


def _spread(
    points: Tensor, patients: Sequence[str], number: int
) -> tuple[NDArray[np.float64], list[str]]:
    rows = spread(len(points), number)
    return points[rows].double().numpy(), [patients[row] for row in rows]


def _scores(training: NDArray[np.float64], judged: NDArray[np.float64]) -> dict[str, float]:
    return {
        **prdc(training, judged, NUM_NEIGHBOURS),
        "alpha_precision": alpha_precision(training, judged),
        "beta_recall": beta_recall(training, judged),
    }
