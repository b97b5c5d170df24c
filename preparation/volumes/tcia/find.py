"""Finds CT series whose masks are NIfTI label maps, called by the patient."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from patient_names import RoundedNumberError, pseudonym
from preparation import left_out
from preparation.pseudonym import Naming
from preparation.volumes.dicom_file import is_axial
from preparation.volumes.dicom_folder import Folder, read_folder
from preparation.volumes.dicom_series import read_series
from preparation.volumes.labels.values import MaskValues
from preparation.volumes.nifti.file import NiftiFile
from preparation.volumes.nifti.grid import mask_on_image
from preparation.volumes.tcia.folders import Study, studies_in
from preparation.volumes.tcia.label_maps import LabelMaps
from preparation.volumes.tcia.read import grid_of_series
from preparation.volumes.volume import Found, Job, SkipVolume, existing_folder
from provenance import UserError


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
    search = _Search(LabelMaps(masks), values, series, patient_id_from == "tag", variable, found)
    for study in studies:
        try:
            found.jobs.append(search.job(study))
        except SkipVolume as skip:
            found.skipped.append((skip.file, skip.reason))
        except Exception as error:  # headers raise what they like
            name = search.alias(study)
            found.skipped.append((name, left_out.cannot_be_read(error, study.folder)))
    found.notes += search.label_maps.unused_note()
    return found


@dataclass(frozen=True)
class _Search:
    """What of a study becomes a job.

    Attributes:
        label_maps: Of all patients.
        values: See `find_series`.
        series: See `find_series`.
        by_tag: Patients are named by PatientID, and by the subject's folder where it is missing.
        variable: See `find_series`.
        found: Takes in names and notes.
    """

    label_maps: LabelMaps
    values: MaskValues
    series: str | None
    by_tag: bool
    variable: bool
    found: Found

    def job(self, study: Study) -> Job:
        """The job of a study.

        Raises:
            SkipVolume: It has no CT, no label map, or none that lies on one of its series.
        """
        alias, own_names = self.alias(study), self.found.own_names
        folders = self._read(study, alias)
        told = _patient_in_headers(folders, alias)
        identifier = told if self.by_tag and told else study.subject
        mask = self._label_map(study, {told, study.subject} - {""}, alias)
        patient = self._patient_id(study, identifier, alias)
        shard = self.found.new_shard(patient)
        of_mask = own_names.add(f"{shard}/mask", mask.name, mask)
        chosen, uid, said = self._chosen(folders, mask, of_mask, alias)
        path = study.of_modality["CT"][folders.index(chosen)]
        name = own_names.add(f"{shard}/series", _own_name(study, path), path)
        image = read_series(chosen, uid, is_image=True, variable=self.variable)
        if not is_axial(image.slices[0].header):
            raise SkipVolume(name, "is not an axial series. Left out.")
        key = self._split_key(identifier)
        return Job(
            shard=shard,
            patient_id=patient,
            identifiers=(identifier,),
            split_key=key,
            item_key=self.found.new_item_key(key),
            files=(path, mask),
            names=(name, of_mask),
            slice_shape=image.slices[0].shape,
            num_slices=len(image.slices),
            class_names=self.values.class_names,
            options={
                **self.values.options(),
                "series": uid,
                "chose": said,
                "variable": self.variable,
            },
        )

    def alias(self, study: Study) -> str:
        """What a study is called in sentences and in the manifest."""
        own = _own_name(study)
        return self.found.own_names.add(self.found.naming.alias(own), own, study.folder)

    def _read(self, study: Study, alias: str) -> list[Folder]:
        """The folders of its CT series."""
        if "CT" not in study.of_modality:
            raise SkipVolume(
                alias,
                f"holds {' and '.join(study.others)}, and no CT. Left out; MRI is read as NIfTI, "
                "which dcm2niix writes, by prepare.py nnunet.",
            )
        add = self.found.own_names.add
        return [
            read_folder(folder, add(f"{alias}/{number}", _own_name(study, folder), folder))
            for number, folder in enumerate(study.of_modality["CT"], start=1)
        ]

    def _label_map(self, study: Study, names: set[str], alias: str) -> Path:
        """The label map of a study, whose patient has these names."""
        fitting = self.label_maps.of(study, names, alias)
        if len(fitting) > 1:
            self.found.notes.append(
                f"{_own_name(study)}: {len(fitting)} label maps are called by it, "
                f"{', '.join(path.name for path in fitting)}; took {fitting[0].name}."
            )
        return fitting[0]

    def _patient_id(self, study: Study, identifier: str, alias: str) -> str:
        naming = self.found.naming
        try:
            return naming.patient_id(identifier) or naming.alias(study.subject)
        except RoundedNumberError as error:
            raise SkipVolume(alias, f"{error} Left out.") from None

    def _split_key(self, identifier: str) -> str:
        """What draws the split of a patient."""
        salt = self.found.naming.salt
        return re.sub(r"[^\w.-]", "_", identifier) if salt is None else pseudonym(identifier, salt)

    def _chosen(
        self, folders: Sequence[Folder], mask: Path, mask_name: str, alias: str
    ) -> tuple[Folder, str, list[str]]:
        """The series that the label map lies on, or that `--series` names, and a note on it."""
        series = [(folder, uid) for folder in folders for uid in sorted(folder.series)]
        if self.series is not None:
            series = [(folder, uid) for folder, uid in series if uid.endswith(self.series)]
            if len(series) != 1:
                raise SkipVolume(
                    alias, f"has {len(series)} series that end in what --series says. Left out."
                )
        grid = NiftiFile.open(mask, mask_name).grid
        fitting, reasons = [], []
        for folder, uid in series:
            try:
                image = read_series(folder, uid, is_image=True, variable=self.variable)
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
                f"holds {len(fitting)} series on whose slices its label map lies alike, such as "
                "two phases of one scan. Left out; say which was drawn on with --series.",
            )
        [(folder, uid)] = fitting
        many = f"{alias}: holds {len(series)} CT series; took the one on which the label map lies."
        return folder, uid, [many] if len(series) > 1 else []


def _patient_in_headers(folders: Sequence[Folder], alias: str) -> str:
    """PatientID of all series; empty where none tells it.

    Raises:
        SkipVolume: They are of several patients.
    """
    headers = [files[0][2] for folder in folders for files in folder.series.values()]
    tags = {str(header.get("PatientID") or "").strip() for header in headers}
    if len(tags) > 1:
        raise SkipVolume(alias, "holds series of several patients (PatientID). Left out.")
    return tags.pop() if tags else ""


def _own_name(study: Study, series: Path | None = None) -> str:
    """Subject/Study, or Subject alone where its series lie in it, and the series' folder."""
    names = [study.subject]
    names += [study.folder.name] * (study.folder.name != study.subject)
    return "/".join([*names, *([] if series is None else [series.name])])
