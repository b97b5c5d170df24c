"""Masks in DICOM: what they mark, on the very voxels of their image."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preparation.volumes.dicom_file import Slice
from preparation.volumes.dicom_folder import Folder, read_folder
from preparation.volumes.dicom_pixels import marked
from preparation.volumes.dicom_series import Series, read_series
from preparation.volumes.slice_spacing import perhaps
from preparation.volumes.volume import SkipVolume


def mask_on(
    image: Series, image_name: str, path: Path, name: str, structure: str, variable: bool
) -> tuple[NDArray[np.bool_], list[str]]:
    """What one folder marks on the slices of an image, (S, H, W), and sentences on it.

    Args:
        image: The series that was drawn on.
        image_name: Of its folder.
        path: The folder of the mask.
        name: What it is called.
        structure: Its class.
        variable: Accept slices that lie unevenly apart.

    Raises:
        SkipVolume: The mask cannot be used, or does not cover the image's voxels.
    """
    folder = read_folder(path, name)
    series, said = _drawn_on(image, folder, image_name, variable)
    where, notes = marked(series, name, structure)
    notes = said + notes
    patients = [str(s.slices[0].header.get("PatientID") or "").strip() for s in (image, series)]
    if all(patients) and patients[0] != patients[1]:
        notes.append(
            f"{name}: its PatientID is not that of {image_name}. It is used, since its slices lie "
            "on those; look at an overlay if in doubt."
        )
    return where, notes


def fits_mask(choice: Folder, uid: str, of_mask: Path, name: str, variable: bool) -> bool:
    """Whether a mask lies on the slices of a series."""
    try:
        series = read_series(choice, uid, is_image=True, variable=variable)
        folder = read_folder(of_mask, name)
        fitting = _fitting(series, folder, choice.name, variable)
    except SkipVolume:
        return False
    if not fitting:
        return False
    mask = fitting[0]
    frames = {str(s.slices[0].header.get("FrameOfReferenceUID") or "") for s in (series, mask)}
    return len(frames - {""}) < 2


def _drawn_on(
    image: Series, folder: Folder, image_name: str, variable: bool
) -> tuple[Series, list[str]]:
    """The series of a mask's folder that lies on an image, and a sentence where it was chosen."""
    if len(folder.series) == 1:
        series = read_series(folder, folder.largest, variable=variable)
        _check_same_slices(image, series, image_name, folder.name)
        return series, []
    fitting = _fitting(image, folder, image_name, variable)
    if len(fitting) != 1:
        which = f"{len(fitting)} lie alike" if fitting else "none lies"
        raise SkipVolume(
            folder.name,
            f"holds {len(folder.series)} series, of which {which} on the slices of {image_name}, "
            "so it is not known which marks the structure. Left out; keep one series in a mask's "
            "folder.",
        )
    [series] = fitting
    return series, [
        f"{folder.name}: holds {len(folder.series)} series; took the one that lies on the slices "
        f"of {image_name} ({len(series.slices)} files)."
    ]


def _fitting(image: Series, folder: Folder, image_name: str, variable: bool) -> list[Series]:
    """The series of a mask's folder that lie on an image, by their identifiers."""
    fitting = []
    for uid in sorted(folder.series):
        try:
            series = read_series(folder, uid, variable=variable)
            _check_same_slices(image, series, image_name, folder.name)
        except SkipVolume:
            continue
        fitting.append(series)
    return fitting


def _check_same_slices(image: Series, mask: Series, image_name: str, name: str) -> None:
    first, other = image.slices[0], mask.slices[0]
    if first.shape != other.shape:
        (a, b), (c, d) = first.shape, other.shape
        raise SkipVolume(
            name,
            f"has slices of {c}x{d}, but {image_name} has {a}x{b}. "
            "Left out; image and mask must cover the same voxels.",
        )
    if len(image.slices) != len(mask.slices):
        raise SkipVolume(
            name,
            f"has {len(mask.slices)} slices, but {image_name} has {len(image.slices)}. Left out; "
            "a mask must have a slice for every slice of the image."
            f"{perhaps([*image.unread, *mask.unread])}",
        )
    gaps = np.diff([s.position_mm for s in image.slices])
    tolerance = 0.25 * (float(np.abs(gaps).min()) if len(gaps) else 1.0)
    for one, of_mask in zip(image.slices, mask.slices, strict=True):
        if abs(one.position_mm - of_mask.position_mm) > tolerance:
            raise SkipVolume(
                name,
                f"has {of_mask.name} at {of_mask.position_mm:.2f} mm where {one.name} is at "
                f"{one.position_mm:.2f} mm. Left out; mask and image are of different scans or "
                "were shifted.",
            )
        _check_same_plane(one, of_mask, name)


def _check_same_plane(image: Slice, mask: Slice, name: str) -> None:
    """Refuse a slice whose pixels do not lie on those of the image, to half a pixel."""
    pixel = image.spacing_mm or (1.0, 1.0)
    own = mask.spacing_mm or pixel
    if not np.allclose(own, pixel, rtol=0.01):
        raise SkipVolume(
            name,
            f"has pixels of {own[0]:.3f} x {own[1]:.3f} mm (row, column) in {mask.name}, but "
            f"{image.name} has {pixel[0]:.3f} x {pixel[1]:.3f} mm. Left out; image and mask must "
            "cover the same voxels.",
        )
    corners, others = image.corners(pixel), mask.corners(own)
    # Slices are compared along the normal before; here x and y, in pixels.
    away = np.abs(corners - others)[:, :2] / np.array(pixel[::-1])
    if away.max() > 0.5:
        at, of_image = (f"({x:.2f}, {y:.2f})" for x, y, _ in (others[0], corners[0]))
        raise SkipVolume(
            name,
            f"has the first pixel of {mask.name} at {at} mm (x, y), that of {image.name} is at "
            f"{of_image} mm. Left out; mask and image are of different scans, or one was shifted "
            "or rotated without its header.",
        )
