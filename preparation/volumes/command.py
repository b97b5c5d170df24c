"""The sources of CT slices: one function each, whose parameters are the flags of `prepare.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from tqdm import tqdm

from licences import PHANTOM
from phantom.ct.tumour_settings import TumourSettings
from preparation.claim import claimed
from preparation.label_map import parse_label_map
from preparation.left_out import grouped
from preparation.licence import (
    agreed_licence,
    guessed_note,
    licence_of_cases,
    refuse_of_phantom,
)
from preparation.pseudonym import Naming, PatientOptions
from preparation.split import check_no_split_is_empty
from preparation.synthetic_files import SyntheticFiles
from preparation.volumes.image_size import common_size, resized_note
from preparation.volumes.layout import Layout
from preparation.volumes.left_out import stop_at_the_first
from preparation.volumes.mask_values import MaskValues
from preparation.volumes.options import MaskOptions, PixelOptions, SliceOptions, Window
from preparation.volumes.prepare import SliceOutcome, prepare
from preparation.volumes.volume import KIDNEY_AND_TUMOUR, Found, Reader
from provenance import UserError

# Where the source's slices tell no size of their own.
_IMAGE_SIZE = 512


def phantom_ct(
    *,
    out: Path,
    num_patients: int = 40,
    num_slices: int = 24,
    seed: int = 0,
    image_size: int = 64,
    share_with_tumour: float = TumourSettings.share_of_patients,
    tumour_mm: float = TumourSettings.median_mm,
    window: Window = Window(),
    options: SliceOptions = SliceOptions(),
) -> SliceOutcome:
    """Draw synthetic abdominal CT with kidneys and tumours, in KiTS19's layout, and prepare it.

    Needs no data: what the quickstart and the tests run on.

    Args:
        out: Folder of the cache.
        num_patients: Patients to draw.
        num_slices: Slices per patient.
        seed: The same seed draws the same patients.
        image_size: Height = width in pixels.
        share_with_tumour: Probability that a patient has a tumour; in KiTS19 every patient has.
        tumour_mm: Median diameter of the tumours; each is kept within 5 to 60 mm.
        window: See `Window`.
        options: See `SliceOptions`.
    """
    from phantom.ct.write_set import write_phantom_ct
    from preparation.volumes.nifti import find_cases, read_case

    if options.licence is not None:
        refuse_of_phantom("phantom_ct", options.licence)
    layout = Layout("phantom_ct", image_size, window.pair, options.on_nonsquare, True)
    # The same number of another seed is somebody else.
    naming = Naming(None, "as_written", prefix=f"seed{seed}_")
    split, source = options.split, out / "source"
    settings = {**layout.settings(), "patients": naming.names.plain()}
    with claimed(out, settings, split):
        with tqdm(total=num_patients, unit="patient", desc="draw phantom_ct") as bar:
            write_phantom_ct(  # those that are there already stay as they are
                source,
                num_patients=num_patients,
                image_size=image_size,
                num_slices=num_slices,
                seed=seed,
                workers=options.workers,
                tumours=TumourSettings(share_with_tumour, tumour_mm),
                progress=lambda done, total, case: bar.update(done - bar.n),
            )
        found = find_cases(source, naming=naming)
        return prepare(out, found, read_case, layout, split, options, PHANTOM)


def kits19(
    *,
    out: Path,
    source: Path,
    pixels: PixelOptions = PixelOptions(),
    window: Window = Window(),
    masks: MaskOptions = MaskOptions(),
    synthetic: SyntheticFiles = SyntheticFiles(),
    options: SliceOptions = SliceOptions(),
) -> SliceOutcome:
    """Prepare KiTS19: case_00000/imaging.nii.gz and segmentation.nii.gz.

    Or any NIfTI pairs in that layout with labels 0 background, 1 kidney, 2 tumour; others, as
    KiTS23's 3 (cyst), are refused by name until --label-map says what they are.

    Args:
        out: Folder of the cache.
        source: Folder of the raw data; only read.
        pixels: See `PixelOptions`.
        window: See `Window`.
        masks: See `MaskOptions`.
        synthetic: See `SyntheticFiles`.
        options: See `SliceOptions`.
    """
    from preparation.volumes.nifti import find_cases, read_case

    found = find_cases(source, values=MaskValues.of(masks.new_names), naming=masks.naming)
    return _prepare(
        "kits19", out, found, read_case, pixels, window, synthetic, options, masks.new_names
    )


def ct_dicom(
    *,
    out: Path,
    source: Path,
    pixels: PixelOptions = PixelOptions(),
    window: Window = Window(),
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

    For one patient or a folder of patients (3D-IRCADb's layout).

    Args:
        out: Folder of the cache.
        source: Folder of the raw data; only read.
        pixels: See `PixelOptions`.
        window: See `Window`.
        mask_labels: Label of mask folders whose name does not tell: mass=2 or mass=tumour. Folders
            named kidney become 1, kidney tumour 2; others are not used, nor is a tumour that is
            not said to be the kidney's.
        label_map: The same as pairs separated by commas, or as a file with one pair per line; it
            is kept in the cache's settings.
        series: SeriesInstanceUID, or its end, where a folder holds several. Default: the one that
            the masks lie on.
        variable_spacing: Use series whose slices lie unevenly apart, by design.
        patient_id_from: tag: a hash of PatientID. folder: the folder's name as it is; only where
            it identifies nobody.
        patients: See `PatientOptions`.
        synthetic: See `SyntheticFiles`.
        options: See `SliceOptions`.
    """
    from preparation.volumes.ct_dicom import find_studies, read_study

    pairs = (*mask_labels, *(f"{k}={v}" for k, v in parse_label_map(label_map).items()))
    flags = {"--mask-labels": mask_labels, "--label-map": label_map}
    flag = " ".join(name for name, given in flags.items() if given)
    labels = _mask_labels(pairs, flag)
    naming = patients.naming("--patient-id-from folder" if patient_id_from == "folder" else None)
    found = find_studies(source, labels, series, naming, patient_id_from, flag, variable_spacing)
    # What folders and series are called may identify.
    given = {naming.hidden(name): KIDNEY_AND_TUMOUR[label] for name, label in labels.items()}
    wanted = {} if series is None else {"series": naming.hidden(series)}
    if variable_spacing:  # caches from before there was a choice go on
        wanted["variable_spacing"] = "accepted"
    return _prepare(
        "ct_dicom", out, found, read_study, pixels, window, synthetic, options, given, wanted
    )


