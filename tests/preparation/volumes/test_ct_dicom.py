"""DICOM series: order, rescale, compression, pseudonyms, holes and doubles."""

import re
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from openjpeg.utils import encode_array
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from patient_names import pseudonym
from preparation.pseudonym import Naming
from preparation.volumes.ct_dicom import find_studies, read_study
from preparation.volumes.labels.structure_names import label_of
from preparation.volumes.volume import SkipVolume
from provenance import UserError
from tests.prepare_runs import run

REAL = Path(__file__).parents[3] / "../shared/data/ircadb_patient1"
AXIAL = (1, 0, 0, 0, 1, 0)


def write_slice(
    path, pixels, z, orientation=AXIAL, series="1.2.3", intercept=0, patient="MRN-4711", **tags
):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[str(path)])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = pydicom.Dataset()
    ds.file_meta = meta
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    ds.SeriesInstanceUID, ds.Modality = series, "CT"
    ds.PatientID, ds.PatientName, ds.StudyDate = patient, "Doe^Jane", "20090527"
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, int(pixels.dtype.kind == "i")
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, z], list(orientation)
    ds.PixelSpacing = [0.8, 0.7]
    ds.RescaleSlope, ds.RescaleIntercept = 1, intercept
    ds.PixelData = pixels.tobytes()
    syntax = tags.pop("syntax", None)
    for name, value in tags.items():
        if value is None:
            delattr(ds, name)
        else:
            setattr(ds, name, value)
    if syntax == JPEG2000Lossless:
        ds.PixelData = pydicom.encaps.encapsulate(
            [encode_array(pixels, photometric_interpretation=2)]
        )
        ds["PixelData"].VR = "OB"
        meta.TransferSyntaxUID = syntax
    elif syntax is not None:
        ds.compress(syntax)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)


def make_study(folder, num=6, shape=(12, 14), seed=0, **kwargs):
    """Write a study and return its (S, H, W) HU and mask, from head to feet."""
    rng = np.random.default_rng(seed)
    image = rng.integers(-1000, 1000, (num, *shape)).astype(np.int16)
    kidney = rng.integers(0, 2, (num, *shape)).astype(np.uint16)
    # Names in an order that is not the anatomical one.
    names = [f"image_{n}" for n in rng.permutation(num)]
    for row, name in enumerate(names):
        z = 100.0 - 2.5 * row
        stored = (image[row] + 1024).astype(np.uint16)
        write_slice(folder / "PATIENT_DICOM" / name, stored, z, intercept=-1024, **kwargs)
        write_slice(folder / "MASKS_DICOM/leftkidney" / name, kidney[row] * 255, z, series="9.1")
    return image, kidney.astype(np.uint8)


def read_only(source, **kwargs):
    found = find_studies(source, **kwargs)
    assert len(found.jobs) == 1, found.skipped
    return read_study(found.jobs[0])


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEG2000Lossless])
def test_sorted_by_position_and_rescaled(tmp_path, syntax):
    image, mask = make_study(tmp_path, num=3, shape=(64, 64), syntax=syntax)
    volume = read_only(tmp_path)
    assert np.array_equal(volume.image, image)
    assert np.array_equal(volume.mask, mask)
    assert volume.slice_spacing_mm == 2.5
    assert volume.pixel_spacing_mm == (0.8, 0.7)


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        ((-1, 0, 0, 0, -1, 0), lambda a: a[::-1, ::-1]),
        ((1, 0, 0, 0, -1, 0), lambda a: a[::-1]),
        ((0, 1, 0, 1, 0, 0), lambda a: a.T),
        ((0, 1, 0, -1, 0, 0), lambda a: a.T[:, ::-1]),
    ],
)
def test_turned_slices_are_turned_back(tmp_path, orientation, turn):
    """A slice stored in another row and column direction shows the same anatomy."""
    make_study(tmp_path, num=1)
    stored = np.arange(12 * 14, dtype=np.int16).reshape(12, 14)
    for path in (tmp_path / "PATIENT_DICOM").iterdir():
        write_slice(path, stored, 100.0, orientation)
    for path in (tmp_path / "MASKS_DICOM/leftkidney").iterdir():
        write_slice(path, (stored > 50).astype(np.uint16), 100.0, orientation)
    volume = read_only(tmp_path)
    assert np.array_equal(volume.image[0], turn(stored))
    assert np.array_equal(volume.mask[0], turn(stored > 50))


