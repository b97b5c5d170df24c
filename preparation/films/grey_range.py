"""Which values of a film of more than 8 bits are black and white, where nothing tells."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Share of the pixels, at each end, that may be something else than the picture.
_SHARE = 0.02
# The same where they all have one value, as the pixels of a frame or a box have.
_SHARE_OF_ONE_VALUE = 0.5
# Widths of the middle range.
_GAP, _FAR = 0.5, 3.0
# Share of its range that the middle half of the pixels of a film spreads over, at least.
_LOW_CONTRAST = 0.05


class GreyRange(NamedTuple):
    """What becomes black and what white.

    Attributes:
        low, high: In the film's own values.
        clipped: Whether values of the film lie outside.
        low_contrast: Whether the middle half of the pixels spreads over less than 5 % of it, as
            where something that is not of the film still rules it.
    """

    low: float
    high: float
    clipped: bool
    low_contrast: bool

    @property
    def name(self) -> str:
        """As the column `window` has it."""
        return f"range {self.low:g} to {self.high:g}" if self.clipped else "own range"

    @property
    def suspicions(self) -> tuple[str, ...]:
        """Of `outliers_clipped` and `low_contrast`."""
        told = {"outliers_clipped": self.clipped, "low_contrast": self.low_contrast}
        return tuple(name for name, holds in told.items() if holds)


def grey_range(values: NDArray[Any], counts: NDArray[np.int64]) -> GreyRange:
    """The film's lowest and highest value, without a few that would rule all others.

    A hot pixel or a marker burnt into a film of 12 bits, at 65,535, would leave the film a
    sixteenth of the grey levels. So, of the 2 % of the pixels at each end, those are left outside,
    to be shown black or white, that lie beyond a gap without any pixel, half as wide as the range
    of the middle 96 %; or, where many such pixels leave no gap, three times as far out as this
    range is wide.

    A frame, a box or the collimator's shadow has one exact value and covers more. The lowest and
    the highest value are left outside too if at most half of the pixels have it and it lies beyond
    such a gap from the range of all others.

    No range of 1,650 real chest films (ChestX-ray14, and every fourth of Kermany et al.) and of
    eleven in DICOM is narrowed by any of it. Their widest gap is 0.23 of the middle range; the
    longest tail, of a film whose corners nothing shaded, has no gap and is 1.7 times as wide. The
    middle half of their pixels spreads over 10 % of the range or more.

    Args:
        values: (N,) distinct values in ascending order.
        counts: (N,) pixels of each, 1 or more.
    """
    values = values.astype(np.float64)  # of 16 bits, differences would wrap round
    low, high = float(values[0]), float(values[-1])
    share = counts[[0, -1]] / counts.sum()
    may_be_frame = (share > _SHARE) & (share <= _SHARE_OF_ONE_VALUE)
    if len(values) > 3 and may_be_frame.any():
        first, stop = int(may_be_frame[0]), len(values) - int(may_be_frame[1])
        others = _without_few(values[first:stop], counts[first:stop])
        gaps = np.array([others.low - low, high - others.high])
        is_frame = may_be_frame & (gaps > _GAP * others.width) & (others.width > 0)
        values = values[int(is_frame[0]) : len(values) - int(is_frame[1])]
        counts = counts[int(is_frame[0]) : len(counts) - int(is_frame[1])]
    found = _without_few(values, counts)
    first, final = np.searchsorted(np.cumsum(counts), (0.25 * counts.sum(), 0.75 * counts.sum()))
    half = values[final] - values[first]
    return GreyRange(
        found.low,
        found.high,
        clipped=(found.low, found.high) != (low, high),
        low_contrast=bool(0 < half < _LOW_CONTRAST * (found.high - found.low)),
    )


class _Range(NamedTuple):
    """From where to where values go, and how wide the range of the middle 96 % is."""

    low: float
    high: float
    width: float


def _without_few(values: NDArray[np.float64], counts: NDArray[np.int64]) -> _Range:
    """The range without at most 2 % of the pixels at each end."""
    up_to = np.cumsum(counts) / counts.sum()
    first, final = np.searchsorted(up_to, (_SHARE, 1 - _SHARE)).clip(max=len(values) - 1)
    width = float(values[final] - values[first])
    if width == 0:  # where nearly all pixels are equal, the others are the picture
        return _Range(float(values[0]), float(values[-1]), width)
    lowest = -_last_inside(-values[first::-1], width)
    return _Range(lowest, _last_inside(values[final:], width), width)


def _last_inside(outwards: NDArray[np.float64], width: float) -> float:
    """The last of ascending values, from where the picture is sure, before what is not of it."""
    far = np.flatnonzero(
        (np.diff(outwards) > _GAP * width) | (outwards[1:] > outwards[0] + _FAR * width)
    )
    return float(outwards[far[0]] if len(far) else outwards[-1])
