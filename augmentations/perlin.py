"""Perlin's gradient noise: random fields with smooth, natural-looking outlines."""

import torch
from torch import Tensor


def perlin_noise(angles: Tensor, height: int, width: int) -> Tensor:
    """Noise from a lattice of directions: 0 at every lattice point, smooth in between.

    Each point of a lattice has a direction; a pixel's value blends, over the four points around
    it, how far it lies in their directions. The blend 6 t^5 - 15 t^4 + 10 t^3 leaves no seams.

    Args:
        angles: (N, R + 1, S + 1) directions in radians at the corners of R x S squares.
        height: H, rows of pixels; the lattice spans the image.
        width: W.

    Returns:
        (N, H, W) of the angles' dtype, within +- 1 / sqrt(2).

    Source: Perlin 2002, "Improving noise", with directions of any angle in place of twelve.
    """
    rows, columns = angles.shape[1] - 1, angles.shape[2] - 1
    across = _positions(width, columns, angles)
    down = _positions(height, rows, angles)
    column, row = (
        positions.long().clamp(max=last - 1)
        for positions, last in ((across, columns), (down, rows))
    )
    x, y = (across - column)[None, None, :], (down - row)[None, :, None]
    corners = []
    for below in (0, 1):
        for right in (0, 1):
            angle = angles[:, row + below][:, :, column + right]
            corners.append(angle.cos() * (x - right) + angle.sin() * (y - below))
    fade_x, fade_y = _fade(x), _fade(y)
    top = torch.lerp(corners[0], corners[1], fade_x.expand_as(corners[0]))
    bottom = torch.lerp(corners[2], corners[3], fade_x.expand_as(corners[0]))
    return torch.lerp(top, bottom, fade_y.expand_as(top))


def _positions(pixels: int, squares: int, like: Tensor) -> Tensor:
    """Centres of the pixels in units of the lattice, 0 to `squares`."""
    centres = torch.arange(pixels, device=like.device, dtype=like.dtype) + 0.5
    return centres * (squares / pixels)


def _fade(t: Tensor) -> Tensor:
    return t * t * t * (t * (t * 6 - 15) + 10)