def test_head_comes_first_whichever_way_the_normal_points(tmp_path):
    for row in range(3):
        pixels = np.full((6, 6), row, np.int16)
        pixels[0, 0] = -500
        for sub, values in (("PATIENT_DICOM", pixels), ("MASKS_DICOM/kidney", pixels.clip(0, 1))):
            write_slice(tmp_path / sub / f"{row}", values, -10.0 * row, (1, 0, 0, 0, -1, 0))
    assert read_only(tmp_path).image[:, 1, 1].tolist() == [0, 1, 2]


def test_the_patient_is_a_pseudonym(tmp_path):
    make_study(tmp_path / "Doe_Jane")
    found = find_studies(tmp_path)
    job = found.jobs[0]
    assert job.patient_id == job.split_key == pseudonym("MRN-4711", "understudy")
    assert job.names == (f"{job.patient_id}/PATIENT_DICOM", f"{job.patient_id}/MASKS_DICOM#1")
    said = f"{job.patient_id}/PATIENT_DICOM: x {job.names[1]}#2."
    own = "Doe_Jane/PATIENT_DICOM: x Doe_Jane/MASKS_DICOM/leftkidney/image_1."
    assert found.own_names.in_text(said) == own
    assert find_studies(tmp_path, naming=Naming("secret")).jobs[0].patient_id != job.patient_id
    named = find_studies(tmp_path, naming=Naming(None), patient_id_from="folder").jobs[0]
    assert named.patient_id == named.split_key == "Doe_Jane"


def test_a_number_is_one_patient_however_it_is_written_and_rounded_ones_are_left_out(tmp_path):
    spellings = ("7", "007", "7.0", "1.2E+11", "8")
    for number, spelling in enumerate(spellings):
        make_study(tmp_path / str(number), num=2, patient=spelling)
    found = find_studies(tmp_path)
    jobs = {job.identifiers[0]: job for job in found.jobs}
    seven = pseudonym("7", "understudy")
    assert {jobs[spelling].patient_id for spelling in spellings[:3]} == {seven}
    shards = {seven, f"{seven}_2", f"{seven}_3"}
    assert {jobs[spelling].shard for spelling in spellings[:3]} == shards
    assert [jobs[text].split_key for text in spellings[:3]] == [
        pseudonym(text, "understudy") for text in spellings[:3]
    ]
    assert jobs["8"].patient_id == pseudonym("8", "understudy")
    [(file, reason)] = found.skipped
    assert found.own_names.in_text(file) == "3/PATIENT_DICOM"
    assert "rounded" in reason
    apart = find_studies(tmp_path, naming=Naming(ids="as_written"))
    assert len({job.patient_id for job in apart.jobs}) == 5


def test_two_studies_of_a_patient_are_two_volumes_of_one_patient(tmp_path):
    make_study(tmp_path / "first")
    make_study(tmp_path / "second")
    jobs = find_studies(tmp_path).jobs
    assert len({job.patient_id for job in jobs}) == 1
    assert len({job.shard for job in jobs}) == 2


