"""From the values that a DICOM film stores to grey as a person should see it.

Modality LUT, then VOI LUT or window, then MONOCHROME1 inverted. All of it is a function of the
stored value, so it is worked out once for each of the (at most 65,536) values and looked up for
the pixels: a film of 10 million pixels needs no arrays of 64-bit numbers on the way.

pydicom's `apply_modality_lut` and `apply_voi` are not used: they raise for tables of 12 bits, and
wrap the index round in tables of 8 bits. Its `apply_windowing` maps to the stored range and not to
[0, 1]; the tests compare with it.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from preparation.films.dicom.header import numbers, photometric, text, whole
from preparation.films.film import RejectedFilm
from preparation.films.grey_range import grey_range

Values = NDArray[np.float64]
# A window is believed if it leaves this share of the pixels between black and white, and this
# standard deviation of grey. Films have about 0.9 and 0.2.
_MIN_SHARE_BETWEEN = 0.05
_MIN_CONTRAST = 0.02
_PIXELS_PER_BLOCK = 1 << 22


class Shown(NamedTuple):
    """A film as it should be looked at.

    Attributes:
        pixels: (H, W) float32 in [0, 1], black is 0.
        window: `<centre>/<width>`, `VOI LUT`, `own range` or `range <low> to <high>`.
        suspicions: Of `rescale_ignored`, `window_ignored`, `outliers_clipped`,
            `low_contrast`, `polarity_contradicts`.
    """

    pixels: NDArray[np.float32]
    window: str
    suspicions: tuple[str, ...]


class _Window(NamedTuple):
    """A way to show the film: its name, and the grey in [0, 1] of every value."""

    name: str
    grey: Values


def show(stored: NDArray[Any], header: Any) -> Shown:
    """Apply what the header says about grey to stored pixels.

    A rescale or window that makes no sense (no numbers, no width, a picture that is all but
    constant) is left out and said so. Without a window, 8-bit films keep their scale, and deeper
    ones are stretched over their `grey_range`. Padding is shown black.

    A PresentationLUTShape of INVERSE says what MONOCHROME1 says, so films that have either, or
    both, are inverted, once. Where the two contradict each other, that is said: the standard allows
    neither INVERSE beside MONOCHROME2 nor IDENTITY beside MONOCHROME1.

    Source: DICOM PS3.3 C.8.11.3.1.2 and C.11.6.1.2.

    Args:
        stored: (H, W) pixels of 8 or 16 bits, signed or not.
        header: Dataset with the attributes of `dicom_header.TAGS`.

    Raises:
        RejectedFilm: `constant`, if the film has only one value besides padding.
    """
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    bits = stored.view(f"u{stored.dtype.itemsize}")
    # Every value that the type can hold, in the order of its bits: bits are then indices.
    every = np.arange(256**stored.dtype.itemsize).astype(bits.dtype).view(stored.dtype)
    padding = _padding(every, header)
    counts = np.where(padding, 0, _count(bits, len(every)))
    if np.count_nonzero(counts) < 2:
        raise RejectedFilm("constant", "All pixels have the same value.")
    rescaled, suspicions = _rescale(every.astype(np.float64), counts, header)
    believed = (w for w in _windows(rescaled, header) if _leaves_a_picture(w.grey, counts))
    window = next(believed, None)
    if window is None:
        window, of_range = _own_range(rescaled, every, counts, header)
        suspicions += ("window_ignored",) if _has_window(header) else ()
        suspicions += of_range
    grey = window.grey
    monochrome1 = photometric(header) == "MONOCHROME1"
    shape = text(header, "PresentationLUTShape").upper()
    if monochrome1 or shape == "INVERSE":
        grey = 1 - grey
    if shape == ("IDENTITY" if monochrome1 else "INVERSE"):
        suspicions += ("polarity_contradicts",)
    table = np.where(padding, 0, grey).astype(np.float32)
    return Shown(table[bits], window.name, suspicions)


def _count(bits: NDArray[Any], size: int) -> NDArray[np.int64]:
    """How many pixels have each value; in blocks, since bincount widens its input to 64 bits."""
    flat = bits.ravel()
    counts = np.zeros(size, np.int64)
    for start in range(0, flat.size, _PIXELS_PER_BLOCK):
        counts += np.bincount(flat[start : start + _PIXELS_PER_BLOCK], minlength=size)
    return counts


def _padding(every: NDArray[Any], header: Any) -> NDArray[np.bool_]:
    """Which values mark pixels that are no part of the picture."""
    value, limit = whole(header, "PixelPaddingValue"), whole(header, "PixelPaddingRangeLimit")
    if value is None:
        return np.zeros(len(every), dtype=bool)
    # A signed film's padding may be written as an unsigned number, and the other way round.
    first = int(every[value % len(every)])
    last = first if limit is None else int(every[limit % len(every)])
    return np.asarray((every >= min(first, last)) & (every <= max(first, last)))


def _rescale(
    every: Values, counts: NDArray[np.int64], header: Any
) -> tuple[Values, tuple[str, ...]]:
    """Apply the modality LUT, or slope and intercept."""
    if header.get("ModalityLUTSequence"):
        table = _table(header, "ModalityLUTSequence")
        if table is None or np.ptp(_look_up(every[counts > 0], *table)) == 0:
            return every, ("rescale_ignored",)
        return _look_up(every, *table), ()
    slope, intercept = numbers(header, "RescaleSlope"), numbers(header, "RescaleIntercept")
    if not slope and not intercept:
        return every, ()
    rescaled = every * (slope or [1.0])[0] + (intercept or [0.0])[0]
    if not np.isfinite(np.ptp(rescaled)) or np.any(rescaled[1:] == rescaled[:-1]):
        return every, ("rescale_ignored",)
    return rescaled, ()


def _has_window(header: Any) -> bool:
    return bool(header.get("VOILUTSequence")) or bool(numbers(header, "WindowWidth"))


def _windows(rescaled: Values, header: Any) -> Iterator[_Window]:
    """Yield what the header offers, the best first.

    Several windows are alternatives; the first is the one that the maker shows first.

    Source: DICOM PS3.3 C.11.2.1. The table of a VOI LUT is scaled by its own lowest and highest
    entry, since descriptors that name more bits than the entries use would darken the film.
    """
    table = _table(header, "VOILUTSequence")
    if table:
        entries, first = table
        grey = (entries - entries.min()) / np.ptp(entries)
        yield _Window("VOI LUT", _look_up(rescaled, grey, first))
    centres, widths = numbers(header, "WindowCenter"), numbers(header, "WindowWidth")
    if not centres or not widths or not math.isfinite(centres[0]) or not 0 < widths[0] < math.inf:
        return
    centre, width = centres[0], widths[0]
    name = f"{centre:g}/{width:g}"
    function = text(header, "VOILUTFunction").upper() or "LINEAR"
    if function == "LINEAR" and width > 1:
        yield _Window(name, np.clip((rescaled - (centre - 0.5)) / (width - 1) + 0.5, 0, 1))
    elif function == "LINEAR_EXACT":
        yield _Window(f"{name} {function}", np.clip((rescaled - centre) / width + 0.5, 0, 1))
    elif function == "SIGMOID":
        # tanh form of 1 / (1 + exp(-4 (x - c) / w)), which cannot overflow.
        grey = 0.5 + 0.5 * np.tanh(2 * (rescaled - centre) / width)
        yield _Window(f"{name} {function}", grey)


def _leaves_a_picture(grey: Values, counts: NDArray[np.int64]) -> bool:
    weights = counts / counts.sum()
    contrast = math.sqrt(float(np.sum(weights * (grey - np.sum(weights * grey)) ** 2)))
    between = float(np.sum(weights[(grey > 0.005) & (grey < 0.995)]))
    return contrast >= _MIN_CONTRAST and between >= _MIN_SHARE_BETWEEN


def _own_range(
    rescaled: Values, every: NDArray[Any], counts: NDArray[np.int64], header: Any
) -> tuple[_Window, tuple[str, ...]]:
    """Grey by the stored range of an 8-bit film, else by the film's, and what is wrong with it."""
    used, weights = counts > 0, counts
    if whole(header, "BitsStored") == 8:
        low = -128 if every.dtype.kind == "i" else 0
        stored_range = (every >= low) & (every <= low + 255)
        if not np.any(used & ~stored_range):
            used, weights = stored_range, np.ones_like(counts)
    order = np.argsort(rescaled[used], kind="stable")
    found = grey_range(rescaled[used][order], weights[used][order])
    grey = np.clip((rescaled - found.low) / (found.high - found.low), 0, 1)
    return _Window(found.name, grey), found.suspicions


