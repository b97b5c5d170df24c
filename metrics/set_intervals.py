"""How far a score of whole sets of images could be off, of this many images.

The bootstrap draws images with replacement. Scores of sets do not bear that: a Frechet distance
rises, since a resample holds about 63 % of the images and fits its Gaussians to fewer; a nearest
neighbour becomes the image's own copy, at distance 0; a random pair becomes one image twice. Here
halves of the sets are drawn without replacement instead.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SetInterval:
    """A score of sets with its interval, in the score's unit.

    Attributes:
        value: Of the whole sets.
        low: Lower end.
        high: Upper end.
    """

    value: float
    low: float
    high: float


def half_sample_intervals(
    statistic: Callable[..., Mapping[str, float]],
    samples: Sequence[Any],
    groups: Sequence[Sequence[str] | None] | None = None,
    num_halves: int = 50,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, SetInterval]:
    """Scores with intervals of value +- z times their standard deviation over random halves.

    The variance of a score with N images is about 1 / N. A half has twice that, of which the halves
    of one set, drawn without replacement, show one half: their scatter is that of the whole score.
    The interval is one of the mean score of draws of as many images, bias of small N included. It
    is not one of the distance between the distributions, which for a Frechet distance may lie far
    below it; nor of another draw's score, which scatters as well.

    Measured (160 images a side, 20 halves): the halves' scatter is 0.84 to 1.14 of the scores' own
    for means, kernel distances, precision and its like, and for Frechet distances in 4, 32 and 64
    dimensions 0.9, 1.1 and 1.6 (2.1 between equal distributions): a half has more of the bias of
    few images, which varies too. So intervals hold the mean score in .87 to 1 of cases, and another
    draw's in .76 to 1.

    Args:
        statistic: From samples, in their order, to named scores, as in
            `lambda real, fake: {"frechet": frechet_distance(real, fake)}`.
        samples: Arrays or tensors with the images in dimension 0: features, logits or images.
        groups: Per sample the patients of its images, or None: half of the patients is drawn, with
            all of their images, since images of one patient are alike.
        num_halves: Draws; each costs half a score to a quarter.
        confidence: In (0, 1).
        seed: Of the drawing.

    Raises:
        ValueError: A setting outside its range, or fewer than four images or patients to halve.

    Source: the delete-half jackknife, Shao and Wu 1989, doi:10.1214/aos/1176347263; subsampling,
    Politis and Romano 1994, doi:10.1214/aos/1176325770.
    """
    if not 0 < confidence < 1 or num_halves < 2:
        raise ValueError(
            f"confidence is {confidence} and num_halves {num_halves}, expected a number between 0 "
            "and 1, and at least 2."
        )
    names = [
        _group_numbers(len(sample), None if groups is None else groups[index])
        for index, sample in enumerate(samples)
    ]
    rng = np.random.default_rng(seed)
    whole = statistic(*samples)
    halves = [
        statistic(
            *[sample[_half(numbers, rng)] for sample, numbers in zip(samples, names, strict=True)]
        )
        for _ in range(num_halves)
    ]
    reach = NormalDist().inv_cdf((1 + confidence) / 2)
    intervals = {}
    for name, value in whole.items():
        scores = np.array([half[name] for half in halves])
        margin = reach * float(scores.std(ddof=1))
        intervals[name] = SetInterval(value, value - margin, value + margin)
    return intervals


def _group_numbers(count: int, groups: Sequence[str] | None) -> NDArray[np.int64]:
    """(N,) number of each image's group; every image is its own without groups."""
    if groups is not None and len(groups) != count:
        raise ValueError(f"{count} images but {len(groups)} groups; give one per image.")
    numbers = np.arange(count)
    if groups is not None:
        numbers = np.unique(np.asarray(groups), return_inverse=True)[1]
    if numbers.size == 0 or numbers.max() < 3:
        raise ValueError("Fewer than four images (or patients) cannot be halved.")
    return numbers


def _half(numbers: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of a random half of the groups."""
    num_groups = int(numbers.max()) + 1
    chosen = np.zeros(num_groups, dtype=bool)
    chosen[rng.permutation(num_groups)[: num_groups // 2]] = True
    return np.flatnonzero(chosen[numbers])
