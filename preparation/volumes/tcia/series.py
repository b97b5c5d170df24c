"""CT studies whose masks are NIfTI label maps, called by the patient."""

import re
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from patient_names import RoundedNumberError, pseudonym
from preparation import left_out
from preparation.pseudonym import Naming
from preparation.volumes.dicom_file import is_axial
from preparation.volumes.dicom_folder import Folder, read_folder
from preparation.volumes.dicom_pixels import hounsfield_units
from preparation.volumes.dicom_series import Series, read_series
from preparation.volumes.mask_values import MaskValues
from preparation.volumes.nifti import header_of, mask_on_grid
from preparation.volumes.nifti_grid import Grid, grid_of, mask_on_image
from preparation.volumes.tcia.folders import Study, studies_in
from preparation.volumes.volume import (
    Found,
    Job,
    SkipVolume,
    Volume,
    all_marked_note,
    check_image,
    existing_folder,
    is_synthetic,
)
from provenance import UserError
from synthetic_marks import mark_in_nifti

_ENDINGS = (".nii.gz", ".nii")
_SHOWN = 3  # names in a sentence
_HOW = (
    "as NIfTI on the CT's own voxels, called by the PatientID or the subject's folder, such as "
    "LIDC-0001.nii.gz, all in one folder, and pass that with --masks and the names with --labels."
)
# What label objects of archives are, and which programs turn them into label maps.
_NOT_READ = {
    "SEG": "a DICOM segmentation (SEG), of which 3D Slicer or dcmqi's segimage2itkimage makes "
    "NIfTI",
    "RTSTRUCT": "contours (RTSTRUCT), of which 3D Slicer, plastimatch or dcmrtstruct2nii makes "
    "NIfTI",
}


def find_series(
    source: Path,
    masks: Path | None,
    values: MaskValues,
    series: str | None,
    naming: Naming,
    patient_id_from: str,
    variable: bool,
) -> Found:
    """List the CT studies below a folder, of any depth. Reads headers only.

    Args:
        source: Holds Subject/Study/Series, or Subject/Series.
        masks: Folder of NIfTI label maps; None: there are none, so every study is left out, with
            a sentence on what to do.
        values: What the values of the label maps mean.
        series: SeriesInstanceUID (or its end) where a study holds several CT series.
        naming: How patients are named.
        patient_id_from: `tag` or `folder`, see `find_studies`.
        variable: Accept series whose slices lie unevenly apart.

    Raises:
        UserError: No DICOM series is there, or the folder of label maps is not.
    """
    existing_folder(source)
    if masks is not None and not masks.is_dir():
        raise UserError(f"--masks {masks}: there is no such folder of NIfTI label maps.")
    studies, unread = studies_in(source)
    if not studies:
        raise UserError(
            f"--source {source}: holds no patient. Expected PATIENT_DICOM/ and "
            "MASKS_DICOM/<structure>/ in it, or in folders in it; or DICOM series in folders such "
            "as Subject/Study/Series, with label maps in --masks."
        )
    found = Found(naming=naming)
    for folder in unread:
        own = folder.relative_to(source).as_posix()
        alias = found.own_names.add(naming.alias(own), own, folder)
        found.skipped.append(
            (alias, "holds files called DICOM, and none of the first is. Left out.")
        )
    taken: set[Path] = set()
    for study in studies:
        try:
            found.jobs.append(
                _job(study, masks, values, series, patient_id_from == "tag", variable, found, taken)
            )
        except SkipVolume as skip:
            found.skipped.append((skip.file, skip.reason))
        except Exception as error:  # headers raise what they like
            name = _alias(study, found)
            found.skipped.append((name, left_out.cannot_be_read(error, study.folder)))
    found.notes += _unused_note(masks, taken)
    return found


def _unused_note(masks: Path | None, taken: Set[Path]) -> list[str]:
    """A sentence on label maps that are nobody's: a subject may be called otherwise."""
    inside = [] if masks is None else sorted(masks.iterdir())
    names = [
        path.name
        for path in inside
        if path.name.endswith(_ENDINGS) and not path.name.startswith(".") and path not in taken
    ]
    if not names:
        return []
    shown = ", ".join(names[:_SHOWN])
    shown += f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    which = "1 label map that is" if len(names) == 1 else f"{len(names)} label maps that are"
    return [
        f"--masks {masks}: holds {which} called by no patient or subject here, and not used: "
        f"{shown}."
    ]


