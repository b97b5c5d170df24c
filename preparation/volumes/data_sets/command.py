"""`prepare.py nnunet`: data sets that say themselves what their labels and channels are."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

from preparation.claim import refuse_one_in_the_other
from preparation.synthetic_files import SyntheticFiles
from preparation.volumes.command import prepare_found
from preparation.volumes.data_sets.dataset_file import IGNORE, NAME, read_dataset_file
from preparation.volumes.grey_values.window import Window
from preparation.volumes.options import MaskOptions, PixelOptions, SliceOptions
from preparation.volumes.prepare import SliceOutcome
from provenance import UserError


def nnunet(
    *,
    out: Path,
    source: Path,
    part: Literal["Tr", "Ts"] = "Tr",
    patient_pattern: str | None = None,
    pixels: PixelOptions = PixelOptions(),
    window: Window = Window(),
    masks: MaskOptions = MaskOptions(),
    synthetic: SyntheticFiles = SyntheticFiles(),
    options: SliceOptions = SliceOptions(),
) -> SliceOutcome:
    """Prepare a data set with a dataset.json: nnU-Net's layout, or the Decathlon's.

    Labels and channels are those of dataset.json. Channels called CT are windowed; others are
    scaled by percentiles of each volume. Each case counts as a patient, unless --patient-pattern
    says otherwise.

    Args:
        out: Folder of the cache.
        source: Folder of the data set, such as Dataset123_Liver; only read.
        part: Tr: imagesTr and labelsTr. Ts: imagesTs and labelsTs, which all go to the test split.
        patient_pattern: Regular expression, searched in a case's name, whose first group is the
            patient: (.+)_visit for anna_visit1 and anna_visit2. Default: each case is a patient.
        pixels: See `PixelOptions`.
        window: See `Window`.
        masks: See `MaskOptions`.
        synthetic: See `SyntheticFiles`.
        options: See `SliceOptions`.
    """
    from preparation.volumes.data_sets.nnunet import find_nnunet_cases
    from preparation.volumes.nifti.case import read_case

    refuse_one_in_the_other(out, source)
    about = read_dataset_file(source, masks.given_labels)
    masks = replace(masks, labels=tuple(f"{value}={name}" for value, name in about.labels.items()))
    values = masks.values
    if about.has_ignored and IGNORE in values.class_names:
        [value] = [value for value, name in about.labels.items() if name == IGNORE]
        raise UserError(
            f"{source / NAME}: {value} is {IGNORE}, which marks pixels without a label, and "
            "trainings here use every pixel. If they may count as background, say so with "
            f"--label-map {value}=0."
        )
    pattern = _pattern(patient_pattern)
    more: dict[str, str] = {}
    if part != "Tr":
        more["part"] = part
    if patient_pattern is not None:
        more["patient_pattern"] = patient_pattern
    if part == "Ts" and options.split_all_to is None:
        options = replace(options, split_all_to="test")
    found = find_nnunet_cases(source, about, part, values, masks.naming, pattern)
    greys = window.of_channels(about.channels)
    found.notes += window.notes(greys)
    return prepare_found(
        "nnunet", out, found, read_case, pixels, greys, synthetic, options, masks, {}, more
    )


def _pattern(text: str | None) -> re.Pattern[str] | None:
    try:
        return None if text is None else re.compile(text)
    except re.error as error:
        raise UserError(
            f"--patient-pattern {text}: is not a regular expression ({error}). Expected such as "
            "(.+)_visit, whose first group is the patient."
        ) from None
