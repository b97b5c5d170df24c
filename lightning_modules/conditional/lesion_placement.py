"""Where a lesion goes: shapes of real lesions, moved into an organ that has none there.

All randomness comes in as a generator, so that a place can be drawn again from its seed.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from provenance import UserError

Pixels = NDArray[np.bool_]
Labels = NDArray[np.integer]

SMALLEST = 12  # pixels of a shape or a part of an organ: below, there is no shape
_SHRINK = 0.85  # of the area, from try to try


@dataclass(frozen=True)
class Placing:
    """How shapes of lesions are put into an organ.

    Args:
        smallest: Area of a lesion, as a share of the organ's part that it is put into: the size is
            drawn evenly from `smallest` to `largest`, whatever that of the shape was.
        largest: Likewise. A size for which there is no place shrinks until there is one.
        inside: Share of the lesion's pixels that must lie in the organ; below 1 it may bulge out.

    Raises:
        UserError: Shares that are none.
    """

    smallest: float = 0.1
    largest: float = 0.6
    inside: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.smallest <= self.largest < math.inf:
            raise UserError(
                f"--model.placing.smallest is {self.smallest} and largest {self.largest}; expected "
                "shares of an organ's area above 0, the smaller one first."
            )
        if not 0 < self.inside <= 1:
            raise UserError(
                f"--model.placing.inside is {self.inside}; expected a share above 0 and up to 1."
            )


def parts_of(pixels: Pixels, smallest: int = SMALLEST) -> list[Pixels]:
    """Connected parts, corners touching, of `smallest` pixels or more, each at the full size."""
    from scipy import ndimage

    numbered, count = ndimage.label(pixels, structure=np.ones((3, 3)))
    sizes = np.bincount(numbered.ravel(), minlength=count + 1)
    return [numbered == part for part in range(1, count + 1) if sizes[part] >= smallest]


def shapes_of(label_maps: Iterable[Labels], lesion: int) -> list[Pixels]:
    """Each connected lesion of label maps (H, W), cut out to its bounding box."""
    return [
        part[box_of(part)] for labels in label_maps for part in parts_of(np.equal(labels, lesion))
    ]


def healthy_parts(labels: Labels, organ: int, lesion: int) -> list[Pixels]:
    """Connected parts of an organ that hold no lesion and touch none: the other kidney, say.

    Args:
        labels: (H, W) label map.
        organ: The organ's label.
        lesion: The lesion's, which is a part of the organ.
    """
    both = np.equal(labels, organ) | np.equal(labels, lesion)
    return [part for part in parts_of(both) if not np.equal(labels[part], lesion).any()]


def placed(
    shape: Pixels, part: Pixels, placing: Placing, random: np.random.Generator
) -> Pixels | None:
    """A shape turned, sized and moved into a part of an organ.

    Args:
        shape: (h, w) of a lesion.
        part: (H, W) pixels of the organ's part.
        placing: Size and how much of it must lie inside.
        random: Draws turn, size and place; every possible place is as likely.

    Returns:
        (H, W) pixels of the lesion; None where none of `SMALLEST` pixels finds a place.
    """
    from scipy.signal import fftconvolve

    shape = np.rot90(shape, int(random.integers(4)))
    if random.integers(2):
        shape = shape[:, ::-1]
    share = random.uniform(placing.smallest, placing.largest)
    wanted = max(share * part.sum(), 2.0 * SMALLEST)
    while True:
        sized = resized(shape, (wanted / shape.sum()) ** 0.5)
        if sized.sum() < SMALLEST:
            return None
        if sized.shape[0] <= part.shape[0] and sized.shape[1] <= part.shape[1]:
            # How many pixels of the shape lie in the part, for its corner at every place.
            counts = fftconvolve(part.astype(float), sized[::-1, ::-1].astype(float), "valid")
            rows, columns = np.nonzero(counts >= placing.inside * sized.sum() - 0.5)
            if len(rows):
                chosen = int(random.integers(len(rows)))
                lesion = np.zeros_like(part)
                top, left = int(rows[chosen]), int(columns[chosen])
                lesion[top : top + sized.shape[0], left : left + sized.shape[1]] = sized
                return lesion
        wanted *= _SHRINK


def resized(shape: Pixels, factor: float) -> Pixels:
    """A shape (h, w) at `factor` times its sides, by the nearest pixel; without empty edges."""
    rows, columns = (
        ((np.arange(max(1, round(side * factor))) + 0.5) / factor).astype(int).clip(0, side - 1)
        for side in shape.shape
    )
    sized = shape[np.ix_(rows, columns)]
    return sized[box_of(sized)] if sized.any() else sized


def dilated(pixels: Pixels, margin: int) -> Pixels:
    """All pixels that are at most `margin` pixels from these (H, W), these included."""
    from scipy import ndimage

    region = np.zeros_like(pixels)
    if not pixels.any():
        return region
    rows, columns = box_of(pixels, margin)
    near = ndimage.distance_transform_edt(~pixels[rows, columns]) <= margin
    region[rows, columns] = near
    return region


def box_of(pixels: Pixels, margin: int = 0) -> tuple[slice, slice]:
    """Bounding box, `margin` pixels wider on each side as far as the image goes."""
    spans = []
    for axis in (1, 0):
        held = np.flatnonzero(pixels.any(axis=axis))
        spans.append(slice(max(int(held[0]) - margin, 0), int(held[-1]) + 1 + margin))
    return spans[0], spans[1]
