"""Distances between two sets of images, or between paired images, in a feature space.

Every one depends on the number of images, so report N with it and the floor between two halves of
the real images: a distance below its floor says that the sets cannot be told apart at this N.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Features = NDArray[np.floating] | Tensor


def frechet_distance(x: Features, y: Features) -> float:
    """Squared Frechet distance between Gaussians fitted to two samples.

    |mean x - mean y|^2 + tr(Cx + Cy - 2 (Cx Cy)^(1/2)). The trace of the root is the nuclear norm
    of Rx Ry^T, where Rx^T Rx = Cx: no matrix root, and no root of a rounding error where N < D. R
    is the centred sample or, where N > D, its R of the QR decomposition, which is smaller.

    Args:
        x: (N, D) features, N >= 2.
        y: (M, D) features, M >= 2.

    Returns:
        Distance >= 0 in squared feature units, in float64. Biased upwards at small N.

    Source: Heusel 2017, arXiv:1706.08500.
    """
    first, second = feature_pair(x, y)
    offset = first.mean(0) - second.mean(0)
    left, right = _covariance_root(first), _covariance_root(second)
    overlap = float(np.linalg.svdvals(left @ right.T).sum())
    spread = float(np.square(left).sum() + np.square(right).sum())
    return max(0.0, float(offset @ offset) + spread - 2 * overlap)


def kernel_distance(
    x: Features,
    y: Features,
    num_subsets: int = 100,
    subset_size: int | None = None,
    seed: int = 0,
) -> tuple[float, float]:
    """Unbiased squared MMD with the kernel (x.y / D + 1)^3, over random subsets.

    Args:
        x: (N, D) features.
        y: (M, D) features.
        num_subsets: subsets drawn without replacement within each.
        subset_size: images in a subset; default half of the smaller sample, at most 1000.
        seed: of the drawing.

    Returns:
        Mean and standard deviation over the subsets. The mean may be negative: it is unbiased, so
        it scatters around 0 for two samples of one distribution. Subsets overlap, so the deviation
        is no confidence interval.

    Source: Binkowski 2018, arXiv:1801.01401 (KID, there with Inception features).
    """
    first, second = feature_pair(x, y)
    smaller = min(len(first), len(second))
    size = min(1000, max(2, smaller // 2)) if subset_size is None else subset_size
    if not 2 <= size <= smaller:
        raise ValueError(f"subset_size is {size}, expected 2..{smaller} for these samples.")
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(num_subsets):
        a = first[rng.choice(len(first), size, replace=False)]
        b = second[rng.choice(len(second), size, replace=False)]
        values.append(_unbiased_mmd(a, b))
    return float(np.mean(values)), float(np.std(values))


@dataclass(frozen=True)
class Floor:
    """What a distance gives between two halves of the real images.

    Attributes:
        value: Mean distance between the halves.
        matched: Mean distance between a half and as many images of the other set as the floor
            used, so that both carry the same bias of small N; None without another set.
        num_images: Images on a side, on average, rounded down.
    """

    value: float
    matched: float | None
    num_images: int


def real_floor(
    real: Features,
    distance: Callable[[NDArray[np.float64], NDArray[np.float64]], float],
    groups: Sequence[str] | None = None,
    other: Features | None = None,
    num_splits: int = 10,
    seed: int = 0,
) -> Floor:
    """Split the real images into halves at random, and measure between the halves.

    Args:
        real: (N, D) features.
        distance: Of two samples.
        groups: N patients; whole ones go to a half, since slices of one patient are alike and would
            lower the floor. Without them images are split.
        other: (M, D) features of the set that is compared with the real one.
        num_splits: Random splits to average over.
        seed: Of the splits.

    Raises:
        ValueError: There are fewer than two groups, or no split leaves two images on each side.
    """
    sample = feature_matrix(real)
    rest = None if other is None else feature_pair(real, other)[1]
    names = np.asarray(groups if groups is not None else [str(i) for i in range(len(sample))])
    unique = np.unique(names)
    if len(unique) < 2:
        raise ValueError(f"{len(unique)} group(s), expected at least 2 to split into halves.")
    rng = np.random.default_rng(seed)
    values, matched, sizes = [], [], []
    for _ in range(num_splits):
        inside = np.isin(names, rng.permutation(unique)[: len(unique) // 2])
        left, right = rng.permutation(sample[inside]), rng.permutation(sample[~inside])
        size = min(len(left), len(right), len(sample) if rest is None else len(rest))
        if size < 2:
            continue
        sizes.append(size)
        values.append(distance(left[:size], right[:size]))
        if rest is not None:
            matched.append(distance(left[:size], rng.permutation(rest)[:size]))
    if not values:
        raise ValueError("No split left two images in each half.")
    return Floor(
        float(np.mean(values)), float(np.mean(matched)) if matched else None, int(np.mean(sizes))
    )


def paired_feature_distance(x: Sequence[Tensor], y: Sequence[Tensor]) -> Tensor:
    """Perceptual distance of paired images from their feature maps.

    Per map, vectors over channels are scaled to length 1, and their squared difference is averaged
    over positions; the maps' values are summed.

    Args:
        x: feature maps (N, C, H, W), as `FeatureExtractor.maps` gives them.
        y: those of the partners, of the same shapes.

    Returns:
        (N,) in [0, 4 x maps]; 0 for equal images.

    Source: Zhang 2018, arXiv:1801.03924 (LPIPS). Deviation: no learned weights per channel.
    """
    total = torch.zeros(x[0].shape[0], device=x[0].device)
    for left, right in zip(x, y, strict=True):
        difference = torch.nn.functional.normalize(left, dim=1, eps=1e-8)
        difference = difference - torch.nn.functional.normalize(right, dim=1, eps=1e-8)
        total = total + difference.square().sum(1).mean(dim=(1, 2))
    return total


def pairwise_diversity(features: Features, num_pairs: int = 2000, seed: int = 0) -> float:
    """Mean Euclidean distance between random pairs of one set; lower = the images are more alike.

    Args:
        features: (N, D), N >= 2.
        num_pairs: pairs of two different images, drawn with replacement.
        seed: of the drawing.
    """
    sample = feature_matrix(features)
    rng = np.random.default_rng(seed)
    left = rng.integers(0, len(sample), num_pairs)
    step = rng.integers(1, len(sample), num_pairs)
    difference = sample[left] - sample[(left + step) % len(sample)]
    return float(np.linalg.norm(difference, axis=1).mean())


def _covariance_root(sample: NDArray[np.float64]) -> NDArray[np.float64]:
    """R (min(N, D), D) with R^T R = the sample's covariance."""
    centred = (sample - sample.mean(0)) / np.sqrt(len(sample) - 1)
    if len(centred) <= centred.shape[1]:
        return centred
    return np.asarray(np.linalg.qr(centred, mode="r"))