def test_several_series_take_the_largest_or_the_named(tmp_path):
    image, _ = make_study(tmp_path)
    for row in range(2):
        pixels = np.full((12, 14), row, np.int16)
        write_slice(tmp_path / f"PATIENT_DICOM/scout_{row}", pixels, 500 + row, series="1.2.77")
    volume = read_only(tmp_path)
    assert np.array_equal(volume.image, image)
    assert (
        "holds 2 series; took the largest, which the masks match (6 files). Pass --series"
        in volume.notes[0]
    )
    assert "...1.2.3 (6 files), ...1.2.77 (2 files)" in find_studies(tmp_path).notes[-1]
    job = find_studies(tmp_path, series="77").jobs[0]
    assert job.num_slices == 2
    assert "0 series" in find_studies(tmp_path, series="nope").skipped[0][1]


def _drop(folder):
    rows = sorted(folder.iterdir(), key=lambda p: pydicom.dcmread(p).ImagePositionPatient[2])
    rows[2].unlink()


def _double(folder):
    path = next(iter(sorted(folder.iterdir())))
    (folder / "again").write_bytes(path.read_bytes())


def _first(folder, **tags):
    path = sorted(folder.iterdir())[0]
    z = pydicom.dcmread(path).ImagePositionPatient[2]
    write_slice(path, np.zeros((12, 14), np.uint16), z, **tags)


def _short_pixels(folder):
    path = sorted(folder.iterdir())[0]
    ds = pydicom.dcmread(path)
    ds.PixelData = ds.PixelData[:100]
    ds.save_as(path)


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (_drop, "lacks 1 slice"),
        (_double, r"DICOM/again and PATIENT_DICOM/image_0|DICOM/image_0 and PATIENT_DICOM/again"),
        (lambda f: _first(f, NumberOfFrames=2), "multi-frame"),
        (lambda f: _first(f, SamplesPerPixel=3), "colour"),
        (lambda f: _first(f, PhotometricInterpretation="MONOCHROME1"), "MONOCHROME1"),
        (lambda f: _first(f, BurnedInAnnotation="YES"), "burned"),
        (lambda f: _first(f, ImagePositionPatient=None), "no usable ImagePositionPatient"),
        (lambda f: _first(f, PixelSpacing=[2, 2]), "has PixelSpacing"),
        (_short_pixels, "cannot be decoded|decodes to shape"),
        (lambda f: [p.write_text("x") for p in f.iterdir()], "holds no DICOM file"),
    ],
)
def test_series_that_cannot_be_trusted_are_left_out(tmp_path, break_it, sentence):
    make_study(tmp_path)
    break_it(tmp_path / "PATIENT_DICOM")
    found = find_studies(tmp_path)
    skipped = found.skipped or [_reading_fails(found.jobs[0])]
    assert re.search(r"image_\d|/again", " ".join(skipped[0])) is None
    file, reason = (found.own_names.in_text(text) for text in skipped[0])
    assert file.startswith("PATIENT_DICOM")
    assert re.search(sentence, reason), reason


def _reading_fails(job, own_names=None):
    with pytest.raises(SkipVolume) as caught:
        read_study(job)
    file, reason = caught.value.file, caught.value.reason
    return (own_names.in_text(file), reason) if own_names else (file, reason)


def test_a_mask_must_cover_the_image(tmp_path):
    make_study(tmp_path)
    _drop_last = sorted((tmp_path / "MASKS_DICOM/leftkidney").iterdir())
    for path in _drop_last:
        ds = pydicom.dcmread(path)
        ds.ImagePositionPatient[2] = float(ds.ImagePositionPatient[2]) + 2.5
        ds.save_as(path)
    found = find_studies(tmp_path)
    job = found.jobs[0]
    assert "different scans" in _reading_fails(job)[1]
    for path in _drop_last[:0] + [p for p in _drop_last if "5" in p.name or "4" in p.name]:
        path.unlink()
    assert _reading_fails(job, found.own_names)[0] == "MASKS_DICOM/leftkidney"