def _own_name(study: Study, series: Path | None = None) -> str:
    """Subject/Study, or Subject alone where its series lie in it, and the series' folder."""
    names = [study.subject]
    names += [study.folder.name] * (study.folder.name != study.subject)
    return "/".join([*names, *([] if series is None else [series.name])])


def _alias(study: Study, found: Found) -> str:
    own = _own_name(study)
    return found.own_names.add(found.naming.alias(own), own, study.folder)


def _job(
    study: Study,
    masks: Path | None,
    values: MaskValues,
    wanted: str | None,
    by_tag: bool,
    variable: bool,
    found: Found,
    taken: set[Path],
) -> Job:
    alias = _alias(study, found)
    if "CT" not in study.of_modality:
        raise SkipVolume(
            alias,
            f"holds {' and '.join(study.others)}, and no CT. Left out; MRI is read as NIfTI, which "
            "dcm2niix writes, by prepare.py nnunet.",
        )
    read = [
        read_folder(
            folder, found.own_names.add(f"{alias}/{number}", _own_name(study, folder), folder)
        )
        for number, folder in enumerate(study.of_modality["CT"], start=1)
    ]
    tags = {str(header.get("PatientID") or "").strip() for one in read for header in _headers(one)}
    if len(tags) > 1:
        raise SkipVolume(alias, "holds series of several patients (PatientID). Left out.")
    told = tags.pop() if tags else ""
    identifier = told if by_tag and told else study.subject
    fitting = _masks_of(study, masks, {told, study.subject} - {""}, alias)
    taken.update(fitting)
    mask = fitting[0]
    if len(fitting) > 1:
        found.notes.append(
            f"{_own_name(study)}: {len(fitting)} label maps are called by it, "
            f"{', '.join(path.name for path in fitting)}; took {mask.name}."
        )
    try:
        patient = found.naming.patient_id(identifier)
    except RoundedNumberError as error:
        raise SkipVolume(alias, f"{error} Left out.") from None
    patient = patient or found.naming.alias(study.subject)
    shard = found.new_shard(patient)
    of_mask = found.own_names.add(f"{shard}/mask", mask.name, mask)
    chosen, uid, said = _chosen(read, wanted, mask, of_mask, variable, alias)
    path = study.of_modality["CT"][read.index(chosen)]
    name = found.own_names.add(f"{shard}/series", _own_name(study, path), path)
    first = read_series(chosen, uid, is_image=True, variable=variable)
    if not is_axial(first.slices[0].header):
        raise SkipVolume(name, "is not an axial series. Left out.")
    key = (
        pseudonym(identifier, found.naming.salt)
        if found.naming.salt is not None
        else re.sub(r"[^\w.-]", "_", identifier)
    )
    earlier = sum(job.split_key == key for job in found.jobs)
    return Job(
        shard=shard,
        patient_id=patient,
        identifiers=(identifier,),
        split_key=key,
        item_key=f"{key}_{earlier + 1}" if earlier else key,
        files=(path, mask),
        names=(name, of_mask),
        slice_shape=first.slices[0].shape,
        num_slices=len(first.slices),
        class_names=values.class_names,
        options={**values.options(), "series": uid, "chose": said, "variable": variable},
    )


def _headers(folder: Folder) -> list[Any]:
    return [files[0][2] for files in folder.series.values()]


def _masks_of(study: Study, masks: Path | None, names: set[str], alias: str) -> list[Path]:
    """Label maps that are called by a patient, at least one; the first is used."""
    # A name of a header is no path.
    called = [f"{Path(name).name}{ending}" for name in sorted(names) for ending in _ENDINGS]
    fitting = [] if masks is None else [masks / name for name in called if (masks / name).is_file()]
    if fitting:
        return fitting
    for modality, sentence in _NOT_READ.items():
        if modality in study.of_modality:
            raise SkipVolume(
                alias,
                f"has its labels as {sentence}. They are not read here. Left out; give {_HOW}",
            )
    raise SkipVolume(alias, f"has no label map. Left out; give one {_HOW}")


