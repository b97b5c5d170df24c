"""One DICOM series as a sorted list of slices.

Order is by position along the slice normal, never by file name or instance number. A series with
a hole or with a slice twice is refused by name: filling it would invent anatomy.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preparation.volumes.dicom_file import Slice, slice_of
from preparation.volumes.dicom_folder import Folder
from preparation.volumes.geometry import TILT_DEGREES, degrees_between, oblique_notes
from preparation.volumes.slice_spacing import extents_of
from preparation.volumes.volume import Job, SkipVolume, Volume, is_synthetic
from synthetic_marks import mark_in_dicom, mark_of_folder

# What slices of one series have in common, and how a difference is said without its value.
_OF_ONE_SCAN = {
    "PatientID": "is of another patient than {} (PatientID)",
    "PatientName": "is of another patient than {} (PatientName)",
    "PatientBirthDate": "is of another patient than {} (PatientBirthDate)",
    "StudyInstanceUID": "is of another study than {}",
    "FrameOfReferenceUID": "has another frame of reference than {}",
}


@dataclass
class Series:
    """Slices of one series from head to feet, as KiTS19 runs.

    Attributes:
        slices: In that order.
        spacing_mm: Distance of neighbouring slices, None for a single slice.
        extents_mm: How much of the body each slice stands for, where that is not the spacing.
        notes: Sentences about what was noticed.
        unread: Files beside it that hold no slice that can be read.
    """

    slices: list[Slice]
    spacing_mm: float | None
    extents_mm: list[float] | None = None
    notes: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def num_synthetic(self, job: Job) -> int:
        """Slices that say that they are synthetic; see `is_synthetic`.

        Raises:
            SkipVolume: One does, and such files are not wanted.
        """
        return sum(
            is_synthetic(one.name, mark_in_dicom(one.header) or mark_of_folder(one.path), job)
            for one in self.slices
        )

    def volume(
        self,
        image: NDArray[np.int16],
        mask: NDArray[np.uint8],
        notes: list[str],
        num_synthetic: int,
        mapped: set[int] | None = None,
    ) -> Volume:
        """The volume of these slices, with their spacing and place."""
        first = self.slices[0]
        return Volume(
            image=image,
            mask=mask,
            slice_indices=list(range(len(image))),
            pixel_spacing_mm=first.spacing_mm,
            slice_spacing_mm=self.extents_mm or self.spacing_mm,
            geometry={
                "source_shape": list(image.shape),
                "orientation": [round(float(v), 4) for v in first.header.ImageOrientationPatient],
                "slice_order": "head to feet",
            },
            notes=notes,
            mapped=mapped,
            num_synthetic=num_synthetic,
        )


def read_series(folder: Folder, uid: str, is_image: bool = False, variable: bool = False) -> Series:
    """Return one series of a folder in order.

    Args:
        folder: See `read_folder`.
        uid: SeriesInstanceUID of the series.
        is_image: It shall be CT; masks may be called anything.
        variable: Accept slices that lie unevenly apart.

    Raises:
        SkipVolume: A header that cannot be used, slices of another patient, a missing or doubled
            slice.
    """
    slices = [slice_of(*entry) for entry in folder.series[uid]]
    slices.sort(key=lambda s: (-s.position_mm, s.path.name))
    if is_image:
        _check_ct(slices)
    _check_of_one_scan(slices)
    _check_alike(slices)
    spacing, extents, said = extents_of(slices, folder.name, variable, folder.unread)
    notes = [*folder.notes, *said, *_tilt_notes(slices, folder.name)]
    lossy = sum(s.lossy for s in slices)
    if lossy and is_image:
        notes.append(
            f"{folder.name}: {lossy} of {len(slices)} slices went through lossy compression. They "
            "are used as they are."
        )
    return Series(slices, spacing, extents, notes, folder.unread)


def _check_ct(slices: Sequence[Slice]) -> None:
    for one in slices:
        modality = str(one.header.get("Modality") or "CT").strip()
        if modality != "CT":
            raise SkipVolume(
                one.name,
                f"is of modality {modality}, expected CT: its values are no Hounsfield units. The "
                "series is left out.",
            )


def _check_of_one_scan(slices: Sequence[Slice]) -> None:
    """Refuse a slice whose patient, study or frame of reference is not that of the others."""
    for tag, sentence in _OF_ONE_SCAN.items():
        values = [" ".join(str(s.header.get(tag) or "").lower().split()) for s in slices]
        told = Counter(value for value in values if value).most_common()
        for one, value in zip(slices, values, strict=True):
            if value and value != told[0][0]:
                usual = slices[values.index(told[0][0])].name
                raise SkipVolume(
                    one.name,
                    f"{sentence.format(usual)}, though it names the same series. The series is "
                    "left out; take files of other scans out of the folder.",
                )


def _check_alike(slices: Sequence[Slice]) -> None:
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


def _tilt_notes(slices: Sequence[Slice], name: str) -> list[str]:
    notes = []
    normal, tilt = slices[0].normal, 0.0
    if len(slices) > 1:
        ends = [np.array(s.header.ImagePositionPatient, float) for s in (slices[0], slices[-1])]
        tilt = degrees_between(ends[0] - ends[1], normal)
    told = abs(_number(slices[0].header.get("GantryDetectorTilt")))
    if max(tilt, told) > TILT_DEGREES:
        beside = "each slice lies beside the one above it; slices are used as they are, as a volume"
        notes.append(
            f"{name}: gantry tilt of {tilt:.1f} degrees: {beside} they are sheared."
            if tilt > TILT_DEGREES
            else f"{name}: its header tells a gantry tilt of {told:.1f} degrees; its slices are "
            "used as they are."
        )
    return notes + oblique_notes(normal, name)


def _number(value: Any) -> float:
    try:
        return float(value or 0)
    except (TypeError, ValueError):
        return 0.0
