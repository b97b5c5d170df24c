"""What says that a file is synthetic: the words, how a file gets them, how they are found again.

Whoever writes images that no camera made marks them in more than one place, since de-identifiers
remove DICOM tags and programs that save a picture anew drop its metadata. Marks of other software
are found too, where a standard defines them: IPTC's DigitalSourceType (also in C2PA manifests) and
DICOM's SyntheticData and Synthesizing Equipment.

Every room may import it; it imports none.
"""

import json
import mmap
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

NOTICE = "Synthetic: made by a neural network. Not a picture of a patient."
COMPOSITE_NOTICE = (
    "Synthetic in part: a patient's image in which a neural network painted a region."
)
TRANSLATED_NOTICE = "Synthetic in part: a patient's image that a neural network translated."
LABEL_MAP_NOTICE = "Synthetic: label map of an image that a neural network painted on it."
SOFTWARE = "Understudy"
_IPTC_CODES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
DIGITAL_SOURCE_TYPE = f"{_IPTC_CODES}trainedAlgorithmicMedia"
_SOURCE_TYPES = {
    NOTICE: DIGITAL_SOURCE_TYPE,
    COMPOSITE_NOTICE: f"{_IPTC_CODES}compositeWithTrainedAlgorithmicMedia",
    TRANSLATED_NOTICE: f"{_IPTC_CODES}compositeWithTrainedAlgorithmicMedia",
}
SET_FORMAT = "understudy-synthetic"  # of the manifest of a set
# DICOM PS3.16 CID 7005; in Contributing Equipment Sequence.
SYNTHESIZING_EQUIPMENT = ("109100", "DCM", "Synthesizing Equipment")

_OUR_WORDS = re.compile(
    "|".join(
        re.escape(words)
        for words in (NOTICE, COMPOSITE_NOTICE, TRANSLATED_NOTICE, LABEL_MAP_NOTICE)
    )
)
# Values of IPTC's vocabulary for what is made by a model or an algorithm, wholly or in part.
_IPTC = re.compile(
    r"digitalsourcetype/((?:compositeWithT|t)rainedAlgorithmicMedia|algorithmicMedia|"
    r"compositeSynthetic)"
)
_DICOM_TEXTS = ("ImageComments", "SeriesDescription", "DerivationDescription")
_SET_FORMAT_ENTRY = re.compile(rb'"format"\s*:\s*"' + SET_FORMAT.encode() + b'"')
_HEAD_BYTES = 4096  # of a manifest, whose first entry is its format
_MOST_JSON_BYTES = 1 << 20
DICOM_TAGS = ["SyntheticData", "ContributingEquipmentSequence", *_DICOM_TEXTS]
"""What `mark_in_dicom` looks at."""


def as_json(notice: str = NOTICE) -> dict[str, str]:
    """The marks as JSON holds them: beside a NIfTI file and in it, and in the manifest of a set."""
    marks = {"SyntheticData": "YES", "Comment": notice, "Software": SOFTWARE}
    kind = _SOURCE_TYPES.get(notice)
    return marks | ({"DigitalSourceType": kind} if kind else {})


def xmp(notice: str = NOTICE) -> bytes:
    """An XMP packet: a description, and for an image IPTC's DigitalSourceType."""
    kind = _SOURCE_TYPES.get(notice)
    source = f' Iptc4xmpExt:DigitalSourceType="{kind}"' if kind else ""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
        'xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f'xmp:CreatorTool="{SOFTWARE}"{source}>'
        f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{notice}</rdf:li></rdf:Alt>'
        "</dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"
        '<?xpacket end="w"?>'
    ).encode()


