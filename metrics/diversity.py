"""How alike the images of one set are: a generator that has collapsed draws one image again."""

import torch
from torch import Tensor

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first
_SMALLEST_SIDE = {5: 176, 4: 99, 3: 44, 2: 22, 1: 11}
"""Scales -> side in pixels from which MONAI computes as many, with whole windows of 11 pixels."""


def name_of_scales(num_scales: int) -> str:
    """The metric's name: ms_ssim, or with fewer than its five scales e.g. ms_ssim_3_scales."""
    return "ms_ssim" if num_scales == len(_WEIGHTS) else f"ms_ssim_{num_scales}_scales"


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
    """(N,) multi-scale SSIM of pairs on the CPU, in [0, 1].

    Its mean over pairs of images of one set tells their diversity. Read it beside the same number
    of the real images: films of one view are alike, and a generator should be neither more nor less
    so. Images of one patient are alike too. It sees collapse, but noise lowers it as well.

    Images below 176 pixels get fewer scales (99: 4, 44: 3, 22: 2, 11: 1), the finest, with their
    weights scaled to a sum of 1; `name_of_scales` says so.

    Args:
        x: (N, C, H, W) float in [-1, 1], sides at least 11.
        y: Their partners.

    Raises:
        ValueError: Another shape, images too small, or values outside.

    Sources: MS-SSIM of Wang 2003 (doi:10.1109/ACSSC.2003.1292216), computed by MONAI on [0, 1]
    with negative similarities as 0; as diversity of a set Odena 2017, arXiv:1610.09585.
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
