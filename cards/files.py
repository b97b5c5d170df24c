"""What a set's card says of its files: where they lie, what their numbers are, how they are marked.

The marks themselves are `synthetic_marks`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from datamodules.hounsfield import GreyScale
from datamodules.synthetic import SyntheticItem, has_label_maps, image_name, mask_name

_DICOM = (
    "each DICOM file (SyntheticData (0008,001C), Contributing Equipment, Image Comments, Series "
    "and Derivation Description)"
)
_MARKS = {
    "png": "each PNG file (a text chunk and XMP; of images with DigitalSourceType)",
    "dicom": _DICOM,
    "secondary_capture": _DICOM,
    "nifti": "each NIfTI file (descrip and a header extension) and the .json beside it",
}
_OF_LABEL_MAPS = {
    "npy": "label maps are PNG files, and say it (a text chunk and XMP)",
    "dicom": "label maps are NIfTI files, and say it in descrip, a header extension and a .json "
    "beside each",
}


def named_files(items: Sequence[SyntheticItem], manifest: Mapping[str, Any]) -> str:
    """Where images and label maps lie, and what else there is."""
    image_format, example = _format(manifest), replace(items[0], id="ID")
    maps = f", {mask_name(example, image_format)} (label maps)" if has_label_maps(items) else ""
    images = image_name(example, image_format)
    return (
        f"{images}{maps}, manifest.json, files.sha256 (hashes of these files), sheet.png, "
        "card.json (this page as data)"
    )


def marks(items: Sequence[SyntheticItem], manifest: Mapping[str, Any]) -> str:
    """Where it is said that the images are synthetic."""
    image_format = _format(manifest)
    if image_format == "npy":
        told = "in this card and in manifest.json; arrays cannot say it"
    else:
        told = f"in this card, in manifest.json, and in {_MARKS[image_format]}"
    other = _OF_LABEL_MAPS.get("dicom" if _MARKS.get(image_format) is _DICOM else image_format)
    return f"{told}; {other}" if other and has_label_maps(items) else told


def depth(manifest: Mapping[str, Any]) -> str:
    """What a pixel is, in two words."""
    if manifest.get("window"):
        return "Hounsfield units"
    return f"8-bit {'colour' if manifest.get('channels') == 3 else 'grey'}"


def pixels(manifest: Mapping[str, Any]) -> str:
    """Which values the pixels have."""
    scale = GreyScale.of_plain(manifest.get("window"))
    if scale is None:
        return (
            "8 bits, 0 to 255, on the grey scale of the prepared training images; every one is a "
            "number"
        )
    low, high = (scale.center_hu + side * scale.width_hu / 2 for side in (-1, 1))
    return (
        f"{low:g} to {high:g} HU, the window of the training images; what it cut off is not there, "
        "and an image has at most 256 values; every one is a number"
    )


def _format(manifest: Mapping[str, Any]) -> str:
    return str(manifest.get("image_format", "png"))
