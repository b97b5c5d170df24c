"""The pixels of a DICOM series: Hounsfield units of an image, and what a mask marks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preparation.volumes.dicom_file import Slice, canonical, read_dicom
from preparation.volumes.dicom_series import Series
from preparation.volumes.volume import AIR_HU, MAX_HU, SkipVolume


@dataclass(frozen=True)
class _Stored:
    """The pixels of one slice as they are stored, turned, and what its header does to them."""

    pixels: NDArray[Any]
    slope: float
    intercept: float
    padding: NDArray[np.bool_] | None
    padding_of_header: str  # as written there: a signed one may stand in unsigned pixels

    @property
    def rescaled(self) -> NDArray[np.float64]:
        values: NDArray[np.float64] = self.pixels * self.slope + self.intercept
        return values


def hounsfield_units(series: Series, name: str) -> tuple[NDArray[np.int16], list[str]]:
    """Decode an image: (S, H, W) HU, clipped to [-1024, 3071], and sentences on it.

    Rows run to the back and columns to the left, as KiTS19's do, whatever the file's order. Pixels
    of the padding value that reach the edge of the slice are outside of the field of view: air.

    Raises:
        SkipVolume: Pixels that cannot be decoded, or whose shape is not what the header says.
    """
    image = np.empty((len(series.slices), *series.slices[0].shape), np.int16)
    outside = inside = 0
    values: set[str] = set()
    for row, stored in enumerate(_stored(series)):
        hu = stored.rescaled
        if stored.padding is not None:
            lighter = stored.padding & (hu > AIR_HU)  # the others are air as it is
            if lighter.any():
                edge = _reaches_the_edge(lighter)
                values.add(stored.padding_of_header)
                outside, inside = outside + int(edge.sum()), inside + int((lighter & ~edge).sum())
                hu[edge] = AIR_HU
        image[row] = np.clip(np.rint(hu), AIR_HU, MAX_HU)
    if not outside:
        return image, []
    within = f" {inside:,} pixels of that value lie within the body and keep it." if inside else ""
    return image, [
        f"{name}: {100 * outside / image.size:.1f} % of its pixels hold the padding value of the "
        f"header (PixelPaddingValue {', '.join(sorted(values)[:5])}). They lie outside of the "
        f"field of view and are read as air.{within}"
    ]


def _reaches_the_edge(where: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The regions that touch the edge of a slice: body of that value does not."""
    from scipy.ndimage import label  # here, since prepare.py --help needs none of scipy

    regions, _ = label(where)
    edge = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    touching: NDArray[np.bool_] = np.isin(regions, np.unique(edge[edge > 0]))
    return touching


def marked(series: Series, name: str, structure: str) -> tuple[NDArray[np.bool_], list[str]]:
    """Decode a mask: (S, H, W), what it marks, and sentences on it.

    It marks what is above 0 after rescale. Where nothing is 0 then, though it is as stored, the
    rescale is the image's, which some programs copy, and stored values count. Where nothing is 0
    by either, all would be marked, and it is refused.

    Args:
        series: Of one structure.
        name: Of its folder.
        structure: Its class.

    Raises:
        SkipVolume: As `hounsfield_units`; or it has no background, several values above 0, or went
            through lossy compression.
    """
    lossy = next((s for s in series.slices if s.lossy), None)
    if lossy is not None:
        raise SkipVolume(
            lossy.name,
            "is a mask that went through lossy compression, so it may not be the one that was "
            "drawn. The mask is left out; export it uncompressed.",
        )
    slices = list(_stored(series))
    for stored in slices:
        if stored.padding is not None:
            stored.pixels[_reaches_the_edge(stored.padding & (stored.pixels != 0))] = 0
    lowest = min(float(stored.rescaled.min()) for stored in slices)
    lowest_stored = min(int(stored.pixels.min()) for stored in slices)
    rescaled = lowest == 0
    if not rescaled and lowest_stored != 0:
        raise SkipVolume(
            name,
            f"has values from {lowest:g} on (stored: {lowest_stored}), so it is not known what it "
            "leaves unmarked. Left out; a mask has 0 there.",
        )
    result = np.zeros((len(slices), *series.slices[0].shape), bool)
    found: set[float] = set()
    for row, stored in enumerate(slices):
        values = stored.rescaled if rescaled else stored.pixels
        result[row] = values > 0
        found.update(np.unique(values[result[row]]).tolist())
    if len(found) > 1:
        raise SkipVolume(
            name,
            f"holds the values {', '.join(f'{value:g}' for value in sorted(found)[:5])}, so it "
            f"is a map of several labels, and all would become {structure}. "
            "Left out; a mask folder holds one structure, with one value above 0.",
        )
    if rescaled:
        return result, []
    one = slices[0]
    return result, [
        f"{name}: its header rescales (slope {one.slope:g}, intercept {one.intercept:g}), after "
        "which nothing is 0. Its stored values are used, in which 0 is unmarked."
    ]


