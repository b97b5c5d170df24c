"""Which Hounsfield units the greys of a cache stand for, and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Air in scanners' files, below which no CT number lies unless a window reaches there.
_AIR_HU = -1024


@dataclass(frozen=True)
class GreyScale:
    """A window: grey 0 is `center_hu` - `width_hu` / 2, grey 255 is `center_hu` + `width_hu` / 2.

    Values are stored as whole numbers, by a slope and an intercept as DICOM and NIfTI have them.
    Whole HU tell 256 greys apart if the window is at least 256 HU wide; of a narrower one the greys
    themselves are stored, with the slope of the window. So every grey comes back.
    """

    width_hu: float
    center_hu: float

    @classmethod
    def of_plain(cls, window: Mapping[str, Any] | None) -> "GreyScale | None":
        """From a manifest's or a record's `window`; None where grey values have no HU.

        Raises:
            ValueError: It is no window.
        """
        if window is None:
            return None
        try:
            scale = cls(float(window["width_hu"]), float(window["center_hu"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"window {str(window)[:80]}") from error
        if not (np.isfinite([scale.width_hu, scale.center_hu]).all() and scale.width_hu > 0):
            raise ValueError(f"window {str(window)[:80]}")
        return scale

    @property
    def low_hu(self) -> float:
        """What grey 0 stands for."""
        return self.center_hu - self.width_hu / 2

    @property
    def in_whole_hu(self) -> bool:
        """Whether whole HU are stored, and not greys."""
        return self.width_hu >= 256

    @property
    def slope(self) -> float:
        """HU per stored value."""
        return 1.0 if self.in_whole_hu else self.width_hu / 255

    @property
    def intercept(self) -> float:
        """HU of the stored value 0."""
        return float(min(_AIR_HU, np.floor(self.low_hu))) if self.in_whole_hu else self.low_hu

    def stored(self, grey: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """Greys as stored values, >= 0."""
        hu = self.low_hu + grey.astype(np.float64) * self.width_hu / 255
        return np.rint((hu - self.intercept) / self.slope).astype(np.uint16)

    def hounsfield(self, stored: NDArray[Any]) -> NDArray[np.float64]:
        """Stored values in HU."""
        hu: NDArray[np.float64] = stored * self.slope + self.intercept
        return hu

    def grey(self, hu: NDArray[Any]) -> NDArray[np.uint8]:
        """HU as greys; what lies outside the window is black or white."""
        scaled = (hu.astype(np.float64) - self.low_hu) * 255 / self.width_hu
        return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
