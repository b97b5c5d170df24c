"""Tensors as the images that a file holds, and a batch of them as a sheet."""

import torch
from torch import Tensor

from display.colours import ImageArray, colour_mask, overlay
from display.sheet import sheet


def render(columns: dict[str, Tensor]) -> ImageArray:
    """One row per image, one column per entry.

    Args:
        columns: Float tensors (N, C, H, W) in [-1, 1] are images, grey or colour, of other numbers
            of channels the first alone; integer tensors (N, H, W) are label maps, drawn over the
            first channel of the entry "image" if there is one, else as colours.

    Returns:
        (H', W', 3) uint8.
    """
    base = columns["image"][:, :1] if "image" in columns else None
    drawn = {}
    for title, tensor in columns.items():
        if tensor.is_floating_point():
            drawn[title] = list(image_arrays(tensor if tensor.shape[1] == 3 else tensor[:, :1]))
        elif base is not None:
            masks = tensor.cpu().numpy()
            drawn[title] = [
                overlay(image, mask) for image, mask in zip(image_arrays(base), masks, strict=True)
            ]
        else:
            drawn[title] = [colour_mask(mask) for mask in tensor.cpu().numpy()]
    rows = list(zip(*drawn.values(), strict=True))
    return sheet(rows, column_titles=list(drawn), cell_size=160)


def image_arrays(images: Tensor) -> ImageArray:
    """Images as what a file holds: 8 bits, rounded, what is out of range clipped.

    Args:
        images: (N, C, H, W) in [-1, 1], 1 channel of grey, 3 of colour.

    Returns:
        (N, H, W) of one channel, else (N, H, W, C) uint8.
    """
    levels = ((images.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    arrays: ImageArray = levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return arrays[..., 0] if arrays.shape[-1] == 1 else arrays
