"""What the header of a DICOM film decides, before a pixel is decoded.

The refusals come in the order of what a person would look at first: another modality, pixels that
are no grey picture, another part of the body, another view; then what is missing. No sentence
quotes free text of the header, since names get typed into such fields.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from preparation.films.film import MAX_PIXELS, MIN_SIDE, RejectedFilm
from synthetic_marks import DICOM_TAGS

# Read with the header; everything else in the file is passed over.
TAGS = [
    "SOPInstanceUID", "Modality", "PresentationIntentType", "StudyDescription", "SeriesDescription",
    "AnatomicRegionSequence", "PatientID", "BodyPartExamined", "ProtocolName", "ImagerPixelSpacing",
    "EstimatedRadiographicMagnificationFactor", "ViewPosition", "ViewCodeSequence",
    "PatientOrientation", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows",
    "Columns", "PixelSpacing", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "BurnedInAnnotation", "WindowCenter",
    "WindowWidth", "RescaleIntercept", "RescaleSlope", "VOILUTFunction", "ModalityLUTSequence",
    "VOILUTSequence", "PresentationLUTShape", "PixelAspectRatio", *DICOM_TAGS,
]  # fmt: skip

_MODALITIES = ("CR", "DX", "RG")
_CAPTURES = ("OT", "SC")
_CHEST_WORDS = {"CHEST", "THORAX", "LUNG", "LUNGS", "TORAX", "TÓRAX"}
# Chest, thorax and lung in SNOMED CT and in the older SNOMED RT.
_CHEST_CODES = {"816094009", "51185008", "39607008", "T-D3000", "T-28000"}
_VIEW_OF_CODE = {
    "272479007": "PA", "R-40888": "PA", "R-10214": "PA", "399348003": "AP", "R-10206": "AP",
    "399173006": "LL", "R-10236": "LL", "399198007": "RL", "R-10232": "RL",
    "399067008": "LATERAL", "R-102CD": "LATERAL",
}  # fmt: skip
_VIEW_OF_WORD = {
    "PA": "PA", "POSTEROANTERIOR": "PA", "AP": "AP", "ANTEROPOSTERIOR": "AP",
    "LL": "LL", "LEFTLATERAL": "LL", "RL": "RL", "RIGHTLATERAL": "RL",
    "LAT": "LATERAL", "LATERAL": "LATERAL", "LLD": "LLD", "RLD": "RLD", "LLO": "LLO", "RLO": "RLO",
}  # fmt: skip
_LATERALS = ("LL", "RL", "LATERAL")
_TEXTS = ("SeriesDescription", "ProtocolName", "StudyDescription")
# A pixel of a film: from mammography's 0.05 mm to a film of MIN_SIDE pixels.
_MIN_SPACING_MM, _MAX_SPACING_MM = 0.001, 100.0


@dataclass(frozen=True, kw_only=True)
class DicomOptions:
    """Which DICOM films are taken.

    Attributes:
        view: Accepted values of ViewPosition, such as PA, AP, LL or LATERAL; any accepts every
            film, also those without a view.
        view_from_text: If ViewPosition and ViewCodeSequence are missing, search for the view in the
            series, protocol and study descriptions.
        without_body_part: What to do with films that do not state a body part: leave them out
            (reject), or keep them.
        orientation: What to do with films that are rotated or mirrored by their PatientOrientation:
            leave them out (reject), or ignore the tag.
        without_modality: What to do with files that do not state their modality: leave them out
            (reject), or keep them if everything else is right for a film.
    """

    view: tuple[str, ...] = ("PA",)
    view_from_text: bool = False
    without_body_part: Literal["reject", "keep"] = "reject"
    orientation: Literal["reject", "ignore"] = "reject"
    without_modality: Literal["reject", "keep"] = "reject"

    def settings(self) -> dict[str, Any]:
        """As plain values; `without_modality` only where given, since earlier caches lack it."""
        values = asdict(self)
        if self.without_modality == "reject":
            del values["without_modality"]
        return values


class View(NamedTuple):
    """How the film was taken: `PA`, ..., `other` or empty, and the attribute that says so."""

    name: str
    said_by: str


def is_radiograph(header: Any, if_not_told: bool = False) -> bool:
    """Whether the modality is that of a film; `if_not_told` where there is none."""
    modality = text(header, "Modality").upper()
    return modality in _MODALITIES if modality else if_not_told


def check_picture(
    header: Any, without_modality: Literal["reject", "keep"] = "reject", captures: bool = False
) -> None:
    """Refuse what is no single grey radiograph of 8 to 16 bits and a sensible size.

    Args:
        header: Of the file.
        without_modality: See `DicomOptions`.
        captures: Take secondary captures too.
    """
    modality = text(header, "Modality").upper()
    if not modality and without_modality == "reject":
        raise RejectedFilm(
            "no_modality",
            "It has no Modality; a film is CR, DX or RG. Left out; pass --without-modality keep to "
            "take such files for films.",
        )
    taken = captures and modality in _CAPTURES
    if not is_radiograph(header, if_not_told=True) and not taken:
        kind = f"is {modality}" if re.fullmatch("[A-Z]{2}", modality) else "is something else"
        raise RejectedFilm("modality", f"Modality {kind}; a film is CR, DX or RG.")
    rows, columns = whole(header, "Rows"), whole(header, "Columns")
    if rows is None or columns is None:
        raise RejectedFilm("not_a_picture", "It has no Rows and Columns, so it is no picture.")
    if (whole(header, "NumberOfFrames") or 1) != 1:
        raise RejectedFilm("multi_frame", "It holds several frames; a film is a single picture.")
    samples = whole(header, "SamplesPerPixel")
    if samples not in (1, None) or photometric(header) not in ("MONOCHROME1", "MONOCHROME2"):
        raise RejectedFilm(
            "colour", "Its pixels are not grey: expected one sample, MONOCHROME1 or MONOCHROME2."
        )
    stored, allocated = whole(header, "BitsStored") or 0, whole(header, "BitsAllocated") or 0
    high = whole(header, "HighBit")
    if allocated not in (8, 16) or not 8 <= stored <= allocated or high not in (stored - 1, None):
        raise RejectedFilm(
            "bit_depth",
            f"{stored} bits are stored in {allocated} (highest bit: {high}); expected 8 to 16 "
            "bits in 8 or 16, with the unused ones above.",
        )
    if min(rows, columns) < MIN_SIDE:
        raise RejectedFilm("too_small", f"{rows}x{columns} pixels; expected {MIN_SIDE} or more.")
    if rows * columns > MAX_PIXELS:
        raise RejectedFilm("too_large", f"{rows}x{columns} pixels, more than any detector has.")
    if text(header, "BurnedInAnnotation").upper() == "YES":
        raise RejectedFilm("burned_in_annotation", "Its header says that text is burned into it.")


def check_use(header: Any, options: DicomOptions) -> View:
    """Refuse a film of another body part, view or orientation than is wanted."""
    chest = _shows_chest(header)
    if chest is False:
        raise RejectedFilm(
            "body_part", "It names a part of the body that is not CHEST, THORAX or LUNG."
        )
    view = _view(header, options.view_from_text)
    if "any" not in options.view:
        wanted = " or ".join(options.view)
        if not view.name:
            from_text = "" if options.view_from_text else "--view-from-text looks in its text, "
            raise RejectedFilm(
                "no_view",
                f"The header names no view; wanted {wanted}. Left out; {from_text}--view any takes "
                "every film.",
            )
        if view.name not in options.view:
            raise RejectedFilm("view", f"Its view is {view.name}; wanted {wanted}.")
    if chest is None and options.without_body_part == "reject":
        raise RejectedFilm("no_body_part", "The header names no body part.")
    if options.orientation == "reject":
        _check_orientation(header, view)
    return view


def _shows_chest(header: Any) -> bool | None:
    """Whether the film shows the chest; None if it does not tell."""
    part = text(header, "BodyPartExamined").upper()
    if part:
        # `PORT CHEST` is one; `CHEST ABDOMEN` is a film of a newborn's whole trunk.
        return bool(_CHEST_WORDS & set(re.findall(r"\w+", part))) and "ABD" not in part
    codes = _codes(header, "AnatomicRegionSequence")
    return bool(_CHEST_CODES & codes) if codes else None


def _view(header: Any, from_text: bool) -> View:
    position = re.sub(r"[^A-Z]", "", text(header, "ViewPosition").upper())
    if position:
        return View(_VIEW_OF_WORD.get(position, "other"), "ViewPosition")
    codes = _codes(header, "ViewCodeSequence")
    if codes:
        known = {_VIEW_OF_CODE[code] for code in codes & set(_VIEW_OF_CODE)}
        return View(known.pop() if len(known) == 1 else "other", "ViewCodeSequence")
    for tag in _TEXTS if from_text else ():
        words = re.findall(r"[A-Z]+", text(header, tag).upper().replace("P.A", "PA"))
        known = {_VIEW_OF_WORD[word] for word in words if word in _VIEW_OF_WORD}
        if len(known) == 1:  # `PA AND LATERAL` names the study, not this film
            return View(known.pop(), tag)
    return View("", "")


def _check_orientation(header: Any, view: View) -> None:
    """Refuse a film that lies on its side, on its head, or is mirrored, as far as it tells."""
    turn = text(header, "PatientOrientation").upper().split("\\")
    if turn == [""]:
        return
    right = ("A", "P") if view.name in _LATERALS else ("L",)
    if len(turn) != 2 or turn[0].strip() not in right or turn[1].strip() != "F":
        raise RejectedFilm(
            "orientation",
            f"PatientOrientation is not {right[0]}\\F, so the film is turned or mirrored.",
        )


def spacing(header: Any) -> tuple[tuple[float, float] | None, str | None]:
    """(row, column) distance of pixel centres in mm, and the attribute that it was taken from."""
    for tag in ("PixelSpacing", "ImagerPixelSpacing"):
        values = numbers(header, tag)
        if len(values) == 2 and all(_MIN_SPACING_MM <= v <= _MAX_SPACING_MM for v in values):
            return (values[0], values[1]), tag
    return None, None


def pixel_shape(header: Any) -> float | None:
    """Height of a pixel over its width, by its spacing or else its aspect ratio; None if untold."""
    spacing_mm, _ = spacing(header)
    if spacing_mm is not None:
        return spacing_mm[0] / spacing_mm[1]
    values = numbers(header, "PixelAspectRatio")  # vertical size, horizontal size
    if len(values) == 2 and all(0 < v < math.inf for v in values):
        return values[0] / values[1]
    return None


def magnification(header: Any) -> float | None:
    """How much larger the detector shows things than they are in the patient; None if not told."""
    values = numbers(header, "EstimatedRadiographicMagnificationFactor")
    return values[0] if len(values) == 1 and 1 <= values[0] < 10 else None


def photometric(header: Any) -> str:
    """The photometric interpretation in capitals."""
    return text(header, "PhotometricInterpretation").upper()


def text(header: Any, tag: str) -> str:
    """An attribute as text without padding; several values stay separated by a backslash.

    Raises:
        TypeError: The attribute is of another kind than text.
    """
    value = header.get(tag)
    parts = [value or ""] if value is None or isinstance(value, str) else value
    if not isinstance(parts, Sequence) or not all(isinstance(part, str) for part in parts):
        raise TypeError(tag)
    return "\\".join(parts).strip(" \0")


def whole(header: Any, tag: str) -> int | None:
    """An attribute as a whole number, None where it is missing or empty.

    Raises:
        TypeError: The attribute is of another kind.
    """
    value = header.get(tag)
    if value is None:
        return None
    if not isinstance(value, int):
        raise TypeError(tag)
    return int(value)


def numbers(header: Any, tag: str) -> list[float]:
    """An attribute as numbers; empty where it is missing, NaN where it is no number."""
    try:
        value = header.get(tag)
        if value is None or value == "":
            return []
        values = [value] if isinstance(value, str | int | float) else list(value)
        return [float(one) for one in values]
    except Exception:  # whatever pydicom raises, for a text that is no number
        return [math.nan]


def _codes(header: Any, tag: str) -> set[str]:
    items = header.get(tag) or []
    return {text(item, "CodeValue") for item in items} - {""}
