"""Moving and changing images, a batch at a time: what a copy may be disguised by.

Images are float (N, 1, S, S) in [0, 1] throughout.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Motion:
    """One affine motion for each of N images, about their centres.

    Attributes:
        flip: (N,) bool: left and right exchanged, first of all.
        degrees: (N,) turned counter-clockwise.
        zoom: (N,) factor by which the content grows; 1 / 0.9 shows the middle 90 % of it.
        shift_x, shift_y: (N,) of the content, as a share of the side; right and down.
    """

    flip: Tensor
    degrees: Tensor
    zoom: Tensor
    shift_x: Tensor
    shift_y: Tensor

    def matrices(self) -> Tensor:
        """(N, 2, 3) for `torch.nn.functional.affine_grid`: where each output pixel looks."""
        angle = torch.deg2rad(self.degrees)
        cosine, sine = angle.cos() / self.zoom, angle.sin() / self.zoom
        mirror = torch.where(self.flip, -1.0, 1.0)
        # Output to input: undo the shift, then the turn and the zoom, then the flip.
        rows = torch.stack([cosine, -sine, sine, cosine], 1).unflatten(1, (2, 2))
        shift = torch.stack([self.shift_x, self.shift_y], 1) * 2
        offset = -(rows @ shift[:, :, None])
        matrices = torch.cat([rows, offset], 2)
        matrices[:, 0] *= mirror[:, None]
        return matrices


def move(images: Tensor, motion: Motion) -> Tensor:
    """Images moved; beyond their border it is repeated."""
    return warp(images, motion.matrices().to(images))


def warp(images: Tensor, matrices: Tensor) -> Tensor:
    """Images read through (N, 2, 3) affine matrices, bilinear; beyond the border it is repeated."""
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def blur(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of a standard deviation in pixels; the border is reflected."""
    reach = max(1, int(3 * sigma + 0.5))
    line = torch.exp(-torch.arange(-reach, reach + 1).to(images).square() / (2 * sigma**2))
    line = line / line.sum()
    padded = F.pad(images, [reach] * 4, mode="reflect")
    rows = F.conv2d(padded, line.view(1, 1, 1, -1))
    return F.conv2d(rows, line.view(1, 1, -1, 1))
