"""How far slices lie apart: evenly, unevenly by design, or with a hole."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from preparation.volumes.dicom_file import Slice
from preparation.volumes.volume import SkipVolume

# Of the median, or of the smallest distance.
_DOUBLED, _WIDE, _UNEVEN = 0.1, 1.5, 1.1
# Positions that were written with one digit make even distances differ by so much.
_ROUNDED_MM = 0.1 + 1e-6
_SAME_PLACE_MM = 1e-3
# So many wide distances are no accident, where slices have no numbers that could tell.
_BY_DESIGN = 3


def extents_of(
    slices: Sequence[Slice], name: str, variable: bool, unread: Sequence[str] = ()
) -> tuple[float | None, list[float] | None, list[str]]:
    """The usual distance of neighbours, the extent of each slice, and what to say of both.

    Args:
        slices: From head to feet.
        name: Of the series.
        variable: Accept slices that lie unevenly apart.
        unread: Files of the folder that hold no slice that can be read.

    Returns:
        The median distance in mm, None for a single slice; the extent of each slice where
        distances differ and `variable` is set, else None; sentences.

    Raises:
        SkipVolume: A doubled or missing slice, or uneven distances that nobody accepted.
    """
    if len(slices) < 2:
        return None, None, []
    gaps = -np.diff([s.position_mm for s in slices])
    typical = float(np.median(gaps))
    _check_doubled(slices, gaps, name, _SAME_PLACE_MM if variable else _DOUBLED * typical)
    wide = gaps > _WIDE * typical
    range_mm = f"{gaps.min():.2f} to {gaps.max():.2f} mm apart"
    uneven = gaps.max() > _UNEVEN * gaps.min()
    if not uneven or gaps.max() - gaps.min() <= _ROUNDED_MM:
        said = f"{name}: its slices lie {range_mm}; read as {typical:.2f} mm."
        return round(typical, 6), None, [said] if uneven else []
    hole = _hole(slices, wide)
    if hole is None and not variable and _numbers(slices) is None and 0 < wide.sum() < _BY_DESIGN:
        hole = int(np.flatnonzero(wide)[0])
    if hole is not None:
        above, below = slices[hole : hole + 2]
        raise SkipVolume(
            name,
            f"lacks {max(1, round(gaps[hole] / typical) - 1)} slice(s) between {above.name} "
            f"({above.position_mm:.2f} mm) and {below.name} ({below.position_mm:.2f} mm); "
            f"the other slices are {typical:.2f} mm apart.{perhaps(unread)} Left out; export the "
            "series again.",
        )
    if not variable:
        numbered = ", and are numbered without a gap" if _numbers(slices) is not None else ""
        raise SkipVolume(
            name,
            f"has slices that are {range_mm}{numbered}: the spacing may be by design, or slices "
            "may be missing. Left out; if it is by design, pass --variable-spacing.",
        )
    # Half of the way to each neighbour; at the ends the whole way to the only one.
    ways = np.concatenate([gaps[:1], gaps, gaps[-1:]])
    extents = [round(float(v), 6) for v in (ways[:-1] + ways[1:]) / 2]
    said = f"{name}: its slices are {range_mm}; used, as --variable-spacing says."
    return round(typical, 6), extents, [said]


def perhaps(unread: Sequence[str]) -> str:
    """A sentence, after a space, on files that may be the slices that are missing; "" for none."""
    if not unread:
        return ""
    shown = ", ".join(unread[:3]) + (f" and {len(unread) - 3} more" if len(unread) > 3 else "")
    return f" It may be there, but damaged: {shown} cannot be read as a slice."


def _check_doubled(
    slices: Sequence[Slice], gaps: NDArray[np.float64], name: str, limit: float
) -> None:
    for i in np.flatnonzero(gaps < max(_SAME_PLACE_MM, limit)).tolist():
        above, below = slices[i : i + 2]
        raise SkipVolume(
            name,
            f"has a doubled slice: {above.name} and {below.name} are both at "
            f"{above.position_mm:.2f} mm. Left out; remove one of the two files and run the "
            "command again.",
        )


def _numbers(slices: Sequence[Slice]) -> list[int] | None:
    """InstanceNumber of each slice; None where they do not tell neighbours apart."""
    try:
        numbers = [int(s.header.InstanceNumber) for s in slices]
    except (AttributeError, TypeError, ValueError):
        return None
    return numbers if len(set(numbers)) == len(numbers) else None


def _hole(slices: Sequence[Slice], wide: NDArray[np.bool_]) -> int | None:
    """Where a wide distance goes with a gap in the numbers of the slices."""
    numbers = _numbers(slices)
    if numbers is None:
        return None
    steps = np.abs(np.diff(numbers))
    holes = np.flatnonzero(wide & (steps > steps.min()))
    return int(holes[0]) if len(holes) else None
