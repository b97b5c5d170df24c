"""Fidelity and diversity apart: precision, recall, density and coverage of a set of images.

A Frechet distance is one number for two faults. These ask of each synthetic image whether it could
be real (precision, density), and of the real images whether the synthetic ones reach them (recall,
coverage). "Could be" means: inside the ball around an image that reaches to its k-th nearest
neighbour of its own set.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from metrics.distances import Features, feature_pair

_BLOCK_ENTRIES = 2**22
"""Distances held at once: 32 MiB in float64, whatever the number of images."""

_TIE = 1e-12
"""Of the largest squared length: nearer than this, distances count as equal. Squared distances
come from products, whose rounding would else decide about exact copies."""


def prdc(real: Features, synthetic: Features, num_neighbours: int = 5) -> dict[str, float]:
    """Precision, recall, density and coverage.

    Balls are closed, so an exact copy of a real image is inside. Recall suffers from outliers among
    the synthetic images, whose balls are large, and precision from real ones; density and coverage
    less. All depend on the number of images, which therefore should be alike, and on the extractor:
    report them as a metric of it, with both numbers.

    Args:
        real: (N, D) features of real images.
        synthetic: (M, D) features of synthetic ones.
        num_neighbours: k; 3 in the paper of precision and recall, 5 in that of the other two.

    Returns:
        "precision": share of synthetic images inside any real ball, in [0, 1].
        "recall": share of real images inside any synthetic ball, in [0, 1].
        "density": real balls that a synthetic image is in, by k; near 1 for equal distributions,
        and above where the synthetic images sit among the densest real ones.
        "coverage": share of real balls with a synthetic image inside, in [0, 1]; for equal
        distributions and equal numbers near 1 - 2^-k.

    Raises:
        ValueError: k is not below both numbers of images, or features that do not fit.

    Sources: Kynkaanniemi 2019, arXiv:1904.06991; Naeem 2020, arXiv:2002.09797, whose code takes
    open balls: only exact ties differ.
    """
    first, second = feature_pair(real, synthetic)
    if not 1 <= num_neighbours < min(len(first), len(second)):
        raise ValueError(
            f"num_neighbours is {num_neighbours}, expected 1..{min(len(first), len(second)) - 1} "
            f"for {len(first)} real and {len(second)} synthetic images."
        )
    # Distances do not change, but products of centred features lose fewer digits.
    centre = first.mean(0)
    first, second = first - centre, second - centre
    tie = _TIE * max(float(np.square(x).sum(1).max()) for x in (first, second))
    real_balls = squared_radii(first, num_neighbours) + tie
    synthetic_balls = squared_radii(second, num_neighbours) + tie
    within_real = 0  # pairs of a synthetic image and a real ball around it
    precise = 0
    covered = np.zeros(len(first), dtype=bool)
    recalled = np.zeros(len(first), dtype=bool)
    for rows, squares in squared_distances(second, first):
        inside = squares <= real_balls
        within_real += int(inside.sum())
        precise += int(inside.any(axis=1).sum())
        covered |= inside.any(axis=0)
        recalled |= (squares <= synthetic_balls[rows, None]).any(axis=0)
    return {
        "precision": precise / len(second),
        "recall": float(recalled.mean()),
        "density": within_real / (num_neighbours * len(second)),
        "coverage": float(covered.mean()),
    }


def squared_radii(sample: NDArray[np.float64], num_neighbours: int) -> NDArray[np.float64]:
    """(N,) squared distance of each image to its k-th nearest other one."""
    radii = np.empty(len(sample))
    for rows, squares in squared_distances(sample, sample):
        squares[np.arange(len(squares)), np.arange(rows.start, rows.stop)] = np.inf
        radii[rows] = np.partition(squares, num_neighbours - 1, axis=1)[:, num_neighbours - 1]
    return radii


def squared_distances(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Blocks of rows of the table of squared distances, (rows, len(y)) each."""
    height = max(1, _BLOCK_ENTRIES // len(y))
    x_squares, y_squares = np.square(x).sum(1), np.square(y).sum(1)
    for start in range(0, len(x), height):
        rows = slice(start, min(start + height, len(x)))
        squares = x_squares[rows, None] + y_squares - 2 * (x[rows] @ y.T)
        yield rows, np.maximum(squares, 0)
