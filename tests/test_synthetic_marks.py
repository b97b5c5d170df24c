"""Marks are found again wherever a file keeps them, one by one, and nowhere else."""

import io
import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom.dataset import Dataset

import synthetic_marks as marks

GREY = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))


def found(path: Path) -> str | None:
    with Image.open(path) as picture:
        return marks.mark_in_picture(path, picture.info)


def saved(path: Path, **how: object) -> Path:
    GREY.save(path, **how)  # type: ignore[arg-type]
    return path


def only(key: str, text: str, compressed: bool = False) -> PngInfo:
    info = PngInfo()
    info.add_itxt(key, text, zip=compressed)
    return info


def test_each_place_of_a_png_is_enough(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole.png", pnginfo=marks.png_info())
    with Image.open(whole) as picture:
        assert picture.info["Description"] == marks.NOTICE
        described = ElementTree.fromstring(picture.info["xmp"])[0][0]
        name = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
        assert described.attrib[name] == marks.DIGITAL_SOURCE_TYPE
        assert "".join(described.itertext()) == marks.NOTICE
    assert found(whole)
    text = saved(tmp_path / "text.png", pnginfo=only("Description", marks.NOTICE))
    assert found(text) == "its words say so"
    packet = marks.xmp().decode()
    xmp = saved(tmp_path / "xmp.png", pnginfo=only("XML:com.adobe.xmp", packet, compressed=True))
    assert marks.NOTICE.encode() not in xmp.read_bytes()
    assert found(xmp) == "DigitalSourceType is trainedAlgorithmicMedia (IPTC)"
    label_map = saved(tmp_path / "mask.png", pnginfo=marks.png_info(marks.LABEL_MAP_NOTICE))
    assert found(label_map) == "its words say so"
    assert b"digitalsourcetype" not in label_map.read_bytes()  # its pixels are a person's


@pytest.mark.parametrize("suffix", ["jpg", "webp", "tif"])
def test_xmp_of_other_formats_is_found(tmp_path: Path, suffix: str) -> None:
    how = {"tiffinfo": {700: marks.xmp()}} if suffix == "tif" else {"xmp": marks.xmp()}
    assert found(saved(tmp_path / f"a.{suffix}", **how)) is not None
    assert found(saved(tmp_path / f"b.{suffix}")) is None


def test_other_software_is_heard_and_cameras_are_not_accused(tmp_path: Path) -> None:
    camera = marks.xmp("Somebody's picture").replace(b"CreatorTool", b"Label")
    base = b"http://cv.iptc.org/newscodes/digitalsourcetype/"
    for kind, is_synthetic in (
        ("compositeWithTrainedAlgorithmicMedia", True),
        ("algorithmicMedia", True),
        ("compositeSynthetic", True),
        ("digitalCapture", False),
        ("algorithmicallyEnhanced", False),
    ):
        packet = camera.replace(b"xmp:Label=", b'x="' + base + kind.encode() + b'" xmp:Label=')
        assert bool(found(saved(tmp_path / f"{kind}.jpg", xmp=packet))) is is_synthetic
    # C2PA keeps its assertions in a chunk of its own, which Pillow passes over.
    plain = saved(tmp_path / "c2pa.png")
    jumbf = b"c2pa.actions\xa1qdigitalSourceTypex" + base + b"trainedAlgorithmicMedia"
    plain.write_bytes(plain.read_bytes() + len(jumbf).to_bytes(4) + b"caBX" + jumbf + b"0000")
    assert found(plain) == "DigitalSourceType is trainedAlgorithmicMedia (IPTC)"


def test_saving_a_picture_anew_loses_its_marks_but_not_its_folder(tmp_path: Path) -> None:
    marked = saved(tmp_path / "a.png", pnginfo=marks.png_info())
    stream = io.BytesIO()
    with Image.open(marked) as picture:
        Image.fromarray(np.asarray(picture)).save(stream, format="PNG")
    folder = tmp_path / "set/images"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(stream.getvalue())
    assert found(folder / "a.png") is None
    shutil.copytree(folder, tmp_path / "other/images")
    (tmp_path / "other/manifest.json").write_text(
        json.dumps({"format": marks.SET_FORMAT, **marks.as_json()}, indent=1)
    )
    assert "manifest.json" in str(found(tmp_path / "other/images/a.png"))


def dataset(**values: object) -> Dataset:
    made = Dataset()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def equipment(code: str, scheme: str = "DCM") -> Dataset:
    purpose = dataset(CodeValue=code, CodingSchemeDesignator=scheme, CodeMeaning="whatever")
    return dataset(PurposeOfReferenceCodeSequence=[purpose])


def test_each_place_of_a_dicom_file_is_enough() -> None:
    says_it = (
        dataset(SyntheticData="YES"),
        dataset(ContributingEquipmentSequence=[equipment("109103"), equipment("109100")]),
        dataset(ImageComments=f"Chest. {marks.NOTICE}"),
        dataset(SeriesDescription=marks.NOTICE),
        dataset(DerivationDescription=marks.NOTICE),
    )
    for header in says_it:
        assert marks.mark_in_dicom(header) is not None, header
    real = (
        dataset(),
        dataset(SyntheticData="NO", ImageComments=None),
        dataset(ContributingEquipmentSequence=[Dataset(), equipment("109100", "99LOCAL")]),
        dataset(SeriesDescription="Synthetic T2 of the knee"),  # of a real patient
        dataset(PatientIdentityRemoved="YES", DeidentificationMethod="by hand"),
    )
    for header in real:
        assert marks.mark_in_dicom(header) is None, header


def test_each_place_of_a_nifti_file_is_enough(tmp_path: Path) -> None:
    def check(name: str, descrip: bytes, extension: bytes, beside: dict[str, str]) -> str | None:
        image = nib.Nifti1Image(np.zeros((2, 2, 1), np.int16), np.eye(4))
        image.header["descrip"] = descrip
        if extension:
            image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", extension))
        path = tmp_path / f"{name}.nii.gz"
        nib.save(image, path)
        if beside:
            (tmp_path / f"{name}.json").write_text(json.dumps(beside))
        return marks.mark_in_nifti(path, nib.load(path).header)

    told = marks.as_json()
    assert check("descrip", marks.NOTICE.encode(), b"", {}) == "descrip: its words say so"
    assert str(check("extension", b"", json.dumps(told).encode(), {})).startswith("extension: ")
    assert check("beside", b"", b"", told) == ".json file beside it: SyntheticData is YES"
    assert check("bids", b"", b"", {"DigitalSourceType": marks.DIGITAL_SOURCE_TYPE}) is not None
    assert check("real", b"FSL5.0", b"a scan", {"SyntheticData": "NO", "EchoTime": "1"}) is None
    (tmp_path / "torn.json").write_text('{"SyntheticData": ')
    assert check("torn", b"", b"", {}) is None
    assert len(marks.NOTICE) <= 80  # what descrip holds
    assert len(marks.LABEL_MAP_NOTICE) <= 80
