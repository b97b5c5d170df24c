"""How alike the images of one set are: a generator that has collapsed draws one image again."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first
_SMALLEST_SIDE = {5: 176, 4: 99, 3: 44, 2: 22, 1: 11}
"""Scales -> side in pixels from which MONAI computes as many, with whole windows of 11 pixels."""


@dataclass(frozen=True)
class PairSimilarity:
    """Mean similarity of random pairs of one set.

    Attributes:
        value: In [0, 1]; 1 when all images are equal. Lower = more diverse.
        deviation: Standard deviation over the pairs.
        num_pairs: Pairs drawn.
        num_scales: Scales compared; numbers of other scales cannot be compared.
    """

    value: float
    deviation: float
    num_pairs: int
    num_scales: int

    @property
    def name(self) -> str:
        """See `name_of_scales`."""
        return name_of_scales(self.num_scales)


def name_of_scales(num_scales: int) -> str:
    """The metric's name: ms_ssim, or with fewer than its five scales e.g. ms_ssim_3_scales."""
    return "ms_ssim" if num_scales == len(_WEIGHTS) else f"ms_ssim_{num_scales}_scales"


@torch.no_grad()
def pair_similarity(
    images: Tensor, num_pairs: int = 500, seed: int = 0, batch_size: int = 16
) -> PairSimilarity:
    """Mean multi-scale SSIM between random pairs of different images of one set.

    Read it beside the same number of the real images: films of one view are alike, and a generator
    should be neither more nor less so. Images of one patient are alike too. It sees collapse, but
    noise lowers it as well.

    Images below 176 pixels get fewer scales (99: 4, 44: 3, 22: 2, 11: 1), the finest, with their
    weights scaled to a sum of 1; the result's name says so.

    Args:
        images: (N, C, H, W) float in [-1, 1], N >= 2, sides at least 11.
        num_pairs: Pairs, drawn with replacement.
        seed: Of the drawing.
        batch_size: Pairs at once; the result does not depend on it.

    Raises:
        ValueError: Another shape, images too small or too few, or values outside.

    Sources: MS-SSIM of Wang 2003 (doi:10.1109/ACSSC.2003.1292216), computed by MONAI on [0, 1]
    with negative similarities as 0; as diversity of a set Odena 2017, arXiv:1610.09585, there with
    100 pairs.
    """
    if images.ndim != 4 or len(images) < 2 or num_pairs < 1:
        raise ValueError(
            f"images are {tuple(images.shape)} and num_pairs is {num_pairs}, expected (N, C, H, W) "
            "with N >= 2, and at least 1."
        )
    rng = np.random.default_rng(seed)
    left = rng.integers(0, len(images), num_pairs)
    right = (left + rng.integers(1, len(images), num_pairs)) % len(images)
    found = []
    for start in range(0, num_pairs, batch_size):
        some = slice(start, start + batch_size)
        found.append(ms_ssim(images[left[some]], images[right[some]]))
    values = torch.cat(found).double()
    scales = num_scales(images)
    return PairSimilarity(float(values.mean()), float(values.std(correction=0)), num_pairs, scales)


def num_scales(images: Tensor) -> int:
    """Scales of MS-SSIM that images (N, C, H, W) are large enough for.

    Raises:
        ValueError: For none.
    """
    if images.ndim != 4 or min(images.shape[2:]) < _SMALLEST_SIDE[1]:
        raise ValueError(
            f"images are {tuple(images.shape)}, expected (N, C, H, W) with sides of at least 11."
        )
    return next(n for n, side in _SMALLEST_SIDE.items() if min(images.shape[2:]) >= side)


@torch.no_grad()
def ms_ssim(x: Tensor, y: Tensor) -> Tensor:
    """(N,) multi-scale SSIM of pairs on the CPU, in [0, 1]; see `pair_similarity`.

    Args:
        x: (N, C, H, W) float in [-1, 1], sides at least 11.
        y: Their partners.

    Raises:
        ValueError: Another shape, images too small, or values outside.
    """
    scales = num_scales(x)
    weights = [weight / sum(_WEIGHTS[:scales]) for weight in _WEIGHTS[:scales]]
    for images in (x, y):
        if not float(images.abs().max()) <= 1.001:
            raise ValueError(f"images reach {float(images.abs().max()):.3g}, expected [-1, 1].")
    from monai.metrics.regression import compute_ms_ssim

    left, right = ((images.float() + 1) / 2 for images in (x, y))
    found: Tensor = compute_ms_ssim(left, right, spatial_dims=2, weights=weights)
    return found.cpu().reshape(-1)
