"""CT studies as DICOM with their masks as DICOM, in the layout of 3D-IRCADb.

`<patient>/PATIENT_DICOM/*` is the image series and `<patient>/MASKS_DICOM/<structure>/*` holds
one binary series per structure. The source may be one patient or a folder of patients.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from patient_names import RoundedNumberError, pseudonym
from preparation.pseudonym import Naming
from preparation.volumes.dicom_series import (
    Series,
    is_axial,
    pixel_slices,
    read_series,
    swaps_axes,
)
from preparation.volumes.own_names import numbered
from preparation.volumes.structure_names import account, check_given, is_unclear, label_of
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
    found_each,
)
from provenance import UserError

IMAGES, MASKS = "PATIENT_DICOM", "MASKS_DICOM"


def find_studies(
    source: Path,
    mask_labels: Mapping[str, int] | None = None,
    series: str | None = None,
    naming: Naming = Naming(),
    patient_id_from: str = "tag",
    flag: str = "--mask-labels",
) -> Found:
    """List the patients under a folder. Reads headers only.

    Args:
        source: One patient's folder, or a folder of such folders.
        mask_labels: Label (0, 1 or 2, see `KIDNEY_AND_TUMOUR`) of each mask folder whose name does
            not tell.
        series: SeriesInstanceUID (or its end) where a folder holds several.
        naming: How patients are named.
        patient_id_from: `tag`: PatientID, or the folder's name where the tag is empty; `folder`:
            the folder's name.
        flag: Where the labels were given.

    Raises:
        UserError: The folder is missing, or no patient is in it.
    """
    existing_folder(source)
    labels = dict(mask_labels or {})
    check_given(labels, flag)
    own = (source / IMAGES).is_dir() or (source / MASKS).is_dir()
    folders = [source] if own else sorted(d for d in source.glob("*/") if _is_study(d))
    if not folders:
        zipped = any(source.rglob(f"{IMAGES}.zip"))
        raise UserError(
            f"--source {source}: holds no patient. Expected {IMAGES}/ and {MASKS}/<structure>/ in "
            "it, or in folders in it."
            + (f" {IMAGES}.zip is there: unpack the archives first." if zipped else "")
        )
    found = Found(naming=naming)
    used = [_labels_of(folder, labels) for folder in folders]
    found.notes += account(used, labels, flag)
    of_masks, by_tag = dict(zip(folders, used, strict=True)), patient_id_from == "tag"

    def job_of(folder: Path) -> Job:
        prefix = "" if own else f"{folder.name}/"
        return _job(folder, prefix, of_masks[folder], labels, series, by_tag, found)

    return found_each(folders, found, job_of)


def _is_study(folder: Path) -> bool:
    return (folder / IMAGES).is_dir() or (folder / MASKS).is_dir()


def _labels_of(folder: Path, labels: Mapping[str, int]) -> dict[str, int]:
    names = sorted(masks.name for masks in (folder / MASKS).glob("*/"))
    return {name: label_of(name, labels) for name in names}


def _check_usable(
    folder: Path, names: tuple[str, str], used: Mapping[str, int], labels: Mapping[str, int]
) -> None:
    images, masks = names
    if not (folder / IMAGES).is_dir():
        raise SkipVolume(masks, f"has no {IMAGES} beside it. Left out.")
    if any(used.values()):
        return
    there = {path.name: f"{masks}{n}" for n, path in numbered(folder / MASKS)} if used else {}
    unclear = [
        f" {there[name]}: its name does not say whose tumour it is."
        for name in used
        if is_unclear(name, labels)
    ]
    raise SkipVolume(
        images,
        f"has no mask of a kidney ({masks} holds {', '.join(there.values()) or 'nothing'}). Left "
        "out; say which folder is which with --mask-labels FOLDER=1, by its name."
        f"{''.join(unclear)}",
    )


def _job(
    folder: Path,
    prefix: str,
    used: Mapping[str, int],
    labels: Mapping[str, int],
    wanted: str | None,
    by_tag: bool,
    found: Found,
) -> Job:
    name = folder.resolve().name

    def names(shard: str) -> tuple[str, str]:
        """The folders of images and masks, which are the shard's once there is one."""
        return (
            found.own_names.add(f"{shard}/{IMAGES}", f"{prefix}{IMAGES}", folder / IMAGES),
            found.own_names.add(f"{shard}/{MASKS}", f"{prefix}{MASKS}", folder / MASKS),
        )

    images, masks = names(found.naming.alias(name))
    _check_usable(folder, (images, masks), used, labels)
    series = read_series(folder / IMAGES, images, wanted)
    header = series.slices[0].header
    if not is_axial(header):
        raise SkipVolume(images, "is not an axial series. Left out.")
    identifier = (str(header.get("PatientID") or "").strip() if by_tag else "") or name
    try:
        patient = found.naming.patient_id(identifier)
    except RoundedNumberError as error:
        raise SkipVolume(images, f"{error} Left out.") from None
    patient = patient or found.naming.patient_id(name) or found.naming.alias(name)
    shard = found.new_shard(patient)
    images, masks = names(shard)
    if len(series.choices) > 1 and not wanted:
        listed = ", ".join(f"...{uid} ({count} files)" for uid, count in series.choices)
        found.notes.append(f"{prefix}{IMAGES}: the series there are {listed}, for --series.")
    key = _split_key(identifier, found.naming)
    earlier = sum(job.split_key == key for job in found.jobs)
    of_masks = {
        path.name: found.own_names.add(f"{masks}{number}", f"{prefix}{MASKS}/{path.name}", path)
        for number, path in numbered(folder / MASKS)
    }
    chosen = sorted((label, name) for name, label in used.items() if label)
    shape = (int(header.Rows), int(header.Columns))
    return Job(
        shard=shard,
        patient_id=patient,
        identifiers=(identifier,),
        split_key=key,
        item_key=f"{key}_{earlier + 1}" if earlier else key,
        files=(folder / IMAGES, *(folder / MASKS / name for _, name in chosen)),
        names=(images, *(of_masks[name] for _, name in chosen)),
        slice_shape=shape[::-1] if swaps_axes(header) else shape,
        num_slices=len(series.slices),
        class_names=KIDNEY_AND_TUMOUR,
        # Tumour is painted after kidney: it lies inside of it.
        options={"labels": [label for label, _ in chosen], "series": wanted},
    )


