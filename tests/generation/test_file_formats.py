"""Sets in DICOM and NIfTI: the same pixels, new identities, marks, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image

import generate
import synthetic_marks as marks
from datamodules.hounsfield import GreyScale
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticSet
from datamodules.synthetic import image_name as name_of
from generation import dicom_file
from provenance import UserError, read_json
from tests.conftest import write_cache, write_film_cache
from tests.gan_runs import trained
from tests.generation.test_slices import pix2pix
from tests.prepare_runs import kits19

WINDOW = {"width_hu": 300.0, "center_hu": 40.0}


def windowed(root: Path, window: dict[str, float] | None) -> Path:
    """A cache of slices whose manifest tells a window; the last patient has no spacing."""
    manifest = read_json(write_cache(root) / "manifest.json")
    manifest["window"] = window
    for item in manifest["items"]:
        item["pixel_spacing_mm"] = None if item["patient_id"] == "case_00000" else [2.5, 1.25]
    (root / "manifest.json").write_text(json.dumps(manifest))
    return root


@pytest.fixture(scope="module")
def of_hu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pix2Pix on slices in HU."""
    return pix2pix(windowed(tmp_path_factory.mktemp("ct") / "cache", WINDOW), tmp_path_factory)


@pytest.fixture(scope="module")
def of_greys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pix2Pix on slices whose HU are lost."""
    return pix2pix(windowed(tmp_path_factory.mktemp("grey") / "cache", None), tmp_path_factory)


@pytest.fixture(scope="module")
def of_films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    return trained(write_film_cache(folder / "cache"), "dcgan", folder)


def make(checkpoint: Path, out: Path, **settings: Any) -> SyntheticSet:
    given = {"num_images": 6, "show_progress": False, "device": "cpu", **settings}
    return SyntheticSet.open(generate.generate(checkpoint, out=out, **given))


def headers(made: SyntheticSet) -> list[Any]:
    return [pydicom.dcmread(made.root / name_of(i, made.image_format)) for i in made.items]


def assert_same_images(made: SyntheticSet, plain: SyntheticSet) -> None:
    assert [item.id for item in made.items] == [item.id for item in plain.items]
    for item, other in zip(made.items, plain.items, strict=True):
        np.testing.assert_array_equal(made.image(item), plain.image(other))
        if plain.has_label_maps:
            np.testing.assert_array_equal(made.mask(item), plain.mask(other))


@pytest.mark.parametrize("image_format", ["npy", "dicom", "secondary_capture", "nifti"])
def test_every_format_of_slices_holds_the_pixels_and_labels_of_png(
    of_hu: Path, tmp_path: Path, image_format: str
) -> None:
    plain = make(of_hu, tmp_path / "png")
    made = make(of_hu, tmp_path / "other", format=image_format)
    assert_same_images(made, plain)
    assert f"--format {image_format}" in (made.root / "README.md").read_text()


def test_ct_says_hounsfield_units_and_where_it_lies(of_hu: Path, tmp_path: Path) -> None:
    made = make(of_hu, tmp_path / "set", format="dicom", num_images=12)
    grey = np.stack([made.image(item) for item in made.items])
    for item, dataset in zip(made.items, headers(made), strict=True):
        assert dataset.SOPClassUID.name == "CT Image Storage"
        hu = dataset.pixel_array * dataset.RescaleSlope + dataset.RescaleIntercept
        expected = 40 - 150 + made.image(item) * (300 / 255)
        assert np.abs(hu - expected).max() <= 0.5 + 1e-9  # whole HU
        spacing = [1.0, 1.0] if item.pixel_spacing_mm is None else [2.5, 1.25]
        assert dataset.PixelSpacing == spacing
        assert dataset.SliceThickness == 3
        # The middle of 32 x 32 pixels lies at 0: columns in x, rows in y.
        assert dataset.ImagePositionPatient == [-15.5 * spacing[1], -15.5 * spacing[0], 0]
        assert dataset.BodyPartExamined == "ABDOMEN"
        label_map = nib.load(made.root / f"masks/{item.id}.nii.gz")
        corner = label_map.affine @ [0, 0, 0, 1]  # RAS, against DICOM's LPS
        np.testing.assert_allclose(corner[:3] * [-1, -1, 1], dataset.ImagePositionPatient)
    assert grey.min() < grey.max()
    assert {item.pixel_spacing_mm for item in made.items} == {None, (2.5, 1.25)}
    assert "1 mm is assumed" in made.manifest["files"]
    assert "Pixel spacing is not known of all slices" in (made.root / "README.md").read_text()


def test_slices_without_hounsfield_units_claim_none(
    of_greys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make(of_greys, tmp_path / "dicom", format="dicom")
    assert "no window in their cache), so each slice is written as a secondary capture" in (
        capsys.readouterr().err
    )
    for dataset in headers(made):
        assert (dataset.Modality, dataset.BitsAllocated) == ("OT", 8)
        assert "RescaleSlope" not in dataset
    volumes = make(of_greys, tmp_path / "nifti", format="nifti")
    assert "Grey values are no Hounsfield units." in volumes.manifest["files"]
    assert nib.load(volumes.root / "images/synthetic_000000.nii.gz").get_data_dtype() == np.uint8
    assert_same_images(volumes, made)


def test_films_are_chest_radiographs_and_no_volumes(of_films: Path, tmp_path: Path) -> None:
    plain = make(of_films, tmp_path / "png")
    made = make(of_films, tmp_path / "dicom", format="dicom")
    assert_same_images(made, plain)
    for item, dataset in zip(made.items, headers(made), strict=True):
        assert dataset.SOPClassUID.name == "Digital X-Ray Image Storage - For Presentation"
        assert dataset.ImagerPixelSpacing[0] == pytest.approx(430 / 32)
        assert "Laterality" not in dataset
        np.testing.assert_array_equal(dataset.pixel_array, made.image(item))
    capture = make(of_films, tmp_path / "sc", format="secondary_capture")
    assert {dataset.Modality for dataset in headers(capture)} == {"OT"}
    with pytest.raises(UserError, match=r"a film is a projection and has none\. Give dicom"):
        make(of_films, tmp_path / "nifti", format="nifti")
    assert not (tmp_path / "nifti").exists()


def test_colour_is_a_secondary_capture(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    image = dicom_file.Described(pixels, "synthetic_000000", "GAN")
    (tmp_path / "c.dcm").write_bytes(dicom_file.dicom_bytes(image, "sc", dicom_file.Origin.new()))
    dataset = pydicom.dcmread(tmp_path / "c.dcm")
    assert dataset.PhotometricInterpretation == "RGB"
    np.testing.assert_array_equal(dataset.pixel_array, pixels)


def test_no_two_sets_share_an_identity_and_a_set_that_goes_on_keeps_its_own(
    of_films: Path, tmp_path: Path
) -> None:
    levels = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID")
    first = make(of_films, tmp_path / "first", format="dicom")
    again = make(of_films, tmp_path / "again", format="dicom")  # the same checkpoint and seed
    found = [
        {str(d[level].value) for d in headers(made) for level in levels} for made in (first, again)
    ]
    assert [len(one) for one in found] == [6 * len(levels)] * 2  # each image for itself
    assert not found[0] & found[1]
    lost = first.root / "images/synthetic_000003.dcm"
    before = lost.read_bytes()
    lost.unlink()
    (first.root / "manifest.json").unlink()
    make(of_films, tmp_path / "first", format="dicom")
    assert lost.read_bytes() == before


def test_nothing_of_a_patient_stands_in_a_file(of_hu: Path, tmp_path: Path) -> None:
    """Not whose label map it was, nor from which cache; the manifest has it for the leak check."""
    made = make(of_hu, tmp_path / "set", format="dicom")
    for path in [*(made.root / "images").iterdir(), *(made.root / "masks").iterdir()]:
        assert b"case_0" not in path.read_bytes()
        assert str(tmp_path).encode() not in path.read_bytes()


@pytest.mark.parametrize("image_format", ["png", "dicom", "secondary_capture", "nifti"])
def test_every_file_says_that_it_is_synthetic(
    of_hu: Path, tmp_path: Path, image_format: str
) -> None:
    made = make(of_hu, tmp_path / "set", format=image_format)
    assert made.manifest["SyntheticData"] == "YES"
    assert made.manifest["DigitalSourceType"] == marks.DIGITAL_SOURCE_TYPE
    (made.root / "manifest.json").unlink()  # which would say it of all files in the folder
    checked = 0
    for folder in ("images", "masks"):
        for path in (made.root / folder).iterdir():
            assert mark_of(path) is not None, path
            checked += 1
    # NIfTI files have a JSON file beside each.
    assert checked == {"png": 12, "nifti": 24}.get(image_format, 18)
    with Image.open(made.root / "sheet.png") as sheet:
        assert marks.mark_in_picture(made.root / "sheet.png", sheet.info)


def mark_of(path: Path) -> str | None:
    if path.suffix == ".dcm":
        return marks.mark_in_dicom(pydicom.dcmread(path))
    if path.suffix == ".gz":
        return marks.mark_in_nifti(path, nib.load(path).header)
    if path.suffix == ".json":
        return "json" if read_json(path)["SyntheticData"] == "YES" else None
    with Image.open(path) as picture:
        return marks.mark_in_picture(path, picture.info)


@pytest.mark.parametrize("width", [40.0, 255.0, 256.0, 400.0, 2000.0, 5000.0])
@pytest.mark.parametrize("center", [-600.0, 0.0, 35.5])
def test_every_grey_comes_back_from_hounsfield_units(width: float, center: float) -> None:
    scale, grey = GreyScale(width, center), np.arange(256, dtype=np.uint8)
    stored = scale.stored(grey)
    assert stored.min() >= 0
    hu = stored * float(f"{scale.slope:.13g}") + scale.intercept
    np.testing.assert_array_equal(scale.grey(hu), grey)
    assert (hu[0], hu[-1]) == pytest.approx((center - width / 2, center + width / 2), abs=0.51)


def test_a_set_in_dicom_from_others_is_not_believed(of_films: Path, tmp_path: Path) -> None:
    made = make(of_films, tmp_path / "set", format="dicom", num_images=3)
    made = SyntheticSet(made.root, {**made.manifest, "sha256_files": None})
    path = made.root / name_of(made.items[0], "dicom")
    whole = pydicom.dcmread(path)
    whole.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    whole.save_as(path)
    with pytest.raises(UserError, match=r"cannot be read \(its pixels are compressed\)"):
        made.image(made.items[0])
    path.write_bytes(b"\0" * 128 + b"DICM" + b"nonsense")
    with pytest.raises(UserError, match="cannot be read"):
        made.image(made.items[0])
    path.write_bytes(bytes(1 << 20))
    with pytest.raises(UserError, match=r"it is larger than its manifest\.json says"):
        made.image(made.items[0])


def test_exported_slices_come_back_as_they_lie(of_hu: Path, tmp_path: Path) -> None:
    """By prepare.py, whose readers know nothing of how a set is written."""
    made = make(of_hu, tmp_path / "set", format="nifti")
    for number, item in enumerate(made.items):
        case = tmp_path / f"source/case_{number:05d}"
        case.mkdir(parents=True)
        shutil.copy(made.root / name_of(item, "nifti"), case / "imaging.nii.gz")
        shutil.copy(made.root / f"masks/{item.id}.nii.gz", case / "segmentation.nii.gz")
    window = ("--window-width-hu", WINDOW["width_hu"], "--window-center-hu", WINDOW["center_hu"])
    words = ("--split-all-to", "train", *window, "--allow-synthetic")
    assert kits19(tmp_path / "source", tmp_path / "cache", *words) == 0
    cache = SliceCache.open(tmp_path / "cache")
    assert cache.num_synthetic == len(cache) == len(made.items)
    for item, found in zip(made.items, cache.items, strict=True):
        np.testing.assert_array_equal(cache.image(found), made.image(item))
        np.testing.assert_array_equal(cache.mask(found), made.mask(item))
        assert found.pixel_spacing_mm == pytest.approx(item.pixel_spacing_mm or (1, 1))