def _chosen(
    read: Sequence[Folder],
    wanted: str | None,
    mask: Path,
    mask_name: str,
    variable: bool,
    alias: str,
) -> tuple[Folder, str, list[str]]:
    """The series that the label map lies on, or that `--series` names."""
    series = [(folder, uid) for folder in read for uid in sorted(folder.series)]
    if wanted is not None:
        series = [(folder, uid) for folder, uid in series if uid.endswith(wanted)]
        if len(series) != 1:
            raise SkipVolume(
                alias, f"has {len(series)} series that end in what --series says. Left out."
            )
    grid = grid_of(header_of(mask, mask_name))
    fitting, reasons = [], []
    for folder, uid in series:
        try:
            image = read_series(folder, uid, is_image=True, variable=variable)
            mask_on_image(grid, grid_of_series(image), mask_name, folder.name)
        except SkipVolume as skip:
            reasons.append(skip)
            continue
        fitting.append((folder, uid))
    if not fitting:
        if len(reasons) == 1:
            raise reasons[0]
        raise SkipVolume(
            mask_name,
            f"lies on none of the {len(reasons)} CT series of {alias}; on the last: "
            f"{reasons[-1].reason}",
        )
    if len(fitting) > 1:
        raise SkipVolume(
            alias,
            f"holds {len(fitting)} series on whose slices its label map lies alike, such as two "
            "phases of one scan. Left out; say which was drawn on with --series.",
        )
    [(folder, uid)] = fitting
    many = f"{alias}: holds {len(series)} CT series; took the one on which the label map lies."
    return folder, uid, [many] if len(series) > 1 else []


def grid_of_series(series: Series) -> Grid:
    """The voxels of a DICOM series as NIfTI places them: in mm to the right, front and head."""
    first, last = series.slices[0], series.slices[-1]
    pixel = first.spacing_mm or (1.0, 1.0)
    corner = first.corners(pixel)[0]
    steps = max(1, len(series.slices) - 1)
    along = (last.corners(pixel)[0] - corner) / steps if len(series.slices) > 1 else -first.normal
    down, across = first.turned_axes
    affine = np.eye(4)
    affine[:3, :3] = np.stack([along, down * pixel[0], across * pixel[1]], axis=1)
    affine[:3, 3] = corner
    affine[:2] *= -1  # DICOM counts to the left and back, NIfTI to the right and front
    shape = (len(series.slices), *first.shape)
    axes = "".join(nib.aff2axcodes(affine))
    return Grid(shape, (0, 1, 2), (False,) * 3, True, axes, affine)


def read_series_and_mask(job: Job) -> Volume:
    """Read one study: int16 image and uint8 labels, slices from head to feet.

    Raises:
        SkipVolume: A series that is synthetic or cannot be used, or a label map that does not lie
            on it or holds values that mean nothing.
    """
    (path, mask_path), (name, mask_name) = job.files, job.names
    folder = read_folder(path, name)
    variable = job.options["variable"]
    series = read_series(folder, job.options["series"], is_image=True, variable=variable)
    synthetic = series.num_synthetic(job)
    file = header_of(mask_path, mask_name)
    of_mask = is_synthetic(mask_name, mark_in_nifti(mask_path, file.header), job)
    grid, _, on_it = mask_on_image(grid_of(file), grid_of_series(series), mask_name, name)
    image, said = hounsfield_units(series, name)
    mapped: set[int] = set()
    mask = mask_on_grid(file, mask_path, mask_name, grid, job, mapped)
    notes = [*job.options["chose"], *series.notes, *said, *on_it, *check_image(image, name)]
    notes += all_marked_note(mask, mask_name)
    if not mask.any():
        notes.append(f"{mask_name}: is empty; nothing is marked in any slice.")
    synthetic = len(mask) if of_mask else synthetic
    return series.volume(image, mask, notes, synthetic, mapped)
