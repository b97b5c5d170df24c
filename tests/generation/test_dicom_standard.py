"""DICOM files against two independent readings of the standard, and pydicom as a third.

`dicom_attributes.json` lists what PS3.3 requires in the modules of the three objects: type 1 has a
value, type 2 may be empty. It is taken from the copy of the standard that highdicom 0.28.2 carries
(MIT). dciodvfy of dicom3tools is older than SyntheticData (0008,001C), and says so in four lines.
"""

import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.datadict import dictionary_VR, keyword_for_tag

from datamodules.hounsfield import GreyScale
from generation.dicom_file import (
    POSTERO_ANTERIOR,
    UNKNOWN_VIEW,
    Described,
    Kind,
    Origin,
    dicom_bytes,
)

REQUIRED = json.loads((Path(__file__).parent / "dicom_attributes.json").read_text())
ABDOMINAL = GreyScale(400, 0)
OF_AGE = {
    "(0x0008,0x001c)  ?  - Warning - Unrecognized tag - assuming explicit value representation OK",
    "Error - Attribute with an even group number is not a recognized standard attribute - "
    "(0x0008,0x001c)  ?",
    "Warning - Attribute is not present in standard DICOM IOD - (0x0008,0x001c)  ?",
    "Warning - Dicom dataset contains attributes not present in standard DICOM IOD - this is a "
    "Standard Extended SOP Class",
}
# Where nobody knows the part of the body; the standard allows it to be empty then.
UNKNOWN_SIDE = (
    "Warning - is only permitted to be empty when actually unknown; should be absent (not empty) "
    "if an unpaired body part, and have a value if a paired body part - attribute <Laterality>"
)
CASES: dict[str, tuple[Kind, GreyScale | None, dict[str, Any]]] = {
    "ct": ("ct", ABDOMINAL, {"spacing_mm": (1 / 3, 1.25), "body_part": "ABDOMEN"}),
    "ct_thick": ("ct", ABDOMINAL, {"spacing_mm": (1.0, 1.0), "thickness_mm": 5.0}),
    "ct_narrow": ("ct", GreyScale(80, 35), {"spacing_mm": (1.0, 1.0), "body_part": "ABDOMEN"}),
    "ct_wide": ("ct", GreyScale(4000, -500), {"spacing_mm": (1, 1), "body_part": "ABDOMEN"}),
    "dx": ("dx", None, {"spacing_mm": (430 / 33,) * 2, "body_part": "CHEST"}),
    "dx_pa": (
        "dx",
        None,
        {"spacing_mm": (6.0, 6.0), "body_part": "CHEST", "view": POSTERO_ANTERIOR},
    ),
    "sc": ("sc", None, {"body_part": "ABDOMEN"}),
    "sc_spacing": ("sc", None, {"spacing_mm": (1.0, 2.0)}),
    "sc_colour": ("sc", None, {}),
}


def written(name: str) -> bytes:
    """33 x 33 pixels: an odd number of bytes, which DICOM pads."""
    kind, scale, described = CASES[name]
    pixels = (np.arange(33 * 33) % 256).astype(np.uint8).reshape(33, 33)
    if name == "sc_colour":
        pixels = np.stack([pixels, pixels[::-1], pixels.T], -1)
    comment = "Pixel spacing is not known: 1 mm is assumed."
    image = Described(pixels, "synthetic_000000", "Pix2Pix", comment, **described)
    return dicom_bytes(image, kind, Origin.new(), scale)


def read(name: str) -> Any:
    return pydicom.dcmread(io.BytesIO(written(name)))


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not here")
@pytest.mark.parametrize("name", CASES)
def test_dciodvfy_finds_nothing_but_what_is_newer_than_it(name: str, tmp_path: Path) -> None:
    (tmp_path / "image.dcm").write_bytes(written(name))
    command = ["dciodvfy", str(tmp_path / "image.dcm")]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr
    lines = {line.strip() for line in (checked.stderr + checked.stdout).splitlines()} - {""}
    left = lines - OF_AGE
    if "body_part" not in CASES[name][2]:
        assert UNKNOWN_SIDE in left
        left -= {UNKNOWN_SIDE}
    [sop_class] = left  # its only line without SyntheticData
    assert (
        sop_class
        == {"ct": "CTImage", "dx": "DXImageForPresentation", "sc": "SCImage"}[CASES[name][0]]
    )
    assert len(lines & OF_AGE) == 4


@pytest.mark.parametrize("name", CASES)
def test_what_the_standard_requires_is_there(name: str) -> None:
    dataset = read(name)
    count = 0
    for module, attributes in REQUIRED[CASES[name][0]].items():
        for path, kind in attributes.items():
            *sequences, keyword = path.split(".")
            items = [dataset]
            for sequence in sequences:
                items = [inner for item in items for inner in item[sequence].value]
            for item in items:
                assert keyword in item, (module, path)
                assert kind == 2 or not item[keyword].is_empty, (module, path)
            count += len(items)
    assert count > 25


@pytest.mark.parametrize("name", CASES)
def test_every_element_is_the_standards_in_its_own_representation(name: str) -> None:
    checked = []

    def check(_: Any, element: Any) -> None:
        assert not element.tag.is_private
        assert keyword_for_tag(element.tag) == element.keyword != ""
        assert element.VR in dictionary_VR(element.tag).split(" or ")
        checked.append(element.keyword)

    read(name).walk(check)
    assert "SyntheticData" in checked
    assert "PurposeOfReferenceCodeSequence" in checked


def test_whom_and_what_a_file_names() -> None:
    first, second = read("dx"), read("dx")
    uids = [
        [str(e.value) for e in dataset.iterall() if e.VR == "UI" and e.keyword != "SOPClassUID"]
        for dataset in (first, second)
    ]
    assert not set(uids[0]) & set(uids[1])
    assert all(pydicom.uid.UID(uid).is_valid for uid in uids[0])
    assert first.PatientID != second.PatientID
    assert first.PatientID.startswith("SYN-")
    for absent in ("InstitutionName", "AccessionNumber", "PatientBirthDate", "PatientSex"):
        assert not first.get(absent)
    # Which claim that a person was there, and that the pixels were looked at.
    assert "PatientIdentityRemoved" not in first
    [view] = first.ViewCodeSequence
    assert (view.CodeValue, view.CodingSchemeDesignator, view.CodeMeaning) == UNKNOWN_VIEW
