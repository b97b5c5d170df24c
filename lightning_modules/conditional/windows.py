"""The square window of a slice that a network works on: chosen, cut out and put back."""

import torch
from torch import Tensor

from lightning_modules.conditional.lesion_placement import Pixels, box_of
from provenance import UserError

Window = tuple[slice, slice]
"""Rows and columns."""


def checked_window(window: int | None, image_size: int, margin: int) -> int:
    """The side of the window in pixels, as the flags of a training give it.

    Args:
        window: As asked for; None is the whole slice.
        image_size: Height and width of slices.
        margin: See `LesionInfilling`.

    Raises:
        UserError: A margin below one pixel, or a window that is smaller than the region may be or
            larger than the slice.
    """
    side = image_size if window is None else window
    if margin < 1:
        raise UserError(f"--model.margin is {margin} pixels; it must be 1 or more.")
    if not 2 * margin < side <= image_size:
        raise UserError(
            f"--model.window is {window} pixels; expected more than twice the margin of {margin}, "
            f"and at most the {image_size} px of the slices."
        )
    return side


def window_of(region: Pixels, side: int) -> Window:
    """A square of `side` pixels around the middle of a region, moved so that it lies in the image.

    Args:
        region: (H, W), not empty.
        side: At most H and W.
    """
    edges = []
    for span, length in zip(box_of(region), region.shape, strict=True):
        start = (span.start + span.stop - side) // 2
        start = min(max(start, 0), length - side)
        edges.append(slice(start, start + side))
    return edges[0], edges[1]


def windows_of(regions: Tensor, side: int) -> list[Window]:
    """The window around each region (N, H, W), bool.

    Raises:
        ValueError: A region without a pixel, or larger than the window.
    """
    squares = [window_of(one, side) for one in regions.cpu().numpy()]
    for square, pixels in zip(squares, regions, strict=True):
        if pixels[square].sum() != pixels.sum():
            raise ValueError(f"infill: a region is larger than the window of {side} px.")
    return squares


def cut(tensor: Tensor, squares: list[Window]) -> Tensor:
    """The window of each image of (N, ..., H, W): (N, ..., h, w)."""
    return torch.stack([one[..., r, c] for one, (r, c) in zip(tensor, squares, strict=True)])


def put_back(painted: Tensor, image: Tensor, region: Tensor, squares: list[Window]) -> Tensor:
    """Images with what was painted in the region of each.

    Args:
        painted: (N, C, h, w) windows.
        image: (N, C, H, W).
        region: (N, H, W) bool, of each image within its window.
        squares: The windows.

    Returns:
        (N, C, H, W) in the format of `image`, and outside of the region its bits.
    """
    result = image.clone()
    for row, (rows, columns) in enumerate(squares):
        result[row, :, rows, columns] = torch.where(
            region[row, rows, columns],
            painted[row].to(image.dtype),
            image[row][:, rows, columns],
        )
    return result
