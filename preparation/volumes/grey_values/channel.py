"""One channel of a volume: what it shows, and how its values become 8 bits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (0.5, 99.5)
"""As nnU-Net clips CT; of MRI they are here what becomes black and white."""

CT = "ct"
"""What nnU-Net and the Decathlon call a channel that holds Hounsfield units, in small letters."""

_MOST_VOXELS = 20_000_000  # of which percentiles are taken: beyond them, evenly spread ones


@dataclass(frozen=True)
class Channel:
    """One channel.

    Attributes:
        name: Such as CT, T1 or FLAIR.
        window: (width, centre) in the source's unit, of CT in HU; None: percentiles.
        percentiles: Of each volume's values, which become black and white; None: a window.
    """

    name: str
    window: tuple[float, float] | None
    percentiles: tuple[float, float] | None = None

    @property
    def in_hu(self) -> bool:
        """Whether its values are Hounsfield units, and its greys stand for them."""
        return self.window is not None and self.name.lower() == CT

    def plain(self) -> dict[str, Any]:
        """What settings and manifest say of it."""
        if self.window is not None:
            return {"name": self.name, "width": self.window[0], "center": self.window[1]}
        return {"name": self.name, "percentiles": list(self.percentiles or PERCENTILES)}

    def of_volume(self, values: NDArray[Any]) -> tuple[float, float]:
        """(width, centre) of the window that makes a volume grey.

        Percentiles are those of the voxels that are not 0: outside the body or the brain nothing
        was measured, and how much of that a volume holds shall not change its greys.

        Args:
            values: All voxels of the channel, not all equal.
        """
        if self.window is not None:
            return self.window
        # A stride that shares no factor with a row's length passes through all columns.
        flat = values.reshape(-1)[:: 2 * (values.size // (2 * _MOST_VOXELS)) + 1]
        inside = flat[flat != 0]
        low, high = 0.0, 0.0
        if len(inside):
            low, high = (float(v) for v in np.percentile(inside, self.percentiles or PERCENTILES))
        if not low < high:  # nearly all of them have one value
            low, high = float(values.min()), float(values.max())
        return high - low, (high + low) / 2


def plain(channels: Sequence[Channel]) -> list[dict[str, Any]]:
    """What settings and manifest say of the channels."""
    return [channel.plain() for channel in channels]
