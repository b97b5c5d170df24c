"""The sources of CT slices: one function each, whose parameters are the flags of `prepare.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from tqdm import tqdm

from licences import PHANTOM
from phantom.ct.tumour_settings import TumourSettings
from preparation.claim import claimed, refuse_one_in_the_other
from preparation.left_out import grouped
from preparation.licence import (
    agreed_licence,
    guessed_note,
    licence_of_cases,
    refuse_of_phantom,
)
from preparation.pseudonym import Naming
from preparation.split_notes import check_no_split_is_empty
from preparation.synthetic_files import SyntheticFiles
from preparation.volumes.grey_values.channel import Channel
from preparation.volumes.grey_values.window import Window
from preparation.volumes.image_size import common_size, resized_note
from preparation.volumes.layout import Layout
from preparation.volumes.left_out import stop_at_the_first
from preparation.volumes.options import MaskOptions, PixelOptions, SliceOptions
from preparation.volumes.prepare import SliceOutcome, prepare
from preparation.volumes.volume import Found, Reader

# For sources whose slices do not state their size.
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
    """Draw abdominal CT with kidneys and tumours, in KiTS19's layout, and prepare it.

    Needs no data; used by the quickstart and the tests.

    Args:
        out: Folder of the cache.
        num_patients: Number of patients to draw.
        num_slices: Number of slices per patient.
        seed: Seed of the drawing; the same seed draws the same patients.
        image_size: Height = width in pixels. Pix2Pix needs 32, 64, 128 and so on.
        share_with_tumour: Probability that a patient has a tumour, 0 to 1; in KiTS19 every patient
            has one.
        tumour_mm: Median diameter of the tumours in mm; each is 5 to 60 mm.
        window: See `Window`.
        options: See `SliceOptions`.
    """
    from phantom.ct.write_set import write_phantom_ct
    from preparation.volumes.data_sets.kits19 import find_cases
    from preparation.volumes.nifti.case import read_case

    if options.licence is not None:
        refuse_of_phantom("phantom_ct", options.licence)
    grey = window.of_one_channel()
    layout = Layout(
        "phantom_ct",
        image_size,
        grey.window if grey.in_hu else None,
        options.on_nonsquare,
        True,
        channels=() if grey.in_hu else (grey,),
    )
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
        for job in found.jobs:
            job.options["in_hu"] = [grey.in_hu]
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

    Or any NIfTI pairs in that layout with the labels 0 background, 1 kidney, 2 tumour. Other
    labels, such as KiTS23's 3 (cyst), are refused until --labels or --label-map names them.

    Args:
        out: Folder of the cache.
        source: Folder of the raw data; only read.
        pixels: See `PixelOptions`.
        window: See `Window`.
        masks: See `MaskOptions`.
        synthetic: See `SyntheticFiles`.
        options: See `SliceOptions`.
    """
    from preparation.volumes.data_sets.kits19 import find_cases
    from preparation.volumes.nifti.case import read_case

    refuse_one_in_the_other(out, source)
    found = find_cases(source, values=masks.values, naming=masks.naming)
    greys = (window.of_one_channel(),)
    return prepare_found("kits19", out, found, read_case, pixels, greys, synthetic, options, masks)


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

    The index has the columns file, case (the patient) and slice. Grey values are used as they are,
    without a window.

    Args:
        out: Folder of the cache.
        source: Folder of the raw data; only read.
        image_size: Height = width in pixels to resize to, 1 or more. Default: the most common size
            of the source.
        masks: See `MaskOptions`.
        synthetic: See `SyntheticFiles`.
        options: See `SliceOptions`.
    """
    from preparation.volumes.png_slices import find_pairs, read_pairs

    refuse_one_in_the_other(out, source)
    found = find_pairs(source, masks.values, masks.naming)
    pixels = PixelOptions(image_size=image_size)
    return prepare_found("slices", out, found, read_pairs, pixels, (), synthetic, options, masks)


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
    from preparation.volumes.data_sets.kits19 import find_cases
    from preparation.volumes.nifti.case import read_case

    refuse_one_in_the_other(out, source)
    found = find_cases(source, True, masks.values, masks.naming)
    return prepare_found("masks", out, found, read_case, pixels, (), synthetic, options, masks)


def prepare_found(
    dataset: str,
    out: Path,
    found: Found,
    reader: Reader,
    pixels: PixelOptions,
    greys: Sequence[Channel],
    synthetic: SyntheticFiles,
    options: SliceOptions,
    masks: MaskOptions | None,
    label_map: Mapping[str, str] = MappingProxyType({}),
    more_settings: Mapping[str, str] = MappingProxyType({}),
) -> SliceOutcome:
    """Prepare what was found in a source.

    Args:
        dataset: The command.
        out: Folder of the cache.
        found: Jobs of the source.
        reader: Reads one job.
        pixels: See `PixelOptions`.
        greys: How each channel becomes grey; none where there are no images, or greys pass through.
        synthetic: See `SyntheticFiles`.
        options: See `SliceOptions`.
        masks: What the values of masks mean; None where they are no values.
        label_map: What structures become, where masks are no values.
        more_settings: What else decides on the cache.
    """
    split = options.split
    # Resampling decides what is a square, in millimetres.
    on_nonsquare = "pad" if pixels.resample else options.on_nonsquare
    size = pixels.image_size or common_size(found, on_nonsquare) or _IMAGE_SIZE
    is_ct = len(greys) == 1 and greys[0].in_hu
    layout = Layout(
        dataset,
        size,
        greys[0].window if is_ct else None,
        options.on_nonsquare,
        has_images=dataset != "masks",
        label_map=dict(label_map if masks is None else masks.new_names),
        resample=pixels.resample,
        channels=() if is_ct else tuple(greys),
        labels=None if masks is None else masks.given_labels,
    )
    if len(found.split_keys) == 1 and split.all_to is None and split.by == "patient":
        split = replace(split, all_to="test")
        found.notes.append(
            "There is only one patient, so all slices are in the test split, for evaluating models "
            "that were trained on other data. Pass --split-all-to train to train on them."
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
        job.options.update(synthetic.settings(), in_hu=[grey.in_hu for grey in greys])
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