def _split_key(identifier: str, naming: Naming) -> str:
    """What the patient's split is drawn for: the pseudonym of the identifier as it is written.

    Of a folder's name that is kept, the name.
    """
    if naming.salt is not None:
        return pseudonym(identifier, naming.salt)
    return re.sub(r"[^A-Za-z0-9_.-]", "_", identifier) if identifier.isascii() else identifier


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
    for row, hu in enumerate(pixel_slices(image_series)):
        image[row] = np.clip(np.rint(hu), AIR_HU, MAX_HU)
    notes = image_series.notes + check_image(image, job.names[0])
    for folder, name, label in zip(
        job.files[1:], job.names[1:], job.options["labels"], strict=True
    ):
        series = read_series(folder, name)
        _check_same_slices(image_series, series, job.names[0], name)
        found: set[float] = set()
        for row, values in enumerate(pixel_slices(series)):
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
                f"has {other.name} at {other.position_mm:.2f} mm where {one.name} lies at "
                f"{one.position_mm:.2f} mm. Left out; mask and image are of different scans or "
                "were shifted.",
            )


def _spacing(header: Any) -> tuple[float, float] | None:
    if not header.get("PixelSpacing"):
        return None
    row, column = (float(v) for v in header.PixelSpacing)
    return (column, row) if swaps_axes(header) else (row, column)