def png_info(notice: str = NOTICE) -> "PngInfo":
    """What Pillow's `save(pnginfo=...)` writes into a PNG: a text chunk and an XMP packet."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Description", notice)
    info.add_text("Software", SOFTWARE)
    info.add_itxt("XML:com.adobe.xmp", xmp(notice).decode())
    return info


def mark_in_picture(path: Path, info: Mapping[Any, Any]) -> str | None:
    """What says that a PNG, JPEG, TIFF or WebP is synthetic; None where nothing does.

    Args:
        path: The file; its bytes are searched, so that XMP, Exif and C2PA are found wherever the
            format keeps them.
        info: Pillow's `Image.info`: texts that the file holds compressed.
    """
    texts = " ".join(
        value.decode("latin-1") if isinstance(value, bytes) else str(value)
        for value in info.values()
        if isinstance(value, bytes | str)
    )
    return _mark_in_text(texts) or _mark_in_bytes(path) or mark_of_folder(path)


def mark_in_dicom(header: Any) -> str | None:
    """What says that a DICOM file is synthetic; None where nothing does.

    Args:
        header: A pydicom data set with the attributes of `DICOM_TAGS`.
    """
    if _dicom_text(header, "SyntheticData").strip().upper() == "YES":
        return "SyntheticData (0008,001C) is YES"
    code, scheme, name = SYNTHESIZING_EQUIPMENT
    for equipment in _dicom_items(header, "ContributingEquipmentSequence"):
        for purpose in _dicom_items(equipment, "PurposeOfReferenceCodeSequence"):
            if (
                _dicom_text(purpose, "CodeValue"),
                _dicom_text(purpose, "CodingSchemeDesignator"),
            ) == (code, scheme):
                return f"Contributing Equipment (0018,A001) names {name} ({code})"
    for tag in _DICOM_TEXTS:
        if mark := _mark_in_text(_dicom_text(header, tag)):
            return f"{tag}: {mark}"
    return None


def mark_in_nifti(path: Path, header: Any) -> str | None:
    """What says that a NIfTI file is synthetic; None where nothing does.

    Args:
        path: The file; a JSON file of its name is looked for beside it.
        header: nibabel's header, with its extensions.
    """
    described = bytes(header["descrip"]).decode("latin-1")
    if mark := _mark_in_text(described):
        return f"descrip: {mark}"
    for extension in getattr(header, "extensions", ()):
        content = extension.get_content()
        text = content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)
        if mark := _mark_in_text(text):
            return f"extension: {mark}"
    beside = sidecar(path)
    if mark := _mark_in_json(beside):
        return f"{beside.suffix} file beside it: {mark}"
    return mark_of_folder(path)


def sidecar(path: Path) -> Path:
    """The JSON file beside `<name>.nii.gz` or `<name>.nii`."""
    return path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")


def mark_of_folder(path: Path) -> str | None:
    """Whether a file lies in a synthetic set, by the manifest of its folder or the two above."""
    if any(_is_set(folder) for folder in path.absolute().parents[:3]):
        return "it lies in a synthetic set, by the manifest.json of the set's folder"
    return None


def _is_set(folder: Path) -> bool:
    try:
        with open(folder / "manifest.json", "rb") as stream:
            return _SET_FORMAT_ENTRY.search(stream.read(_HEAD_BYTES)) is not None
    except OSError:
        return False


def _mark_in_text(text: str) -> str | None:
    if found := _IPTC.search(text):
        return f"DigitalSourceType is {found[1]} (IPTC)"
    return "its words say so" if _OUR_WORDS.search(text) else None


def _mark_in_bytes(path: Path) -> str | None:
    try:
        with (
            open(path, "rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            for pattern in (_IPTC, _OUR_WORDS):
                if found := re.search(pattern.pattern.encode(), content):
                    return _mark_in_text(found[0].decode())
    except (OSError, ValueError):  # an empty file; whoever decodes it says what is wrong
        return None
    return None


def _mark_in_json(path: Path) -> str | None:
    try:
        with open(path, "rb") as stream:
            told = json.loads(stream.read(_MOST_JSON_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(told, dict):
        return None
    if str(told.get("SyntheticData")).upper() == "YES":
        return "SyntheticData is YES"
    return _mark_in_text(f"{told.get('DigitalSourceType')} {told.get('Comment')}")


def _dicom_text(header: Any, tag: str) -> str:
    value = _dicom_value(header, tag)
    return value if isinstance(value, str) else ""


def _dicom_items(header: Any, tag: str) -> list[Any]:
    value = _dicom_value(header, tag)
    return [item for item in value if hasattr(item, "get")] if isinstance(value, Sequence) else []


def _dicom_value(header: Any, tag: str) -> Any:
    """What a header holds; None where it is damaged, which is no reason to lose a film."""
    try:
        return header.get(tag)
    except Exception:  # pydicom decodes late, and raises what it likes
        return None
