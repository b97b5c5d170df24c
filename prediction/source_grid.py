"""From a network's square of pixels back to the pixels of the source."""

import torch
import torch.nn.functional as F
from torch import Tensor

from preparation.volumes.geometry import padding_to_square


def on_source_grid(
    probabilities: Tensor, shape: tuple[int, int], outline: tuple[float, float]
) -> Tensor:
    """Labels of the source's pixels: probabilities between pixels are interpolated, then compared.

    The way back of `fit_image`: a pixel of the source takes the probabilities at the place where
    its middle came to lie. Where nothing was resized or padded they are the network's own.

    Args:
        probabilities: (N, K, S, S) of the classes.
        shape: (H, W) of the source.
        outline: Height and width that it was fitted with; see `outline_of`.

    Returns:
        (N, H, W) uint8, the most probable class.
    """
    size = probabilities.shape[-1]
    if shape == (size, size) and outline == shape:
        return probabilities.argmax(dim=1).to(torch.uint8)
    (top, rows), (left, columns) = _square(shape, outline)
    y = (torch.arange(shape[0], dtype=torch.float64) + 0.5 + top) / rows * 2 - 1
    x = (torch.arange(shape[1], dtype=torch.float64) + 0.5 + left) / columns * 2 - 1
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1).to(probabilities)
    labels = [
        F.grid_sample(one[None], grid[None], padding_mode="border", align_corners=False)
        .argmax(dim=1)
        .to(torch.uint8)
        for one in probabilities  # one slice at a time: a batch on the source's grid may be large
    ]
    return torch.cat(labels)


def _square(
    shape: tuple[int, int], outline: tuple[float, float]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Of the square around a slice, along each axis: what lies before the slice, and its length.

    In pixels of the source.
    """
    if outline == shape:
        (top, _), (left, _) = padding_to_square(*shape)
        side = max(shape)
        return (top, side), (left, side)
    covered = [max(outline) * n / length for n, length in zip(shape, outline, strict=True)]
    before = [(c - n) / 2 for c, n in zip(covered, shape, strict=True)]
    return (before[0], covered[0]), (before[1], covered[1])
