"""CT series in folders as archives hand them out, with label maps as NIfTI on their voxels."""

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from datamodules.slice_cache import SliceCache
from tests.preparation.volumes.test_ct_dicom import write_slice
from tests.prepare_runs import LEFT_OUT, run

LABELS = ("--labels", "background,liver,left kidney,tumour")
SERIES = "study-1/2.000-arterial"


def affine_of(folder):
    """Of DICOM's equation C.7.6.2.1-1, in NIfTI's directions: indices column, row, slice."""
    headers = [pydicom.dcmread(path) for path in folder.iterdir()]
    headers.sort(key=lambda header: float(header.ImagePositionPatient[2]))
    first, last = headers[0], headers[-1]
    row_mm, column_mm = (float(v) for v in first.PixelSpacing)
    along = np.array(last.ImagePositionPatient) - np.array(first.ImagePositionPatient)
    affine = np.eye(4)
    affine[:3, 0] = np.array(first.ImageOrientationPatient[:3]) * column_mm
    affine[:3, 1] = np.array(first.ImageOrientationPatient[3:]) * row_mm
    affine[:3, 2] = along / (len(headers) - 1)
    affine[:3, 3] = first.ImagePositionPatient
    return np.diag([-1, -1, 1, 1]) @ affine


def write_subject(root, masks, name, number=0, axcodes="RAS", series=SERIES, **tags):
    """A subject with a CT series and a label map, written in any axis order."""
    rng = np.random.default_rng(number)
    image = rng.integers(-1000, 1000, (5, 12, 14)).astype(np.int16)
    labels = rng.integers(0, 4, image.shape).astype(np.uint8)
    folder = root / name / series
    for row, place in enumerate(rng.permutation(5)):
        stored = (image[row] + 1024).astype(np.uint16)
        z = 100.0 - 2.5 * row
        write_slice(
            folder / f"1-{place:03d}.dcm",
            stored,
            z,
            intercept=-1024,
            patient=name,
            series=f"1.2.{number}",
            **tags,
        )
    file = nib.Nifti1Image(labels[::-1].transpose(2, 1, 0), affine_of(folder))
    change = nib.orientations.ornt_transform(
        nib.io_orientation(file.affine), nib.orientations.axcodes2ornt(axcodes)
    )
    masks.mkdir(exist_ok=True)
    nib.save(file.as_reoriented(change), masks / f"{name}.nii.gz")
    return image, labels


def prepared(source, out, *more):
    words = ("--split-all-to", "train", "--patient-id-from", "folder", "--image-size", "14")
    return run("ct_dicom", "--source", source, "--out", out, *words, *more)


def test_series_and_label_maps_lie_on_one_another_whatever_their_axes(tmp_path):
    source, masks = tmp_path / "archive", tmp_path / "masks"
    written = {}
    for number, axcodes in enumerate(("RAS", "LPS", "SPL")):
        name = f"CT-{number}"
        turned = (-1, 0, 0, 0, -1, 0) if number == 1 else (1, 0, 0, 0, 1, 0)
        written[name] = write_subject(source, masks, name, number, axcodes, orientation=turned)
    (source / "LICENSE.txt").write_text("free")
    flags = ("--masks", masks, *LABELS, "--window", "2000,0")
    assert prepared(source, tmp_path / "out", *flags) == 0
    cache = SliceCache.open(tmp_path / "out")
    assert cache.class_names == ["background", "liver", "left_kidney", "tumour"]
    for name, (image, labels) in written.items():
        shard = cache.manifest["shards"][name]
        stored = np.load(cache.root / shard["mask"])[:, 1:13]
        seen = np.load(cache.root / shard["image"])[:, 1:13]
        turned = (slice(None), slice(None, None, -1), slice(None, None, -1))
        where = turned if name == "CT-1" else slice(None)
        assert np.array_equal(stored, labels[where]), name
        expected = np.clip(np.rint((image[where] + 1000.0) * 255 / 2000), 0, 255)
        assert np.array_equal(seen, expected), name


def _modality(folder, modality):
    folder.mkdir(parents=True)
    write_slice(folder / "1.dcm", np.zeros((4, 4), np.uint16), 0, series=generate_uid())
    header = pydicom.dcmread(folder / "1.dcm")
    header.Modality = modality
    header.save_as(folder / "1.dcm")


