"""Sheets of suspicious images beside the real image that each may be a copy of.

They show patients, and stay with the data.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from audit.images import Images
from audit.matching import REGIONS, Matches
from audit.transforms import warp
from display.colours import ImageArray
from display.sheet import sheet

_ENLARGED = 3
REGION_NAMES = ("whole", "upper left", "upper right", "lower left", "lower right")


@dataclass(frozen=True)
class Pair:
    """One image, and the real one that lies on it best.

    Attributes:
        query: Row of the image.
        source: Row of the training image.
        region: Index into `REGIONS`: where it lies best.
        correlation: There.
        drawn: The image, the real one as it was laid on it, and what is left between the two.
    """

    query: int
    source: int
    region: int
    correlation: float
    drawn: tuple[ImageArray, ImageArray, ImageArray]


def pair_of(query: int, region: int, images: Tensor, training: Tensor, found: Matches) -> Pair:
    """Lay the training image on the whole of a query as it lies on a region of it best.

    Args:
        query: Row of `images` (N, 1, S, S) uint8 and of `found`.
        region: Index into `REGIONS`.
        images: The queries.
        training: (M, 1, S, S) uint8.
        found: Of the queries.
    """
    source = int(found.source[query, region])
    motion = found.motion[query, region].double().cpu()
    side, x, y = REGIONS[region]
    # A place v of the whole query is the place (v - centre) / side of its region.
    turned = motion[:, :2] / side
    offset = motion[:, 2] - turned @ torch.tensor([x, y], dtype=torch.float64)
    real = training[source][None].cpu().double() / 255
    if bool(found.negative[query, region]):
        real = 1 - real
    moved = warp(real, torch.cat([turned, offset[:, None]], 1)[None])[0, 0].numpy()
    image = (images[query][0].cpu().double() / 255).numpy()
    rows, columns = _inside(image.shape[0], region)
    slope, level = _fitted(moved[rows, columns].ravel(), image[rows, columns].ravel())
    fitted = (slope * moved + level).clip(0, 1)
    drawn = (image, fitted, (2 * np.abs(image - fitted)).clip(0, 1))
    levels = [np.rint(255 * one).astype(np.uint8) for one in drawn]
    correlation = float(found.correlation[query, region])
    return Pair(query, source, region, correlation, (levels[0], levels[1], levels[2]))


def pair_sheet(pairs: Sequence[Pair], images: Images, scores: Sequence[float]) -> ImageArray:
    """A row for each pair, with its score; the caption says that it shows patients.

    Args:
        pairs: At least one.
        images: The queries, for their names.
        scores: (N,) of the queries.
    """
    big = [[one.repeat(_ENLARGED, 0).repeat(_ENLARGED, 1) for one in pair.drawn] for pair in pairs]
    titles = [
        f"{images.ids[pair.query]}\nscore {scores[pair.query]:.1f}\n"
        f"{REGION_NAMES[pair.region]}: r = {pair.correlation:.3f}"
        for pair in pairs
    ]
    return sheet(
        big,
        titles,
        ["image", "real training image, laid on it", "difference, doubled"],
        caption="SHOWS REAL IMAGES OF PATIENTS: stays with the data, and is not handed on. The "
        "training image was moved, turned, mirrored or inverted, and brought to the image's "
        "brightness and contrast, as it fits best.",
    )


def _inside(size: int, region: int) -> tuple[slice, slice]:
    """Rows and columns of a region."""
    side, x, y = REGIONS[region]
    reach = int(size * side)
    left, top = (round(size * (1 + centre - side) / 2) for centre in (x, y))
    return slice(top, top + reach), slice(left, left + reach)


def _fitted(moved: np.ndarray, image: np.ndarray) -> tuple[float, float]:
    """Slope and level that bring `moved` nearest to `image`."""
    variance = float(moved.var())
    slope = float(((moved - moved.mean()) * (image - image.mean())).mean()) / max(variance, 1e-9)
    return slope, float(image.mean() - slope * moved.mean())