def _unbiased_mmd(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    def kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        table = a @ b.T / a.shape[1] + 1
        return table * table * table  # numpy's power is several times slower

    own = 0.0
    for sample in (x, y):
        table = kernel(sample, sample)
        own += (table.sum() - np.trace(table)) / (len(sample) * (len(sample) - 1))
    return float(own - 2 * kernel(x, y).mean())


def feature_matrix(features: Features) -> NDArray[np.float64]:
    """Features as (N, D) float64 on the CPU: covariances and distances lose digits in float32.

    Raises:
        ValueError: Another shape, fewer than two rows, or values that are not finite.
    """
    raw = features.detach().cpu().numpy() if isinstance(features, Tensor) else features
    matrix = np.asarray(raw, dtype=np.float64)
    if matrix.ndim != 2 or len(matrix) < 2:
        raise ValueError(f"features are {matrix.shape}, expected (N, D) with N >= 2.")
    if not np.isfinite(matrix).all():
        raise ValueError("features hold NaN or infinity; the distance would be meaningless.")
    return matrix


def feature_pair(x: Features, y: Features) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`feature_matrix` of both.

    Raises:
        ValueError: As there, or they have other numbers of features.
    """
    first, second = feature_matrix(x), feature_matrix(y)
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"features have {first.shape[1]} and {second.shape[1]} columns, expected equal."
        )
    return first, second
