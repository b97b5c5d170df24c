"""An image at all the resolutions that a multi-scale discriminator sees."""

import torch.nn.functional as F
from torch import Tensor


def image_pyramid(image: Tensor, num_scales: int) -> list[Tensor]:
    """Halve an image again and again by averaging 2 x 2 pixels.

    Each pixel of scale k is the mean of its 2**k x 2**k pixels of the image, so all scales have the
    same mean, and nothing of a thin line or a small nodule is skipped over.

    Args:
        image: (N, C, H, W), floating point.
        num_scales: scales to return, the image itself included; at least 1.

    Returns:
        num_scales tensors, largest first: (N, C, H, W), (N, C, H/2, W/2), ...

    Raises:
        ValueError: no scale, or a side that cannot be halved so often without a remainder.
    """
    if num_scales < 1:
        raise ValueError(f"image_pyramid: num_scales is {num_scales}, expected at least 1.")
    height, width = image.shape[-2:]
    divisor = 2 ** (num_scales - 1)
    if height % divisor or width % divisor:
        raise ValueError(
            f"image_pyramid: an image of {height}x{width} pixels cannot be halved "
            f"{num_scales - 1} times; expected sides divisible by {divisor}."
        )
    scales = [image]
    for _ in range(num_scales - 1):
        scales.append(F.avg_pool2d(scales[-1], 2))
    return scales
