"""Which kind of file an image becomes, and what it then says that nobody knows."""

import sys
from collections.abc import Sequence

from datamodules.hounsfield import GreyScale
from datamodules.open_cache import open_cache
from datamodules.synthetic import ImageFormat, SyntheticItem
from generation.dicom_file import POSTERO_ANTERIOR, UNKNOWN_VIEW
from generation.generators import TrainedGenerator
from generation.set_files import ASSUMED_SPACING_MM, SetFiles
from generation.synthetic_set import Generation
from lightning_modules.loading import data_root
from provenance import UserError

# The width of a detector that takes a whole chest: 43 x 43 cm.
_DETECTOR_MM = 430.0
# Caches whose films are PA if nobody asked for others.
_PA_DATASETS = ("chest_xray", "phantom_cxr")


def slice_files(
    generation: Generation, items: Sequence[SyntheticItem], image_format: ImageFormat
) -> SetFiles:
    """How slices are written: CT in HU where the window of the generator's data is known.

    Else DICOM is a secondary capture, and NIfTI holds greys.
    """
    [generator] = generation.generators
    kind = type(generator.module).__name__
    if image_format in ("png", "npy"):
        return SetFiles(generation.out, image_format, kind)
    scale = None if image_format == "secondary_capture" else _window_of(generator)
    assumed = []
    if image_format != "secondary_capture" and scale is None:
        instead = "a secondary capture" if image_format == "dicom" else "grey values"
        _tell(
            f"--format {image_format}: the Hounsfield units of the generator's training slices are "
            f"not known (no window in their cache), so each slice is written as {instead}."
        )
        assumed.append("Grey values are no Hounsfield units.")
    of_ct = image_format == "nifti" or (image_format == "dicom" and scale is not None)
    unknown = sum(item.pixel_spacing_mm is None for item in items)
    if unknown and of_ct:
        assumed.append(
            f"Pixel spacing is not known{'' if unknown == len(items) else ' of all slices'}: "
            f"{ASSUMED_SPACING_MM:g} mm is assumed."
        )
    if unknown < len(items):
        assumed.append("Pixel spacing is that of the label map that the slice was painted on.")
    shows_kidneys = any("kidney" in str(name) for name in generator.record["class_names"])
    return SetFiles(
        generation.out,
        image_format,
        kind,
        kind="ct" if scale is not None else "sc",
        scale=scale,
        about={"body_part": "ABDOMEN" if shows_kidneys else ""},
        assumed=tuple(assumed),
    )


def film_files(generation: Generation, image_format: ImageFormat) -> SetFiles:
    """How films are written: in DICOM, grey ones as chest radiographs, colour ones as captures.

    Raises:
        UserError: NIfTI, which films have no geometry for.
    """
    first = generation.generators[0]
    kind = type(first.module).__name__
    if image_format == "nifti":
        raise UserError(
            "--format nifti: is for slices, which have a place in the body; a film is a projection "
            "and has none. Give dicom, secondary_capture, png or npy."
        )
    if image_format != "dicom":
        return SetFiles(generation.out, image_format, kind)
    if first.module.image_channels != 1:
        _tell(
            "--format dicom: the images are in colour, as no radiograph is, so each is written as "
            "a secondary capture."
        )
        return SetFiles(generation.out, image_format, kind)
    is_pa = first.record["dataset"] in _PA_DATASETS
    side_mm = _DETECTOR_MM / first.module.image_size
    return SetFiles(
        generation.out,
        image_format,
        kind,
        kind="dx",
        about={"body_part": "CHEST", "view": POSTERO_ANTERIOR if is_pa else UNKNOWN_VIEW},
        assumed=(
            "Assumed, not known: a frontal film of the chest on a detector of "
            f"{_DETECTOR_MM / 10:g} cm"
            + (", postero-anterior." if is_pa else "; whether it is PA or AP is not known."),
        ),
        assumed_spacing_mm=(side_mm, side_mm),
    )


def _window_of(generator: TrainedGenerator) -> GreyScale | None:
    """The window of the slices that a generator was trained on.

    A checkpoint of an earlier version does not tell; its data are asked if they are there.

    Raises:
        UserError: Nobody tells, so that greys could not be told from Hounsfield units.
    """
    record, checkpoint = generator.record, generator.checkpoint
    if "preparation" in record:
        return GreyScale.of_plain(record["preparation"].get("window"))
    try:
        cache = open_cache(data_root(checkpoint, record, "--format"))
    except UserError as error:
        raise UserError(
            f"{checkpoint}: is of an earlier version and does not tell the window of its training "
            f"slices, and their cache is not there ({error}) Put it back, or give --format "
            "secondary_capture."
        ) from error
    return GreyScale.of_plain(cache.manifest.get("window"))


def _tell(note: str) -> None:
    print(f"note: {note}", file=sys.stderr)
