"""The colours of classes: label maps, and overlays on slices."""

import numpy as np
from numpy.typing import NDArray

ImageArray = NDArray[np.uint8]

# Okabe and Ito 2008: told apart with every common colour blindness. The first two stand out on
# grey tissue.
CLASS_COLOURS: tuple[tuple[int, int, int], ...] = (
    (0, 0, 0),  # background, never drawn on an overlay
    (86, 180, 233),  # label 1, such as kidney: sky blue
    (240, 140, 0),  # label 2, such as tumour: orange
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
)


def colour_of(label: int) -> tuple[int, int, int]:
    """RGB of one class, 0..255; labels past the palette have its colours paler, then darker.

    From the fourth round on they repeat: nobody tells so many apart.
    """
    if label <= 0:
        return CLASS_COLOURS[0]
    again, place = divmod(label - 1, len(CLASS_COLOURS) - 1)
    towards, share = ((0, 0.0), (255, 0.5), (0, 0.45))[again % 3]
    red, green, blue = (
        round(level + share * (towards - level)) for level in CLASS_COLOURS[1 + place]
    )
    return red, green, blue


def colour_mask(mask: NDArray[np.integer]) -> ImageArray:
    """Label map as colours.

    Args:
        mask: (H, W) integer labels, 0 = background (black).

    Returns:
        (H, W, 3) uint8.
    """
    labels = _label_map(mask)
    palette = np.array([colour_of(label) for label in range(int(labels.max(initial=0)) + 1)])
    return palette.astype(np.uint8)[labels]


def overlay(
    image: ImageArray, mask: NDArray[np.integer], opacity: float = 0.45, contour: int = 0
) -> ImageArray:
    """Slice with its classes in colour; the background keeps its grey.

    Args:
        image: (H, W) uint8 grey.
        mask: (H, W) integer labels, 0 = background.
        opacity: 0..1 of the colour inside a class. With a contour, 0 leaves the tissue itself
            visible.
        contour: thickness in pixels of an opaque line just inside each class; 0 draws none.

    Returns:
        (H, W, 3) uint8.
    """
    labels = _label_map(mask)
    if image.shape != labels.shape or image.dtype != np.uint8:
        raise ValueError(
            f"overlay: image is {image.dtype} {image.shape}, expected uint8 of the mask's shape "
            f"{labels.shape}."
        )
    grey = np.repeat(image[:, :, None], 3, axis=2).astype(np.float32)
    colours = colour_mask(labels).astype(np.float32)
    weight = np.where(labels > 0, opacity, 0.0).astype(np.float32)
    if contour > 0:
        weight[_inner_edge(labels, contour)] = 1.0
    mixed = grey + weight[:, :, None] * (colours - grey)
    return np.rint(mixed).clip(0, 255).astype(np.uint8)


def _label_map(mask: NDArray[np.integer]) -> NDArray[np.integer]:
    labels = np.asarray(mask)
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"Mask is {labels.dtype} {labels.shape}, expected integer labels (H, W).")
    if labels.size and int(labels.min()) < 0:
        raise ValueError(f"Mask holds label {int(labels.min())}, expected labels from 0.")
    return labels


def _inner_edge(labels: NDArray[np.integer], thickness: int) -> NDArray[np.bool_]:
    """(H, W) True where a foreground pixel has another label `thickness` steps or nearer."""
    edge = np.zeros(labels.shape, dtype=bool)
    # By zeros: a class that the image's border cuts off gets its line there too.
    padded = np.pad(labels, thickness)
    height, width = labels.shape
    for step in range(1, thickness + 1):
        for down, right in ((step, 0), (-step, 0), (0, step), (0, -step)):
            top, left = thickness + down, thickness + right
            edge |= padded[top : top + height, left : left + width] != labels
    return edge & (labels > 0)
