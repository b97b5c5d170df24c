"""CT studies as DICOM with their masks as DICOM, in the layout of 3D-IRCADb.

`<patient>/PATIENT_DICOM/*` is the image series and `<patient>/MASKS_DICOM/<structure>/*` holds
one binary series per structure. The source may be one patient or a folder of patients.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from patient_names import KNOWN_SALT, pseudonym
from preparation.volumes.dicom_series import (
    Series,
    is_axial,
    pixel_slices,
    read_series,
    swaps_axes,
)
from preparation.volumes.structure_names import account, check_given, label_of, unclear
from preparation.volumes.volume import (
    AIR_HU,
    KIDNEY_AND_TUMOUR,
    MAX_HU,
    Found,
    Job,
    SkipVolume,
    Volume,
    check_image,
    existing_folder,
)
from provenance import UserError

IMAGES, MASKS = "PATIENT_DICOM", "MASKS_DICOM"


def find_studies(
    source: Path,
    mask_labels: Mapping[str, int] | None = None,
    series: str | None = None,
    patient_salt: str = KNOWN_SALT,
    patient_id_from: str = "tag",
) -> Found:
    """List the patients under a folder. Reads headers only.

    Args:
        source: One patient's folder, or a folder of such folders.
        mask_labels: Label (0, 1 or 2, see `KIDNEY_AND_TUMOUR`) of each mask folder whose name does
            not tell.
        series: SeriesInstanceUID (or its end) where a folder holds several.
        patient_salt: Mixed into the hash that becomes the patient's pseudonym.
        patient_id_from: `tag` hashes PatientID (the folder's name where the tag is empty);
            `folder` takes the folder's name as it is: use it for names that identify nobody.

    Raises:
        UserError: The folder is missing, or no patient is in it.
    """
    existing_folder(source)
    labels = dict(mask_labels or {})
    check_given(labels)
    own = (source / IMAGES).is_dir() or (source / MASKS).is_dir()
    folders = [source] if own else sorted(d for d in source.glob("*/") if _is_study(d))
    if not folders:
        zipped = any(source.rglob(f"{IMAGES}.zip"))
        raise UserError(
            f"--source {source}: holds no patient. Expected {IMAGES}/ and {MASKS}/<structure>/ in "
            "it, or in folders in it."
            + (f" {IMAGES}.zip is there: unpack the archives first." if zipped else "")
        )
    found = Found()
    used = [_labels_of(folder, labels) for folder in folders]
    found.notes += account(used, labels)
    taken: dict[str, int] = {}
    for folder, of_masks in zip(folders, used, strict=True):
        prefix = "" if own else f"{folder.name}/"
        if not own and patient_id_from == "tag":
            found.aliases[folder.name] = pseudonym(folder.name, patient_salt)
        try:
            _check_usable(folder, prefix, of_masks, labels)
            job = _job(folder, prefix, of_masks, series, patient_salt, patient_id_from)
        except SkipVolume as skip:
            found.skipped.append((skip.file, skip.reason))
            continue
        number = taken[job.shard] = taken.get(job.shard, 0) + 1
        if number > 1:
            job = replace(job, shard=f"{job.shard}_{number}")
        if job.folder:
            found.aliases[folder.name] = job.patient_id
        found.jobs.append(job)
    return found


def _is_study(folder: Path) -> bool:
    return (folder / IMAGES).is_dir() or (folder / MASKS).is_dir()


def _labels_of(folder: Path, labels: Mapping[str, int]) -> dict[str, int]:
    names = sorted(masks.name for masks in (folder / MASKS).glob("*/"))
    return {name: label_of(name, labels) for name in names}


def _check_usable(
    folder: Path, prefix: str, used: Mapping[str, int], labels: Mapping[str, int]
) -> None:
    if not (folder / IMAGES).is_dir():
        raise SkipVolume(f"{prefix}{MASKS}", f"has no {IMAGES} beside it. Left out.")
    if not any(used.values()):
        raise SkipVolume(
            f"{prefix}{IMAGES}",
            " ".join(
                [
                    f"has no mask of a kidney ({prefix}{MASKS} holds {', '.join(used) or 'nothing'}"
                    "). Left out; say which folder is which with --mask-labels leftkidney=1.",
                    *unclear(used, labels),
                ]
            ),
        )


def _job(
    folder: Path,
    prefix: str,
    used: Mapping[str, int],
    wanted: str | None,
    salt: str,
    patient_id_from: str,
) -> Job:
    chosen = sorted((label, name) for name, label in used.items() if label)
    series = read_series(folder / IMAGES, f"{prefix}{IMAGES}", wanted)
    header = series.slices[0].header
    if not is_axial(header):
        raise SkipVolume(f"{prefix}{IMAGES}", "is not an axial series. Left out.")
    identifier = str(header.get("PatientID") or "").strip()
    if patient_id_from == "folder":
        patient = re.sub(r"[^A-Za-z0-9_.-]", "_", folder.resolve().name)
    else:
        patient = pseudonym(identifier or folder.resolve().name, salt)
    shape = (int(header.Rows), int(header.Columns))
    return Job(
        shard=patient,
        patient_id=patient,
        files=(folder / IMAGES, *(folder / MASKS / name for _, name in chosen)),
        names=(f"{prefix}{IMAGES}", *(f"{prefix}{MASKS}/{name}" for _, name in chosen)),
        slice_shape=shape[::-1] if swaps_axes(header) else shape,
        num_slices=len(series.slices),
        class_names=KIDNEY_AND_TUMOUR,
        # Tumour is painted after kidney: it lies inside of it.
        options={"labels": [label for label, _ in chosen], "series": wanted},
        folder=folder.name if prefix and patient_id_from == "tag" else None,
    )


def read_study(job: Job) -> Volume:
    """Read one patient: int16 image and uint8 mask, slices from head to feet.

    Raises:
        SkipVolume: A series that cannot be used, or a mask that does not cover the image's slices
            or holds several labels.
    """
    image_series = read_series(job.files[0], job.names[0], job.options["series"])
    height, width = job.slice_shape
    shape = (len(image_series.slices), height, width)
    image, mask = np.empty(shape, np.int16), np.zeros(shape, np.uint8)
    for row, hu in enumerate(pixel_slices(image_series, job.names[0])):
        image[row] = np.clip(np.rint(hu), AIR_HU, MAX_HU)
    notes = image_series.notes + check_image(image, job.names[0])
    for folder, name, label in zip(
        job.files[1:], job.names[1:], job.options["labels"], strict=True
    ):
        series = read_series(folder, name)
        _check_same_slices(image_series, series, job.names[0], name)
        found: set[float] = set()
        for row, values in enumerate(pixel_slices(series, name)):
            found.update(np.unique(values[values > 0]).tolist())
            mask[row][values > 0] = label
        if len(found) > 1:
            raise SkipVolume(
                name,
                f"holds the values {', '.join(f'{value:g}' for value in sorted(found)[:5])}, so it "
                f"is a map of several labels, and all would become {KIDNEY_AND_TUMOUR[label]}. "
                "Left out; a mask folder holds one structure, with one value above 0.",
            )
    if not mask.any():
        notes.append(f"{job.names[0]}: its masks are empty; no kidney in any slice.")
    header = image_series.slices[0].header
    spacing = _spacing(header)
    return Volume(
        image=image,
        mask=mask,
        slice_indices=list(range(shape[0])),
        pixel_spacing_mm=spacing,
        slice_spacing_mm=image_series.spacing_mm,
        geometry={
            "source_shape": list(shape),
            "orientation": [round(float(v), 4) for v in header.ImageOrientationPatient],
            "slice_order": "head to feet",
        },
        notes=notes,
    )


def _check_same_slices(image: Series, mask: Series, image_name: str, name: str) -> None:
    a, b = image.slices[0].header, mask.slices[0].header
    if (a.Rows, a.Columns) != (b.Rows, b.Columns):
        raise SkipVolume(
            name,
            f"has slices of {b.Rows}x{b.Columns}, but {image_name} has {a.Rows}x{a.Columns}. "
            "Left out; image and mask must cover the same voxels.",
        )
    if len(image.slices) != len(mask.slices):
        raise SkipVolume(
            name,
            f"has {len(mask.slices)} slices, but {image_name} has {len(image.slices)}. Left out; "
            "a mask must have a slice for every slice of the image.",
        )
    tolerance = 0.25 * (image.spacing_mm or 1.0)
    for one, other in zip(image.slices, mask.slices, strict=True):
        if abs(one.position_mm - other.position_mm) > tolerance:
            raise SkipVolume(
                name,
                f"{other.path.name} lies at {other.position_mm:.2f} mm where {image_name}/"
                f"{one.path.name} lies at {one.position_mm:.2f} mm. Left out; mask and image are "
                "of different scans or were shifted.",
            )


def _spacing(header: Any) -> tuple[float, float] | None:
    if not header.get("PixelSpacing"):
        return None
    row, column = (float(v) for v in header.PixelSpacing)
    return (column, row) if swaps_axes(header) else (row, column)