def _stored(series: Series) -> Iterator[_Stored]:
    first: _Rescale | None = None
    for one in series.slices:
        try:
            dataset, _ = read_dicom(one.path, pixels=True)
            pixels = dataset.pixel_array  # type: ignore[union-attr]
            rescale = _rescale(dataset)
            limits = _padding_limits(dataset)
            padding = _padding(limits, dataset, pixels)
        except Exception as error:  # decoders raise what they like
            raise SkipVolume(
                one.name,
                f"has pixels that cannot be decoded ({type(error).__name__}, transfer syntax "
                f"{_syntax(one)}). The series is left out; export it again, uncompressed.",
            ) from error
        if pixels.shape != (one.header.Rows, one.header.Columns):
            raise SkipVolume(
                one.name,
                f"decodes to shape {pixels.shape}, its header says "
                f"({one.header.Rows}, {one.header.Columns}). The series is left out.",
            )
        first = first or rescale
        _check_rescale(rescale, one.name, first, series.slices[0].name)
        turned = np.array(canonical(pixels, one.header))
        if padding is not None:
            padding = canonical(padding, one.header)
        written = " to ".join(str(value) for value in dict.fromkeys(limits))
        yield _Stored(turned, *rescale.of_pixels, padding, written)


@dataclass(frozen=True)
class _Rescale:
    """What a header says of how stored values become those that are meant; None where nothing."""

    slope: float | None
    intercept: float | None
    has_table: bool

    @property
    def is_told(self) -> tuple[bool, bool]:
        return self.slope is not None, self.intercept is not None

    @property
    def of_pixels(self) -> tuple[float, float]:
        return 1.0 if self.slope is None else self.slope, self.intercept or 0.0


def _rescale(dataset: Any) -> _Rescale:
    values = [dataset.get(tag) for tag in ("RescaleSlope", "RescaleIntercept")]
    slope, intercept = (None if value in (None, "") else float(value) for value in values)
    return _Rescale(slope, intercept, bool(dataset.get("ModalityLUTSequence")))


def _check_rescale(rescale: _Rescale, name: str, first: _Rescale, name_of_first: str) -> None:
    """Refuse a slice whose values nobody knows: they would be taken for Hounsfield units."""
    if rescale.has_table:
        raise SkipVolume(
            name,
            "gives its values by a table (ModalityLUTSequence), expected RescaleSlope and "
            "RescaleIntercept. The series is left out; export it with these.",
        )
    if not all(np.isfinite(rescale.of_pixels)) or rescale.slope == 0:
        slope, intercept = rescale.of_pixels
        raise SkipVolume(
            name,
            f"has RescaleSlope {slope:g} and RescaleIntercept {intercept:g}, from which no values "
            "follow. The series is left out; export it again.",
        )
    if rescale.is_told != first.is_told:
        told = zip(rescale.is_told, first.is_told, strict=True)
        at = next(at for at, (own, other) in enumerate(told) if own != other)
        tag, own = ("RescaleSlope", "RescaleIntercept")[at], rescale.is_told[at]
        raise SkipVolume(
            name,
            f"has {'a' if own else 'no'} {tag}, but {name_of_first} of the same series has "
            f"{'none' if own else 'one'}, so its values are not on one scale. The series is left "
            "out; export it again.",
        )


def _padding_limits(dataset: Any) -> list[int]:
    """The padding value and, where there is one, the other end of its range; or nothing."""
    value, limit = (dataset.get(f"PixelPadding{end}") for end in ("Value", "RangeLimit"))
    return [] if value is None else [int(one) for one in (value, limit) if one is not None]


def _padding(limits: list[int], dataset: Any, pixels: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Where pixels hold the padding value, or lie between it and the limit; None for nowhere."""
    if not limits:
        return None
    ends = [_as_stored(value, dataset) for value in limits]
    low, high = min(ends), max(ends)
    where: NDArray[np.bool_] = (pixels >= low) & (pixels <= high)
    return where if where.any() else None


def _as_stored(value: int, dataset: Any) -> int:
    """A padding value as pixels hold it, however it was signed: -2000 is 63536 in 16 bits."""
    bits, number = int(dataset.BitsAllocated), value % 2 ** int(dataset.BitsAllocated)
    signed = int(dataset.get("PixelRepresentation") or 0) == 1
    return number - 2**bits if signed and number >= 2 ** (bits - 1) else number


def _syntax(one: Slice) -> str:
    meta = getattr(one.header, "file_meta", None)
    uid = getattr(meta, "TransferSyntaxUID", None)
    return str(uid.name) if uid is not None else "unknown"
