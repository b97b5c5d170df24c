"""One file of a DICOM series: its header, its place in the body, and which way it is turned."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from preparation.volumes.volume import SkipVolume
from synthetic_marks import DICOM_TAGS

_TAGS = [
    "ImageType",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "Modality",
    "GantryDetectorTilt",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "LossyImageCompression",
    "BurnedInAnnotation",
    "TransferSyntaxUID",
    *DICOM_TAGS,
]
# JPEG, JPEG-LS and JPEG 2000 of the kinds that may change pixels, and JPEG XL.
_MAY_BE_LOSSY = {f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 53, 55, 81, 91, 93, 112, 203)}
# Those of them that can be lossless too; LossyImageCompression then tells.
_OR_LOSSLESS = {f"1.2.840.10008.1.2.4.{n}" for n in (91, 93, 112, 203)}


def read_dicom(path: Path, pixels: bool = False) -> tuple[Any | None, bool]:
    """Read a DICOM file, also one without the 128 bytes and `DICM` that begin it.

    Args:
        path: Any file.
        pixels: The whole of it, not only the header.

    Returns:
        The data set, None where the file is no DICOM, and whether it lacks that beginning.
    """
    how: dict[str, Any] = {} if pixels else {"stop_before_pixels": True, "specific_tags": _TAGS}
    try:
        return pydicom.dcmread(path, **how), False
    except pydicom.errors.InvalidDicomError:
        pass
    try:
        dataset = pydicom.dcmread(path, force=True, **how)
        if "SOPClassUID" not in dataset:
            return None, False
        if "TransferSyntaxUID" not in dataset.file_meta:
            implicit, little = dataset.original_encoding
            explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    except Exception:  # what is no DICOM fails in any way
        return None, False
    return dataset, True


@dataclass(frozen=True)
class Slice:
    """One file of a series, without its pixels. `position_mm` is along the normal, up = larger.

    `name` is that of the cache, see `own_names`; what DICOM files are called may identify.
    """

    path: Path
    name: str
    position_mm: float
    header: Any

    @cached_property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) as `canonical` turns them."""
        shape = (int(self.header.Rows), int(self.header.Columns))
        return shape[::-1] if swaps_axes(self.header) else shape

    @cached_property
    def spacing_mm(self) -> tuple[float, float] | None:
        """(row, column) distance, turned likewise; None where the header does not tell."""
        if not self.header.get("PixelSpacing"):
            return None
        row, column = (float(v) for v in self.header.PixelSpacing)
        return (column, row) if swaps_axes(self.header) else (row, column)

    def corners(self, spacing_mm: tuple[float, float]) -> NDArray[np.float64]:
        """Where the first and the last pixel of the turned slice lie: (2, 3) x, y, z in mm.

        Args:
            spacing_mm: Of the turned slice.
        """
        across, down = _turn(self.header)
        back_across, back_down = _runs_back(self.header)
        row_mm, column_mm = spacing_mm[::-1] if swaps_axes(self.header) else spacing_mm
        reach = across * column_mm * (int(self.header.Columns) - 1)
        drop = down * row_mm * (int(self.header.Rows) - 1)
        start = np.array([float(v) for v in self.header.ImagePositionPatient])
        # Turned, the first pixel is the one with the smallest x and y.
        first = start + (reach if back_across else 0) + (drop if back_down else 0)
        last = start + reach + drop - (first - start)
        return np.array([first, last])

    @property
    def turned_axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The directions in which rows, and columns, of the turned slice follow one another."""
        across, down = _turn(self.header)
        back_across, back_down = _runs_back(self.header)
        across, down = -across if back_across else across, -down if back_down else down
        return (across, down) if swaps_axes(self.header) else (down, across)

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector along which slices follow one another, towards the head."""
        return normal_of(self.header)

    @property
    def lossy(self) -> bool:
        """Whether its pixels went through compression that may have changed them."""
        return is_lossy(self.header)