def _table(header: Any, tag: str) -> tuple[Values, int] | None:
    """Entries of a LUT sequence's first table and the value that the first one is for.

    None where the table makes no sense.
    """
    try:
        item = header.get(tag)[0]
        num_entries, first, _ = (int(v) for v in item.LUTDescriptor)
        data = item.LUTData
        num_entries = num_entries % 65536 or 65536
        if isinstance(data, bytes):
            wide = len(data) >= 2 * num_entries
            order = "<" if header.file_meta.TransferSyntaxUID.is_little_endian else ">"
            entries = np.frombuffer(data, f"{order}u2" if wide else np.uint8)
        else:
            entries = np.asarray(data)
        entries = entries[:num_entries].astype(np.float64)
    except Exception:  # sequences are parsed when they are first used, and may be damaged
        return None
    if len(entries) != num_entries or np.ptp(entries) == 0:
        return None
    if whole(header, "PixelRepresentation") == 1 and first > 32767:
        first -= 65536  # a negative number, written as an unsigned one
    return entries, first


def _look_up(values: Values, entries: Values, first: int) -> Values:
    """Values below the first entry take the first, those beyond the last take the last.

    Source: DICOM PS3.3 C.11.1.1 and C.11.2.1.1.
    """
    return entries[np.clip(np.rint(values) - first, 0, len(entries) - 1).astype(np.int64)]
