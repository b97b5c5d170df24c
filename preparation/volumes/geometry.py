"""Window, pad to a square, resize: from a source slice to a slice of the cache; and how it lies."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from preparation.volumes.volume import AIR_HU

TILT_DEGREES = 1.0
"""From here on slices that lie beside one another are noted."""

_OBLIQUE_DEGREES = 5.0


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


def outline_of(
    shape: tuple[int, int], spacing_mm: tuple[float, float] | None, resample: bool
) -> tuple[float, float]:
    """Return the height and width of a slice in pixels as they shall be.

    Args:
        shape: (H, W) of the source.
        spacing_mm: (row, column) distance of its pixels.
        resample: Make pixels square, as small as they are along the finer axis.
    """
    if not resample or spacing_mm is None or not is_anisotropic(spacing_mm):
        return float(shape[0]), float(shape[1])
    fine = min(spacing_mm)
    return shape[0] * spacing_mm[0] / fine, shape[1] * spacing_mm[1] / fine


def is_anisotropic(spacing_mm: tuple[float, float]) -> bool:
    """Whether pixels are longer along one axis, by more than 1 %."""
    return max(spacing_mm) > 1.01 * min(spacing_mm)


def is_square(outline: tuple[float, float]) -> bool:
    """Whether a slice is as high as wide, to half a pixel."""
    return abs(outline[0] - outline[1]) < 0.5


def padding_to_square(height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return ((top, bottom), (left, right)) that centre a slice in a square."""
    size = max(height, width)
    top, left = (size - height) // 2, (size - width) // 2
    return (top, size - height - top), (left, size - width - left)


def fit_image(
    image: NDArray[Any],
    size: int,
    window: tuple[float, float] | None,
    outline: tuple[float, float] | None = None,
    fill: float = AIR_HU,
) -> NDArray[np.uint8]:
    """Pad to a square, resize, then window.

    Resizing comes before windowing, in the units that average linearly: clipping first would
    make the mean of bone and air depend on the window.

    Args:
        image: (H, W) int16 Hounsfield units, float32 of another unit, or uint8 grey.
        size: Height = width of the result.
        window: (width, centre) in the image's unit; None passes grey values through.
        outline: See `outline_of`; None: (H, W).
        fill: What to pad with, of images with a window.

    Returns:
        (size, size) uint8. Shrinking averages the area that a pixel covers, growing is bilinear.
    """
    fill = 0 if window is None else fill
    height, width = image.shape
    if outline is not None and outline != (height, width):
        side = max(outline)
        shrink = size < min(side * height / outline[0], side * width / outline[1])
        how = Image.Resampling.BOX if shrink else Image.Resampling.BILINEAR
        image = _resampled(image.astype(np.float32), size, outline, fill, how)
    elif height != width:
        image = np.pad(image, padding_to_square(height, width), constant_values=fill)
    if image.shape[0] != size:
        shrink = image.shape[0] > size
        how = Image.Resampling.BOX if shrink else Image.Resampling.BILINEAR
        resizable = Image.fromarray(np.ascontiguousarray(image, dtype=np.float32))
        image = np.asarray(resizable.resize((size, size), how))
    if window is None:
        return np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return window_to_uint8(image, *window)


def fit_mask(
    mask: NDArray[np.uint8], size: int, outline: tuple[float, float] | None = None
) -> NDArray[np.uint8]:
    """Pad to a square with background and resize by nearest neighbour: (size, size) uint8."""
    height, width = mask.shape
    if outline is not None and outline != (height, width):
        mask = _resampled(mask, size, outline, 0, Image.Resampling.NEAREST)
    elif height != width:
        mask = np.pad(mask, padding_to_square(height, width), constant_values=0)
    if mask.shape[0] != size:
        resizable = Image.fromarray(np.ascontiguousarray(mask))
        mask = np.asarray(resizable.resize((size, size), Image.Resampling.NEAREST))
    return np.ascontiguousarray(mask)


def _resampled(
    array: NDArray[Any],
    size: int,
    outline: tuple[float, float],
    fill: float,
    how: Image.Resampling,
) -> NDArray[Any]:
    """One step from pixels of any shape to a square of square ones, the slice in its middle."""
    side = max(outline)
    # Of the source's pixels, along each axis, what the square covers.
    covered = [side * n / length for n, length in zip(array.shape, outline, strict=True)]
    pads = [max(0, math.ceil((c - n) / 2)) for c, n in zip(covered, array.shape, strict=True)]
    padded = np.pad(array, [(pad, pad) for pad in pads], constant_values=fill)
    (top, bottom), (left, right) = (
        ((n - c) / 2, (n + c) / 2) for n, c in zip(padded.shape, covered, strict=True)
    )
    resizable = Image.fromarray(np.ascontiguousarray(padded))
    return np.asarray(resizable.resize((size, size), how, box=(left, top, right, bottom)))


def fitted_spacing(
    spacing_mm: tuple[float, float] | None,
    slice_shape: tuple[int, int],
    size: int,
    outline: tuple[float, float] | None = None,
) -> tuple[float, float] | None:
    """Return the (row, column) spacing after padding and resizing."""
    if spacing_mm is None:
        return None
    if outline is not None and outline != slice_shape:
        side = round(max(outline) * min(spacing_mm) / size, 6)
        return side, side
    factor = max(slice_shape) / size
    return (round(spacing_mm[0] * factor, 6), round(spacing_mm[1] * factor, 6))


def degrees_between(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Angle of two directions, whichever way either points, in [0, 90]."""
    cosine = abs(float(a @ b)) / float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.degrees(np.arccos(np.clip(cosine, 0, 1))))


def oblique_notes(normal: NDArray[np.float64], name: str) -> list[str]:
    """A sentence on slices that are turned out of the axial plane; none on others.

    Args:
        normal: Across the slices, in the patient's x, y, z.
        name: What the volume is called.
    """
    oblique = degrees_between(normal, np.array([0.0, 0.0, 1.0]))
    if oblique > _OBLIQUE_DEGREES:
        return [
            f"{name}: its slices are turned by {oblique:.1f} degrees out of the axial plane. They "
            "are used as they lie."
        ]
    return []