@pytest.mark.parametrize(
    ("modality", "sentence"),
    [
        ("SEG", "has its labels as a DICOM segmentation (SEG), of which 3D Slicer or dcmqi"),
        ("RTSTRUCT", "has its labels as contours (RTSTRUCT), of which 3D Slicer, plastimatch"),
        ("PT", "has no label map. Left out; give one as NIfTI"),
    ],
)
def test_label_objects_of_archives_are_refused_with_what_to_do(tmp_path, modality, sentence):
    source, masks = tmp_path / "archive", tmp_path / "masks"
    write_subject(source, masks, "CT-0")
    write_subject(source, masks, "CT-1", 1)
    (masks / "CT-1.nii.gz").unlink()
    _modality(source / "CT-1/study-1/3.000-labels", modality)
    assert prepared(source, tmp_path / "out", "--masks", masks, *LABELS) == LEFT_OUT
    skipped = (tmp_path / "out.private/skipped.csv").read_text()
    assert sentence in skipped
    assert "pass that with --masks" in skipped


def test_studies_that_cannot_be_used_are_listed(tmp_path, capsys):
    source, masks = tmp_path / "archive", tmp_path / "masks"
    write_subject(source, masks, "CT-0")
    write_subject(source, masks, "CT-1", 1)
    moved = nib.load(masks / "CT-1.nii.gz")
    moved.affine[:3, 3] += 30
    nib.save(nib.Nifti1Image(np.asarray(moved.dataobj), moved.affine), masks / "CT-1.nii.gz")
    write_subject(source, masks, "CT-2", 2)
    values = nib.load(masks / "CT-2.nii.gz")
    nib.save(nib.Nifti1Image(values.get_fdata() + 5, values.affine), masks / "CT-2.nii.gz")
    write_subject(source, masks, "CT-3", 3)
    _modality(source / "MR-0/study-1/1.0", "MR")
    assert prepared(source, tmp_path / "out", "--masks", masks, *LABELS) == LEFT_OUT
    skipped = (tmp_path / "out.private/skipped.csv").read_text()
    assert "is at another position" in skipped
    assert "which nothing declares" in skipped
    assert "holds MR, and no CT" in skipped
    assert SliceCache.open(tmp_path / "out").patients(None) == ["CT-0", "CT-3"]
    capsys.readouterr()
    assert prepared(source, tmp_path / "no", "--masks", tmp_path / "none", *LABELS) == 2
    assert "there is no such folder of NIfTI label maps" in capsys.readouterr().err
    assert prepared(source, tmp_path / "no", "--masks", masks, "--mask-labels", "a=1") == 2
    assert "named by --labels and --label-map" in capsys.readouterr().err


def test_two_phases_are_asked_about(tmp_path):
    source, masks = tmp_path / "archive", tmp_path / "masks"
    write_subject(source, masks, "CT-0")
    write_subject(source, masks, "CT-1", 1)
    write_subject(source, masks, "CT-1", 2, series="study-1/3.000-venous")
    flags = ("--masks", masks, *LABELS)
    assert prepared(source, tmp_path / "out", *flags) == LEFT_OUT
    said = "holds 2 series on whose slices its label map lies alike"
    assert said in (tmp_path / "out.private/skipped.csv").read_text()
    assert prepared(source, tmp_path / "named", *flags, "--series", "1.2.2") == LEFT_OUT
    assert SliceCache.open(tmp_path / "named").patients(None) == ["CT-1"]


def test_what_is_not_used_and_what_is_guessed_is_said(tmp_path, capsys):
    source, masks = tmp_path / "archive", tmp_path / "masks"
    write_subject(source, masks, "CT-0")
    write_subject(source, masks, "CT-1", 1)
    (masks / "CT-0.nii").write_bytes(b"another")
    for name in ("other.nii.gz", "typo.nii.gz", "notes.txt"):
        (masks / name).write_bytes(b"")
    flipped = pydicom.dcmread(source / "CT-1" / SERIES / "1-000.dcm")
    flipped.Rows = 3
    flipped.save_as(source / "CT-1" / SERIES / "1-000.dcm")
    (source / "CT-2/study-1/1.000-thin").mkdir(parents=True)
    (source / "CT-2/study-1/1.000-thin/1-001.dcm").write_bytes(b"junk")
    flags = ("--masks", masks, "--label-map", "3=tumour")
    assert prepared(source, tmp_path / "out", *flags) == LEFT_OUT
    said = " ".join(capsys.readouterr().out.split())
    assert "holds 2 label maps that are called by no patient or subject here" in said
    assert "other.nii.gz, typo.nii.gz" in said
    assert "CT-0/study-1: 2 label maps are called by it, CT-0.nii.gz, CT-0.nii; took CT-0" in said
    assert "no --labels: of the label maps 1 is taken for kidney and 2 for tumour" in said
    skipped = (tmp_path / "out.private/skipped.csv").read_text()
    assert 'CT-2/study-1/1.000-thin,"holds files called DICOM' in skipped
    assert f"CT-1/{SERIES}" in skipped
    assert prepared(source, tmp_path / "named", *flags[:2], *LABELS) == LEFT_OUT
    assert "no --labels" not in capsys.readouterr().out