def slices(
    *,
    out: Path,
    source: Path,
    image_size: int | None = None,
    masks: MaskOptions = MaskOptions(),
    synthetic: SyntheticFiles = SyntheticFiles(),
    options: SliceOptions = SliceOptions(),
) -> SliceOutcome:
    """Prepare pairs of 8-bit PNG slices: image/, label/ and index.csv.

    The index has the columns file, case and slice. Grey values pass through unwindowed.

    Args:
        out: Folder of the cache.
        source: Folder of the raw data; only read.
        image_size: Height = width in pixels to resize to. Default: the source's own size.
        masks: See `MaskOptions`.
        synthetic: See `SyntheticFiles`.
        options: See `SliceOptions`.
    """
    from preparation.volumes.png_slices import find_pairs, read_pairs

    found = find_pairs(source, MaskValues.of(masks.new_names), masks.naming)
    return _prepare(
        "slices",
        out,
        found,
        read_pairs,
        PixelOptions(image_size=image_size),
        None,
        synthetic,
        options,
        masks.new_names,
    )


def masks(
    *,
    out: Path,
    source: Path,
    pixels: PixelOptions = PixelOptions(),
    masks: MaskOptions = MaskOptions(),
    synthetic: SyntheticFiles = SyntheticFiles(),
    options: SliceOptions = SliceOptions(),
) -> SliceOutcome:
    """Prepare label volumes alone (case_00000/segmentation.nii.gz), to generate images from.

    Args:
        out: Folder of the cache.
        source: Folder of the raw data; only read.
        pixels: See `PixelOptions`.
        masks: See `MaskOptions`.
        synthetic: See `SyntheticFiles`.
        options: See `SliceOptions`.
    """
    from preparation.volumes.nifti import find_cases, read_case

    found = find_cases(source, True, MaskValues.of(masks.new_names), masks.naming)
    return _prepare(
        "masks", out, found, read_case, pixels, None, synthetic, options, masks.new_names
    )


def _prepare(
    dataset: str,
    out: Path,
    found: Found,
    reader: Reader,
    pixels: PixelOptions,
    window: Window | None,
    synthetic: SyntheticFiles,
    options: SliceOptions,
    label_map: Mapping[str, str],
    more_settings: Mapping[str, str] = MappingProxyType({}),
) -> SliceOutcome:
    split = options.split
    # Resampling decides what is a square, in millimetres.
    on_nonsquare = "pad" if pixels.resample else options.on_nonsquare
    size = pixels.image_size or common_size(found, on_nonsquare) or _IMAGE_SIZE
    hu = None if window is None else window.pair
    has_images = dataset != "masks"
    layout = Layout(
        dataset, size, hu, options.on_nonsquare, has_images, dict(label_map), pixels.resample
    )
    if len(found.split_keys) == 1 and split.all_to is None and split.by == "patient":
        split = replace(split, all_to="test")
        found.notes.append(
            "One patient cannot be divided, so all slices go to the test split, for evaluating "
            "models trained on other data. Pass --split-all-to train to train on them."
        )
    if options.strict:  # before what was left out can empty a split
        stop_at_the_first(found, found.skipped)
    if layout.has_images and split.by == "patient" and found.jobs:
        in_text = found.own_names.in_text
        first = "; ".join(grouped((in_text(f), in_text(why)) for f, why in found.skipped)[:3])
        told = f"{len(found.skipped):,} left out, first {first} " if first else ""
        check_no_split_is_empty(split, found.split_keys, left_out=told)
    found.notes += found.naming.note()
    for job in found.jobs:
        job.options.update(synthetic.settings())
    patients = {"patients": found.naming.names.plain()}
    settings = {**layout.settings(), **patients, **more_settings, **synthetic.settings()}
    known = None
    if dataset in ("kits19", "masks"):
        known = licence_of_cases(name for own in found.spellings.values() for name in own)
    licence = agreed_licence(out, dataset, options.licence, known)
    if known is not None and options.licence is None and licence == known:
        found.notes.append(guessed_note(known, out))
    with claimed(out, settings, split):
        outcome = prepare(out, found, reader, layout, split, options, licence)
    if pixels.image_size is None:
        outcome.notes += resized_note(found, outcome.manifest)
    return outcome


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
