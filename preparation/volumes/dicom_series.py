"""One DICOM series as a sorted list of slices, and its pixels in Hounsfield units.

Order is by position along the slice normal, never by file name or instance number. A series with
a hole or with a slice twice is refused by name: filling it would invent anatomy.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from preparation.volumes.own_names import numbered
from preparation.volumes.volume import SkipVolume

_TAGS = [
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "Modality",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BurnedInAnnotation",
    "TransferSyntaxUID",
]


@dataclass(frozen=True)
class Slice:
    """One file of a series, without its pixels. `position_mm` is along the normal, up = larger.

    `name` is that of the cache, see `own_names`; what DICOM files are called may identify.
    """

    path: Path
    name: str
    position_mm: float
    header: Any


@dataclass
class Series:
    """Slices of one series from head to feet, as KiTS19 runs.

    Attributes:
        slices: In that order.
        choices: (last characters of the SeriesInstanceUID, files) of each series of the folder;
            for the screen alone.
        spacing_mm: Distance of neighbouring slices, None for a single slice.
        notes: Sentences about choices that were made.
    """

    slices: list[Slice]
    choices: list[tuple[str, int]]
    spacing_mm: float | None
    notes: list[str]


def read_series(folder: Path, name: str, wanted_uid: str | None = None) -> Series:
    """Read the headers of a folder and return its (largest, or wanted) series in order.

    Args:
        folder: Holds the files of one or several series; files that are not DICOM are ignored.
        name: What to call the folder in sentences, see `own_names`.
        wanted_uid: SeriesInstanceUID, or its last characters, to take instead of the largest.

    Raises:
        SkipVolume: No DICOM file, a header that cannot be used, a missing or doubled slice.
    """
    series, foreign = _headers(folder, name)
    if not series:
        raise SkipVolume(
            name, f"holds no DICOM file ({foreign} other files). Left out; check the folder."
        )
    notes, choices = [], sorted((uid[-6:], len(files)) for uid, files in series.items())
    if foreign:
        notes.append(f"{name}: {foreign} files are not DICOM and were ignored.")
    if wanted_uid:
        series = {uid: files for uid, files in series.items() if uid.endswith(wanted_uid)}
        if len(series) != 1:
            raise SkipVolume(
                name, f"has {len(series)} series that end in what --series says. Left out."
            )
    # The largest; among equals the smaller identifier, so that every run takes the same one.
    uid = min(series, key=lambda key: (-len(series[key]), key))
    if len(series) > 1:
        notes.append(
            f"{name}: holds {len(series)} series; took the largest ({len(series[uid])} files). "
            "Pass --series to take another."
        )
    slices = [_slice(*entry) for entry in series[uid]]
    slices.sort(key=lambda s: (-s.position_mm, s.path.name))
    _check_alike(slices)
    return Series(slices, choices, _check_spacing(slices, name), notes)


def _headers(folder: Path, name: str) -> tuple[dict[str, list[tuple[Path, str, Any]]], int]:
    series: dict[str, list[tuple[Path, str, Any]]] = {}
    foreign = 0
    for number, path in numbered(folder):
        if not path.is_file():
            continue
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
            uid = str(header.get("SeriesInstanceUID", ""))
        except pydicom.errors.InvalidDicomError:
            foreign += 1
            continue
        except Exception as error:  # damaged headers raise eight kinds of exception
            raise SkipVolume(
                f"{name}{number}",
                f"has a damaged DICOM header ({type(error).__name__}). The series is left out; "
                "export it again.",
            ) from error
        if "Rows" in header:  # a DICOMDIR or a report has no picture
            series.setdefault(uid, []).append((path, f"{name}{number}", header))
    return series, foreign


def _slice(path: Path, name: str, header: Any) -> Slice:
    for bad, reason in (
        (int(header.get("NumberOfFrames") or 1) > 1, "is a multi-frame file"),
        (int(header.get("SamplesPerPixel") or 1) != 1, "is a colour picture"),
        (header.get("PhotometricInterpretation") == "MONOCHROME1", "is MONOCHROME1, no CT is"),
        (header.get("BurnedInAnnotation") == "YES", "has annotations burned into its pixels"),
    ):
        if bad:
            raise SkipVolume(name, f"{reason}. The series is left out.")
    try:
        position = [float(v) for v in header.ImagePositionPatient]
        turn = [float(v) for v in header.ImageOrientationPatient]
        normal = np.cross(turn[:3], turn[3:])
        if len(position) != 3 or not 0.9 < np.linalg.norm(normal) < 1.1:
            raise ValueError
    except (AttributeError, TypeError, ValueError):
        raise SkipVolume(
            name,
            "has no usable ImagePositionPatient and ImageOrientationPatient, so its position in "
            "the series is unknown. The series is left out.",
        ) from None
    # A normal that points to the feet would turn the order round.
    up = 1.0 if normal[int(np.argmax(np.abs(normal)))] > 0 else -1.0
    return Slice(path, name, up * float(np.dot(position, normal)), header)


def _check_alike(slices: list[Slice]) -> None:
    first = slices[0]
    for other in slices[1:]:
        for tag in ("Rows", "Columns", "PixelSpacing", "ImageOrientationPatient"):
            a, b = first.header.get(tag), other.header.get(tag)
            same = a == b or (a is not None and b is not None and np.allclose(a, b, atol=1e-3))
            if not same:
                raise SkipVolume(
                    other.name,
                    f"has {tag} {b}, but {first.name} of the same series has {a}. "
                    "The series is left out.",
                )


def _check_spacing(slices: list[Slice], name: str) -> float | None:
    """Return the slice spacing; SkipVolume for a doubled or missing slice."""
    if len(slices) < 2:
        return None
    gaps = -np.diff([s.position_mm for s in slices])
    typical = float(np.median(gaps))
    for i, gap in enumerate(gaps):
        above, below = slices[i].name, slices[i + 1].name
        upper, lower = (f"{s.position_mm:.2f} mm" for s in slices[i : i + 2])
        if gap < max(1e-3, 0.1 * typical):
            raise SkipVolume(
                name,
                f"has a doubled slice: {above} and {below} both lie at {upper}. "
                "Left out; remove one of the two files and run the command again.",
            )
        if gap > 1.5 * typical:
            raise SkipVolume(
                name,
                f"misses {max(1, round(gap / typical) - 1)} slice(s) between {above} "
                f"({upper}) and {below} ({lower}); "
                f"neighbours lie {typical:.2f} mm apart. Left out; export the series again.",
            )
    return round(typical, 6)


def pixel_slices(series: Series) -> Iterator[NDArray[Any]]:
    """Yield (rows, columns) arrays in the order of the series, rescaled to HU, one at a time.

    Rows run to the back and columns to the left, as KiTS19's do, whatever the file's order.

    Raises:
        SkipVolume: Pixels that cannot be decoded, or whose shape is not what the header says.
    """
    for one in series.slices:
        try:
            dataset = pydicom.dcmread(one.path)
            pixels = dataset.pixel_array
            slope = float(dataset.get("RescaleSlope") or 1)
            intercept = float(dataset.get("RescaleIntercept") or 0)
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
        yield canonical(pixels, one.header) * slope + intercept


def canonical(pixels: NDArray[Any], header: Any) -> NDArray[Any]:
    """Turn an axial slice so that rows run to the back (+y) and columns to the left (+x)."""
    turn = [float(v) for v in header.ImageOrientationPatient]
    if abs(turn[0]) < abs(turn[1]):  # columns run along y: swap the two axes
        pixels, turn = pixels.T, turn[3:] + turn[:3]
    if turn[0] < 0:
        pixels = pixels[:, ::-1]
    if turn[4] < 0:
        pixels = pixels[::-1]
    return pixels


def swaps_axes(header: Any) -> bool:
    """Whether `canonical` exchanges rows and columns."""
    return abs(float(header.ImageOrientationPatient[0])) < abs(
        float(header.ImageOrientationPatient[1])
    )


def is_axial(header: Any) -> bool:
    """Whether the slices lie across the body: the normal runs along z within 30 degrees."""
    turn = [float(v) for v in header.ImageOrientationPatient]
    return abs(float(np.cross(turn[:3], turn[3:])[2])) > 0.86


def _syntax(one: Slice) -> str:
    meta = getattr(one.header, "file_meta", None)
    uid = getattr(meta, "TransferSyntaxUID", None)
    return str(uid.name) if uid is not None else "unknown"
