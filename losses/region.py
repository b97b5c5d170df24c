"""How far a painted region is from the real one: inside, and along its border."""

import torch.nn.functional as F
from torch import Tensor

from losses.precision import at_least_float32


def region_l1(fake: Tensor, real: Tensor, region: Tensor) -> Tensor:
    """Mean absolute difference inside a region, the mean over images of means over their pixels.

    So every image counts the same, however large its region is, and micro-batches and processes
    add up to the global batch.

    Args:
        fake: (N, C, H, W) painted images.
        real: (N, C, H, W) real ones.
        region: (N, 1, H, W) bool.

    Returns:
        Scalar in [0, 2] for images in [-1, 1]; an image without a region counts 0.

    Raises:
        ValueError: shapes that differ.
    """
    if fake.shape != real.shape or region.shape != (len(fake), 1, *fake.shape[2:]):
        raise ValueError(
            f"region_l1: painted images are {tuple(fake.shape)}, real ones {tuple(real.shape)} and "
            f"regions {tuple(region.shape)}, expected (N, C, H, W) twice and (N, 1, H, W)."
        )
    difference = (at_least_float32(fake) - at_least_float32(real)).abs().mean(dim=1, keepdim=True)
    inside = region.to(difference.dtype)
    total = (difference * inside).sum(dim=(1, 2, 3))
    return (total / inside.sum(dim=(1, 2, 3)).clamp(min=1)).mean()


def border_of(region: Tensor, width: int) -> Tensor:
    """Pixels of a region (N, 1, H, W) bool that are at most `width` from what lies outside it.

    Counted in rows and columns, so corners too. What lies beyond the image is not outside.
    """
    outside = F.max_pool2d((~region).float(), 2 * width + 1, stride=1, padding=width)
    return region & (outside > 0)
