"""`prepare.py ct_dicom`: CT series in DICOM, with masks in DICOM or in NIfTI."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from preparation.claim import refuse_one_in_the_other
from preparation.label_map import parse_label_map
from preparation.pseudonym import PatientOptions
from preparation.synthetic_files import SyntheticFiles
from preparation.volumes.command import prepare_found
from preparation.volumes.grey_values.window import Window
from preparation.volumes.options import MaskOptions, PixelOptions, SliceOptions
from preparation.volumes.prepare import SliceOutcome
from preparation.volumes.volume import KIDNEY_AND_TUMOUR
from provenance import UserError


def ct_dicom(
    *,
    out: Path,
    source: Path,
    pixels: PixelOptions = PixelOptions(),
    window: Window = Window(),
    masks: Path | None = None,
    labels: tuple[str, ...] = (),
    mask_labels: tuple[str, ...] = (),
    label_map: tuple[str, ...] = (),
    series: str | None = None,
    variable_spacing: bool = False,
    patient_id_from: Literal["tag", "folder"] = "tag",
    patients: PatientOptions = PatientOptions(),
    synthetic: SyntheticFiles = SyntheticFiles(),
    options: SliceOptions = SliceOptions(),
) -> SliceOutcome:
    """Prepare CT series in DICOM with masks in DICOM: PATIENT_DICOM/ and MASKS_DICOM/<structure>/.

    For one patient or a folder of patients (3D-IRCADb's layout). With --masks: series in folders
    Subject/Study/Series, as of The Cancer Imaging Archive, with NIfTI label maps.

    Args:
        out: Folder of the cache.
        source: Folder of the raw data; only read.
        pixels: See `PixelOptions`.
        window: See `Window`.
        masks: Folder of NIfTI label maps, one for each patient, named by the PatientID or by the
            subject's folder, such as LIDC-0001.nii.gz. They are rotated by their headers and must
            match the voxels of the series.
        labels: With --masks: names of the values 0, 1, 2, ..., such as background,liver,tumour.
        mask_labels: Labels of mask folders with other names, such as mass=2 or mass=tumour. Folders
            named kidney become 1, kidney tumour 2. Other folders are not used, and neither is a
            tumour whose name does not say that it is the kidney's.
        label_map: The same as pairs separated by commas, or as a file with one pair per line; it
            is stored in the cache's settings. With --masks: new classes for values, such as
            3=tumour.
        series: SeriesInstanceUID, or its end, if a folder has several series. Default: the series
            that the masks match.
        variable_spacing: Accept series whose slices are unevenly spaced by design.
        patient_id_from: What names the patient. tag: a hash of PatientID. folder: the folder's name
            as it is; only if it identifies nobody.
        patients: See `PatientOptions`.
        synthetic: See `SyntheticFiles`.
        options: See `SliceOptions`.
    """
    from preparation.volumes.ct_dicom import find_studies, has_studies, read_study

    refuse_one_in_the_other(out, source, masks)
    naming = patients.naming("--patient-id-from folder" if patient_id_from == "folder" else None)
    wanted = {} if series is None else {"series": naming.hidden(series)}
    if variable_spacing:  # caches from before there was a choice go on
        wanted["variable_spacing"] = "accepted"
    greys = (window.of_one_channel(),)
    if not greys[0].in_hu:
        raise UserError(
            f"--window {' '.join(window.window)}: is for values without a unit, and CT in DICOM "
            "has Hounsfield units. Give a window by its name or its width and centre."
        )
    if masks is not None or not has_studies(source):
        from preparation.volumes.tcia.find import find_series
        from preparation.volumes.tcia.read import read_series_and_mask

        if mask_labels:
            raise UserError(
                f"--mask-labels {' '.join(mask_labels)}: is for masks in folders of DICOM. Values "
                "of label maps are named by --labels and --label-map."
            )
        meant = MaskOptions(labels=labels, label_map=label_map)
        found = find_series(
            source, masks, meant.values, series, naming, patient_id_from, variable_spacing
        )
        if masks is not None and not labels:
            found.notes.append(
                "no --labels: of the label maps 1 is taken for kidney and 2 for tumour. If they "
                "mark something else, say so, as in --labels background,liver, into another --out."
            )
        return prepare_found(
            "ct_dicom", out, found, read_series_and_mask, pixels, greys, synthetic, options, meant,
            more_settings={**wanted, "masks": "nifti"},
        )  # fmt: skip
    if labels:
        raise UserError(
            f"--labels {' '.join(labels)}: names values of label maps, which --masks gives. "
            "Masks in folders of DICOM are named by --mask-labels."
        )
    pairs = (*mask_labels, *(f"{k}={v}" for k, v in parse_label_map(label_map).items()))
    flags = {"--mask-labels": mask_labels, "--label-map": label_map}
    flag = " ".join(name for name, given in flags.items() if given)
    of_folders = _mask_labels(pairs, flag)
    found = find_studies(
        source, of_folders, series, naming, patient_id_from, flag, variable_spacing
    )
    # What folders and series are called may identify.
    given = {naming.hidden(name): KIDNEY_AND_TUMOUR[label] for name, label in of_folders.items()}
    return prepare_found(
        "ct_dicom", out, found, read_study, pixels, greys, synthetic, options, None, given, wanted
    )


def _mask_labels(pairs: Sequence[str], flag: str) -> dict[str, int]:
    numbers = {name: number for number, name in enumerate(KIDNEY_AND_TUMOUR)}
    try:
        return {
            name: numbers[label] if label in numbers else int(label)
            for name, label in (pair.split("=") for pair in pairs)
        }
    except ValueError:
        raise UserError(
            f"{flag} {' '.join(pairs)}: expected folder=label pairs such as leftkidney=1 or "
            "mass=tumour, or 0 for what is not used; there are no classes of other names here."
        ) from None
