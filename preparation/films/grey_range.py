"""Which values of a film of more than 8 bits are black and white, where nothing tells."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Share of the pixels, at each end, that may be something else than the picture.
_SHARE = 0.02
# Widths of the middle range.
_GAP, _FAR = 0.5, 3.0


class GreyRange(NamedTuple):
    """What becomes black and what white.

    Attributes:
        low, high: In the film's own values.
        clipped: Whether values of the film lie outside.
    """

    low: float
    high: float
    clipped: bool

    @property
    def name(self) -> str:
        """As the column `window` has it."""
        return f"range {self.low:g} to {self.high:g}" if self.clipped else "own range"


def grey_range(values: NDArray[Any], counts: NDArray[np.int64]) -> GreyRange:
    """The film's lowest and highest value, without a few that would rule all others.

    A hot pixel or a marker burnt into a film of 12 bits, at 65,535, would leave the film a
    sixteenth of the grey levels. So, of the 2 % of the pixels at each end, those are left outside,
    to be shown black or white, that lie beyond a gap without any pixel, half as wide as the range
    of the middle 96 %; or, where many such pixels leave no gap, three times as far out as this
    range is wide.

    No range of 1,650 real chest films (ChestX-ray14, and every fourth of Kermany et al.) and of
    eleven in DICOM is narrowed by it. Their widest gap is 0.23 of the middle range; the longest
    tail, of a film whose corners nothing shaded, has no gap and is 1.7 times as wide.

    Args:
        values: (N,) distinct values in ascending order.
        counts: (N,) pixels of each, 1 or more.
    """
    values = values.astype(np.float64)  # of 16 bits, differences would wrap round
    up_to = np.cumsum(counts) / counts.sum()
    first, final = np.searchsorted(up_to, (_SHARE, 1 - _SHARE)).clip(max=len(values) - 1)
    width = values[final] - values[first]
    low, high = float(values[0]), float(values[-1])
    if width == 0:  # where nearly all pixels are equal, the others are the picture
        return GreyRange(low, high, clipped=False)
    lowest = -_last_inside(-values[first::-1], width)
    highest = _last_inside(values[final:], width)
    return GreyRange(lowest, highest, clipped=(lowest, highest) != (low, high))


def _last_inside(outwards: NDArray[np.float64], width: float) -> float:
    """The last of ascending values, from where the picture is sure, before what is not of it."""
    far = np.flatnonzero(
        (np.diff(outwards) > _GAP * width) | (outwards[1:] > outwards[0] + _FAR * width)
    )
    return float(outwards[far[0]] if len(far) else outwards[-1])