def test_tumour_lies_over_kidney_and_other_organs_are_left_out(tmp_path):
    make_study(tmp_path, num=2)
    for row, path in enumerate(sorted((tmp_path / "PATIENT_DICOM").iterdir())):
        z = pydicom.dcmread(path).ImagePositionPatient[2]
        whole = np.full((12, 14), 255, np.uint16)
        whole[0] = 0
        for number, name in enumerate(("leftkidney", "kidneytumour", "livertumor01", "mass")):
            write_slice(tmp_path / f"MASKS_DICOM/{name}/{row}", whole, z, series=f"9.{number}")
        (tmp_path / f"MASKS_DICOM/leftkidney/{path.name}").unlink()
    found = find_studies(tmp_path)
    assert "livertumor01, mass" in found.notes[0]
    mask = read_study(found.jobs[0]).mask
    assert (mask[:, 1:] == 2).all()
    assert not mask[:, 0].any()
    assert label_of("mass", {"mass": 2}) == 2
    with pytest.raises(UserError, match=r"expected 0 \(background\), 1 \(kidney\) or 2 \(tumour\)"):
        find_studies(tmp_path, {"mass": 7})


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("leftkidney", 1), ("Right_Kidney", 1), ("kidneys", 1), ("kidney_left", 1),
        ("Kidney_L", 1), ("kidney_R", 1), ("L Kidney", 1), ("left kidney", 1), ("LeftKidney", 1),
        ("KidneyRight", 1), ("lkidney", 1), ("Kidney_Lt", 1), ("both kidneys", 1), ("KIDNEY", 1),
        ("kidney_mask", 1), ("Kidney-02", 1), ("mask of the right kidney", 1),
        ("left_kidney_tumor", 2), ("TumorKidneyLeft", 2), ("tumour in the kidney", 2),
        ("renal cell carcinoma", 2), ("kidney_cancer", 2),
        ("tumor", 0), ("righttumour", 0), ("Tumours", 0), ("adrenal tumor", 0), ("adrenal", 0),
        ("kidney_vessel", 0), ("nokidney", 0), ("kidney_tumour01", 2), ("renal tumors", 2),
        ("livertumor01", 0),
        ("liver", 0), ("bone", 0), ("leftsurretumor", 0), ("kidneycyst", 0),
    ],
)  # fmt: skip
def test_structures_by_name(name, label):
    assert label_of(name, {}) == label


@pytest.mark.parametrize("name", ["kidney_tumor", "kidney"])
def test_a_label_map_is_no_mask_of_one_structure(tmp_path, name):
    """Kidney 1 and tumour 2 in one folder: all of it would be what the folder is called."""
    make_study(tmp_path)
    folder = (tmp_path / "MASKS_DICOM/leftkidney").rename(tmp_path / "MASKS_DICOM" / name)
    labels = np.zeros((12, 14), np.uint16)
    labels[2:6, 2:6], labels[3, 3] = 1, 2
    _write_all(folder, labels)
    found = find_studies(tmp_path)
    file, reason = _reading_fails(found.jobs[0], found.own_names)
    assert file == f"MASKS_DICOM/{name}"
    assert "holds the values 1, 2, so it is a map of several labels, and all would" in reason
    _write_all(folder, (labels > 0) * np.uint16(255))
    assert (read_study(find_studies(tmp_path).jobs[0]).mask > 0).sum() == 6 * 16


def _write_all(folder, pixels):
    for path in folder.iterdir():
        write_slice(path, pixels, pydicom.dcmread(path).ImagePositionPatient[2], series="9.1")


