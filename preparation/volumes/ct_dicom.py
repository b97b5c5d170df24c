"""CT studies as DICOM with their masks as DICOM, in the layout of 3D-IRCADb.

`<patient>/PATIENT_DICOM/*` is the image series and `<patient>/MASKS_DICOM/<structure>/*` holds
one binary series per structure. The source may be one patient or a folder of patients.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from patient_names import RoundedNumberError, pseudonym
from preparation.pseudonym import Naming
from preparation.volumes.dicom_file import is_axial
from preparation.volumes.dicom_folder import chosen, read_folder
from preparation.volumes.dicom_mask import fits_mask, mask_on
from preparation.volumes.dicom_pixels import hounsfield_units
from preparation.volumes.dicom_series import read_series
from preparation.volumes.labels.structure_names import account, check_given, is_unclear, label_of
from preparation.volumes.own_names import numbered
from preparation.volumes.pixel_checks import check_image
from preparation.volumes.volume import (
    KIDNEY_AND_TUMOUR,
    Found,
    Job,
    SkipVolume,
    Volume,
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
    variable: bool = False,
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
        variable: Accept series whose slices lie unevenly apart.

    Raises:
        UserError: The folder is missing, or no patient is in it.
    """
    existing_folder(source)
    labels = dict(mask_labels or {})
    check_given(labels, flag)
    own = _is_study(source)
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
        return _job(folder, prefix, of_masks[folder], labels, series, by_tag, variable, found)

    return found_each(folders, found, job_of)


def has_studies(source: Path) -> bool:
    """Whether a folder holds patients in this layout, or their archives."""
    existing_folder(source)
    if _is_study(source) or any(_is_study(folder) for folder in source.glob("*/")):
        return True
    return any(source.rglob(f"{IMAGES}.zip"))


def _is_study(folder: Path) -> bool:
    """Whether it holds one; one that cannot be opened may, and is then listed."""
    try:
        return (folder / IMAGES).is_dir() or (folder / MASKS).is_dir()
    except OSError:
        return True


def _labels_of(folder: Path, labels: Mapping[str, int]) -> dict[str, int]:
    try:
        names = sorted(masks.name for masks in (folder / MASKS).glob("*/"))
    except OSError:  # said when its job is made
        return {}
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
    variable: bool,
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
    choice = read_folder(folder / IMAGES, images)
    if len(choice.series) > 1 and not wanted:
        listed = ", ".join(f"...{uid} ({count} files)" for uid, count in choice.choices)
        found.notes.append(f"{prefix}{IMAGES}: the series there are {listed}, for --series.")
    labelled = sorted((label, name) for name, label in used.items() if label)
    of_mask = next(p for n, p in numbered(folder / MASKS) if p.name == labelled[0][1])
    uid, chose = (
        (choice.ending_in(wanted), "")
        if wanted
        else chosen(choice, lambda uid: fits_mask(choice, uid, of_mask, masks, variable))
    )
    series = read_series(choice, uid, is_image=True, variable=variable)
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
    key = _split_key(identifier, found.naming)
    of_masks = {
        path.name: found.own_names.add(f"{masks}{number}", f"{prefix}{MASKS}/{path.name}", path)
        for number, path in numbered(folder / MASKS)
    }
    return Job(
        shard=shard,
        patient_id=patient,
        identifiers=(identifier,),
        split_key=key,
        item_key=found.new_item_key(key),
        files=(folder / IMAGES, *(folder / MASKS / name for _, name in labelled)),
        names=(images, *(of_masks[name] for _, name in labelled)),
        slice_shape=series.slices[0].shape,
        num_slices=len(series.slices),
        class_names=KIDNEY_AND_TUMOUR,
        # Tumour is painted after kidney: it lies inside of it.
        options={
            "labels": [label for label, _ in labelled],
            "series": uid,
            "chose": [chose] if chose else [],
            "variable": variable,
        },
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
        SkipVolume: A series that is synthetic or cannot be used, or a mask that does not cover the
            image's slices or holds several labels.
    """
    choice = read_folder(job.files[0], job.names[0])
    variable = job.options["variable"]
    series = read_series(choice, job.options["series"], is_image=True, variable=variable)
    synthetic = series.num_synthetic(job)
    image, said = hounsfield_units(series, job.names[0])
    notes = job.options["chose"] + series.notes + said + check_image(image, job.names[0])
    mask = np.zeros(image.shape, np.uint8)
    for path, name, label in zip(job.files[1:], job.names[1:], job.options["labels"], strict=True):
        where, said = mask_on(series, job.names[0], path, name, KIDNEY_AND_TUMOUR[label], variable)
        mask[where] = label
        notes += said
    if not mask.any():
        notes.append(f"{job.names[0]}: its masks are empty; no kidney in any slice.")
    return series.volume(image, mask, notes, synthetic)
