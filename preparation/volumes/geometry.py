"""Window, pad to a square, resize: from a source slice to a slice of the cache."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from preparation.volumes.volume import AIR_HU


def window_to_uint8(hu: NDArray[Any], width_hu: float, center_hu: float) -> NDArray[np.uint8]:
    """Map a window of Hounsfield units linearly onto 0..255.

    Args:
        hu: Any shape, Hounsfield units.
        width_hu: Width of the window, > 0.
        center_hu: Its middle.

    Returns:
        The same shape, uint8: 0 at and below center - width/2, 255 at and above
        center + width/2, rounded to nearest between.
    """
    low = np.float32(center_hu - width_hu / 2)
    scaled = (hu.astype(np.float32) - low) * np.float32(255.0 / width_hu)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def padding_to_square(height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return ((top, bottom), (left, right)) that centre a slice in a square."""
    size = max(height, width)
    top, left = (size - height) // 2, (size - width) // 2
    return (top, size - height - top), (left, size - width - left)


def fit_image(
    image: NDArray[Any], size: int, window: tuple[float, float] | None
) -> NDArray[np.uint8]:
    """Pad to a square, resize, then window.

    Resizing comes before windowing, in the units that average linearly: clipping first would
    make the mean of bone and air depend on the window.

    Args:
        image: (H, W) int16 Hounsfield units, or uint8 grey.
        size: Height = width of the result.
        window: (width, centre) in HU; None passes grey values through.

    Returns:
        (size, size) uint8. Shrinking averages the area that a pixel covers, growing is bilinear.
    """
    fill = 0 if window is None else AIR_HU
    height, width = image.shape
    if height != width:
        image = np.pad(image, padding_to_square(height, width), constant_values=fill)
    if image.shape[0] != size:
        shrink = image.shape[0] > size
        how = Image.Resampling.BOX if shrink else Image.Resampling.BILINEAR
        resizable = Image.fromarray(np.ascontiguousarray(image, dtype=np.float32))
        image = np.asarray(resizable.resize((size, size), how))
    if window is None:
        return np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return window_to_uint8(image, *window)


def fit_mask(mask: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Pad to a square with background and resize by nearest neighbour: (size, size) uint8."""
    height, width = mask.shape
    if height != width:
        mask = np.pad(mask, padding_to_square(height, width), constant_values=0)
    if mask.shape[0] != size:
        resizable = Image.fromarray(np.ascontiguousarray(mask))
        mask = np.asarray(resizable.resize((size, size), Image.Resampling.NEAREST))
    return np.ascontiguousarray(mask)


def fitted_spacing(
    spacing_mm: tuple[float, float] | None, slice_shape: tuple[int, int], size: int
) -> tuple[float, float] | None:
    """Return the (row, column) spacing after padding and resizing."""
    if spacing_mm is None:
        return None
    factor = max(slice_shape) / size
    return (round(spacing_mm[0] * factor, 6), round(spacing_mm[1] * factor, 6))