def test_the_summary_says_which_folder_became_what_and_a_bare_tumour_is_not_guessed(
    tmp_path, capsys
):
    make_study(tmp_path / "a/src", shape=(16, 16))
    masks = tmp_path / "a/src/MASKS_DICOM"
    (masks / "leftkidney").rename(masks / "Kidney_L")
    for other in ("tumor", "liver"):
        shutil.copytree(masks / "Kidney_L", masks / other)
    words = ("ct_dicom", "--source", tmp_path / "a", "--split-all-to", "test", "--out")
    assert run(*words, tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "kidney (1): Kidney_L; tumour (2): none; not used: liver, tumor (" in said
    assert "tumor: its name does not say whose tumour it is, so it is not used." in said
    assert "pass --mask-labels tumor=2" in said
    assert "0 with tumour" in said
    assert run(*words, tmp_path / "told", "--mask-labels", "tumor=tumour") == 0
    said = capsys.readouterr().out
    assert "kidney (1): Kidney_L; tumour (2): tumor; not used: liver (" in said
    assert "does not say" not in said
    mapped = tmp_path / "mapped"
    assert run(*words, mapped, "--label-map", "tumor=tumour,liver=0") == 0
    assert "tumour (2): tumor; not used: liver (" in capsys.readouterr().out
    assert run(*words, mapped, "--label-map", "tumor=kidney") == 2
    assert re.search(r"label_map\.[0-9a-f]{12} was tumour, is now kidney", capsys.readouterr().err)
    (masks / "Kidney_L").rename(masks / "spleen")
    assert run(*words, tmp_path / "none") == 2
    said = capsys.readouterr().err
    assert "has no mask of a kidney" in said
    assert "tumor: its name does not say whose tumour it is" in said


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        ("rightkidney=2", "rightkidney is a kidney by its name"),
        ("Kidney_R=tumour", "Kidney_R is a kidney by its name"),
        ("leftkidney=adrenal", "there are no classes of other names here"),
        ("leftkidney=true", "expected folder=label pairs"),
        ("mas=2", "no patient has a folder of that name. There are leftkidney"),
        ("leftkidney=3", "expected 0"),
    ],
)
def test_labels_that_would_be_wrong_are_refused(tmp_path, capsys, pair, sentence):
    make_study(tmp_path / "src")
    words = ("ct_dicom", "--source", tmp_path / "src", "--out", tmp_path / "out")
    for flag in ("--mask-labels", "--label-map"):
        assert run(*words, flag, pair) == 2
        said = capsys.readouterr().err
        assert f"{flag} {pair.replace('tumour', '2')}: " in said
        assert sentence in said


def test_folders_without_a_study(tmp_path):
    with pytest.raises(UserError, match="there is no such folder"):
        find_studies(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no patient"):
        find_studies(tmp_path)
    (tmp_path / "p").mkdir()
    (tmp_path / "p/PATIENT_DICOM.zip").write_bytes(b"")
    with pytest.raises(UserError, match="unpack"):
        find_studies(tmp_path)
    make_study(tmp_path / "q")
    (tmp_path / "q/MASKS_DICOM/leftkidney").rename(tmp_path / "q/MASKS_DICOM/liver")
    assert "no mask of a kidney" in find_studies(tmp_path).skipped[0][1]


def test_a_study_that_cannot_be_opened_is_listed_and_the_others_go_on(tmp_path, monkeypatch):
    for name in ("anna", "bert"):
        make_study(tmp_path / name, num=3)
    is_dir = Path.is_dir

    def closed(path):
        if path.parent.name == "anna":
            raise PermissionError(13, "Permission denied", str(path))
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", closed)  # root opens everything
    found = find_studies(tmp_path)
    assert len(found.jobs) == 1
    [(name, reason)] = found.skipped
    assert found.own_names.in_text(name).startswith("anna")
    assert reason.startswith("may not be read by whoever runs this")


def test_real_series_runs_from_head_to_feet():
    if not REAL.is_dir():
        pytest.skip("../shared/data/ircadb_patient1 is not here")
    found = find_studies(REAL)
    volume = read_study(found.jobs[0])
    assert volume.image.shape == (129, 512, 512)
    # Lungs at the head's end, hip bones at the other; kidneys brighter than fat around them.
    air = (volume.image[:, 100:300, 100:400] < -700).mean(axis=(1, 2))
    assert air[:10].mean() > 0.3
    assert air[-10:].mean() < 0.2
    assert volume.image[volume.mask == 1].mean() > 100