def is_lossy(header: Any) -> bool:
    """Whether the pixels of a file went through compression that may have changed them."""
    uid = str(getattr(getattr(header, "file_meta", None), "TransferSyntaxUID", ""))
    told = str(header.get("LossyImageCompression") or "")
    if uid in _OR_LOSSLESS:
        return told != "00"
    return uid in _MAY_BE_LOSSY or told == "01"


def slice_of(path: Path, name: str, header: Any) -> Slice:
    """A file as a slice of a series.

    Raises:
        SkipVolume: It is no single grey picture, or does not say where it lies.
    """
    photometric = str(header.get("PhotometricInterpretation") or "MONOCHROME2")
    for bad, reason in (
        (int(header.get("NumberOfFrames") or 1) > 1, "is a multi-frame file"),
        (int(header.get("SamplesPerPixel") or 1) != 1, "is a colour picture"),
        (photometric == "MONOCHROME1", "is MONOCHROME1, no CT is"),
        (photometric != "MONOCHROME2", f"is {photometric}, expected grey (MONOCHROME2)"),
        (header.get("BurnedInAnnotation") == "YES", "has annotations burned into its pixels"),
    ):
        if bad:
            raise SkipVolume(name, f"{reason}. The series is left out.")
    try:
        position = np.array([float(v) for v in header.ImagePositionPatient])
        turn = np.concatenate(_turn(header))
        if position.shape != (3,) or not np.isfinite([*position, *turn]).all():
            raise ValueError
        if not 0.9 < np.linalg.norm(np.cross(turn[:3], turn[3:])) < 1.1:
            raise ValueError
    except (AttributeError, TypeError, ValueError):
        raise SkipVolume(
            name,
            "has no usable ImagePositionPatient and ImageOrientationPatient, so its position in "
            "the series is unknown. The series is left out.",
        ) from None
    spacing = header.get("PixelSpacing")
    if spacing and not (len(spacing) == 2 and min(float(v) for v in spacing) > 0):
        raise SkipVolume(name, f"has PixelSpacing {spacing}, no lengths. The series is left out.")
    normal = np.cross(turn[:3], turn[3:])
    up = 1.0 if normal @ normal_of(header) > 0 else -1.0
    return Slice(path, name, up * float(np.dot(position, normal)), header)


def _turn(header: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The directions in which columns, and rows, follow one another."""
    across, down = np.array([float(v) for v in header.ImageOrientationPatient]).reshape(2, 3)
    return across, down


def normal_of(header: Any) -> NDArray[np.float64]:
    """The unit normal of a slice, towards the head: another would turn the order round."""
    normal = np.cross(*_turn(header))
    up: NDArray[np.float64] = normal / np.linalg.norm(normal)
    return up if up[int(np.argmax(np.abs(up)))] > 0 else -up


def _runs_back(header: Any) -> tuple[bool, bool]:
    """Whether columns, and rows, follow one another towards smaller x or y."""
    across, down = _turn(header)
    x, y = (1, 0) if swaps_axes(header) else (0, 1)
    return bool(across[x] < 0), bool(down[y] < 0)


def canonical(pixels: NDArray[Any], header: Any) -> NDArray[Any]:
    """Turn an axial slice so that rows run to the back (+y) and columns to the left (+x)."""
    back_across, back_down = _runs_back(header)
    if back_across:
        pixels = pixels[:, ::-1]
    if back_down:
        pixels = pixels[::-1]
    return pixels.T if swaps_axes(header) else pixels  # columns run along y: swap the two axes


def as_filed(turned: NDArray[Any], header: Any) -> NDArray[Any]:
    """Turn what lies as `canonical` gives it back to how the file has it."""
    pixels = turned.T if swaps_axes(header) else turned
    back_across, back_down = _runs_back(header)
    if back_down:
        pixels = pixels[::-1]
    return pixels[:, ::-1] if back_across else pixels


def swaps_axes(header: Any) -> bool:
    """Whether `canonical` exchanges rows and columns."""
    across, _ = _turn(header)
    return bool(abs(across[0]) < abs(across[1]))


def is_axial(header: Any) -> bool:
    """Whether the slices lie across the body: the normal runs along z within 30 degrees."""
    return bool(abs(normal_of(header)[2]) > 0.86)
