"""Typicality and memory: alpha-precision, beta-recall and authenticity of a set of images.

Precision asks whether a synthetic image could be real at all. Alpha-precision asks whether the set
has as many typical and as many odd images as the real ones: of a set of nothing but typical images
all could be real, and yet it is no sample of them. Beta-recall asks the same of the real images
that it reaches. Authenticity asks whether an image lies nearer to a real one than another real one
does.

None of the three is 1 for another sample of the same distribution, and none has a value that means
"good": give each with the same number for real images that were held out.
"""

import numpy as np
from numpy.typing import NDArray

from metrics.distances import Features, feature_pair
from metrics.prdc import squared_distances, squared_radii


def alpha_precision(real: Features, synthetic: Features) -> float:
    """Integrated alpha-precision: 1 - 2 * integral of |P(alpha) - alpha|, in [0, 1].

    P(alpha) is the share of synthetic images within the ball about the real images' mean that holds
    a share alpha of these. 1 where synthetic images lie as far out as real ones; 0 where all lie at
    the middle, or all beyond.

    Args:
        real: (N, D) features of real images.
        synthetic: (M, D) features of synthetic ones.

    Source: Alaa 2022, arXiv:2102.08921, section 4. Deviation: the ball lies about the mean
    of the features; there a network is trained first that makes the real images fill a ball.
    """
    first, second = feature_pair(real, synthetic)
    centre = first.mean(0)
    return _integrated(_inward(_from(first, centre), _from(second, centre)))


def beta_recall(real: Features, synthetic: Features, num_neighbours: int = 1) -> float:
    """Integrated beta-recall: 1 - 2 * integral of |R(beta) - beta|, in [0, 1].

    R(beta) is the share of real images with a synthetic one in the ball that reaches to their k-th
    nearest real one, where synthetic images count that lie in the ball about their mean that holds
    a share beta of them. At beta = 1 it is coverage.

    Args:
        real: (N, D) features of real images.
        synthetic: (M, D) features of synthetic ones.
        num_neighbours: k, below N.

    Raises:
        ValueError: k is not below the number of real images, or features that do not fit.

    Source: Alaa 2022, arXiv:2102.08921, section 4, about means as in `alpha_precision`. k = 1 as in
    the authors' code, since with more neighbours and many features R is near 1 for any beta. That
    code takes the nearest of all synthetic images, and then asks whether it is in the ball of beta.
    """
    first, second = feature_pair(real, synthetic)
    if not 1 <= num_neighbours < len(first):
        raise ValueError(
            f"num_neighbours is {num_neighbours}, expected 1..{len(first) - 1} for {len(first)} "
            "real images."
        )
    own = _from(second, second.mean(0))
    depth = _inward(own, own)
    radii = squared_radii(first, num_neighbours)
    reached = np.ones(len(first))
    for rows, squares in squared_distances(first, second):
        inside = squares <= radii[rows, None]
        reached[rows] = np.where(inside, depth, 1.0).min(1)
    return _integrated(reached)


def authentic(training: Features, synthetic: Features) -> NDArray[np.bool_]:
    """(M,) which synthetic images lie farther from their nearest training image than others do.

    An image is authentic if its nearest training image has another training image nearer to it. The
    share of them is called authenticity, or AuthPct. It is no 50 % in a set without copies, but
    anything, by the number of features and of images.

    Args:
        training: (N, D) features of the images that the generator knew, N >= 2.
        synthetic: (M, D) features.

    Raises:
        ValueError: Fewer than 2 images of either, or features that do not fit.

    Source: Alaa 2022, arXiv:2102.08921, of whose code it is not the form, which mixes up two
    indices; in this form in Stein 2023, arXiv:2306.04675.
    """
    first, second = feature_pair(training, synthetic)
    nearest = np.empty(len(second), dtype=np.intp)
    distance = np.empty(len(second))
    for rows, squares in squared_distances(second, first):
        nearest[rows] = squares.argmin(1)
        distance[rows] = squares.min(1)
    which, back = np.unique(nearest, return_inverse=True)
    to_others = np.empty(len(which))
    for rows, squares in squared_distances(first[which], first):
        squares[np.arange(len(squares)), which[rows]] = np.inf
        to_others[rows] = squares.min(1)
    found: NDArray[np.bool_] = distance > to_others[back]
    return found


def _from(points: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    distances: NDArray[np.float64] = np.linalg.norm(points - centre, axis=1)
    return distances


def _inward(reference: NDArray[np.float64], distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """(M,) share of reference distances below each: the ball of any larger share holds it."""
    return np.searchsorted(np.sort(reference), distances, side="left") / len(reference)


def _integrated(shares: NDArray[np.float64]) -> float:
    """1 - 2 * integral over a in [0, 1] of |share of values below a - a|, exactly.

    The integral is the earth mover's distance of the values to even ones, and so that between their
    quantiles: the i-th of M sorted values against all of [i / M, (i + 1) / M].
    """
    ascending = np.sort(shares)
    ends = np.arange(len(shares) + 1) / len(shares)
    below, above = ascending - ends[:-1], ends[1:] - ascending
    # On either side of the value the integral is a triangle; with the value outside, a difference.
    whole = (below * np.abs(below) + above * np.abs(above)).sum() / 2
    return float(np.clip(1 - 2 * whole, 0, 1))
