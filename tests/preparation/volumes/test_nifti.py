"""NIfTI in KiTS19's layout: axes, types, and every way in which a case can be unusable."""

import gzip
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from preparation.pseudonym import Naming
from preparation.volumes.data_sets.kits19 import find_cases
from preparation.volumes.image_size import common_size
from preparation.volumes.nifti.case import read_case
from preparation.volumes.volume import SkipVolume
from provenance import UserError
from tests.prepare_runs import LEFT_OUT, kits19, make_source

REAL = Path(__file__).parents[3] / "../shared/data/kits19_masks"
KEPT = Naming(None)
KITS19_AFFINE = np.array([[0, 0, -0.7, 0], [0, -0.8, 0, 0], [-3.0, 0, 0, 0], [0, 0, 0, 1]])


def make_case(folder, shape=(5, 12, 12), affine=KITS19_AFFINE, dtype=np.float64, seed=0):
    """Write a case and return its image (HU) and mask as (S, H, W)."""
    rng = np.random.default_rng(seed)
    image = rng.integers(-1000, 1000, shape).astype(np.int16)
    mask = rng.integers(0, 3, shape).astype(np.uint8)
    save(folder / "imaging.nii.gz", image.astype(dtype), affine)
    save(folder / "segmentation.nii.gz", mask, affine)
    return image, mask


def save(path, array, affine=KITS19_AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)


def read_only(source, **kwargs):
    found = find_cases(source, naming=KEPT, **kwargs)
    assert len(found.jobs) == 1, found.skipped
    return read_case(found.jobs[0])


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16, np.int32])
def test_reads_kits19_as_it_lies(tmp_path, dtype):
    image, mask = make_case(tmp_path / "case_00000", dtype=dtype)
    volume = read_only(tmp_path)
    assert volume.image.dtype == np.int16
    assert np.array_equal(volume.image, image)
    assert np.array_equal(volume.mask, mask)
    assert volume.pixel_spacing_mm == pytest.approx((0.8, 0.7))
    assert volume.slice_spacing_mm == pytest.approx(3.0)
    assert volume.notes == []


def test_finds_the_data_folder_and_plain_nii(tmp_path):
    _, mask = make_case(tmp_path / "data/case_00001")
    save(tmp_path / "data/case_00002/segmentation.nii", mask)
    found = find_cases(tmp_path, masks_alone=True, naming=KEPT)
    assert [job.patient_id for job in found.jobs] == ["case_00001", "case_00002"]
    assert np.array_equal(read_case(found.jobs[1]).mask, mask)


def test_blocks_are_put_together(tmp_path, monkeypatch):
    monkeypatch.setattr("preparation.volumes.nifti.voxels._BLOCK_BYTES", 1000)
    image, mask = make_case(tmp_path / "case_00000", shape=(5, 7, 9))
    volume = read_only(tmp_path)
    assert np.array_equal(volume.image, image)
    assert np.array_equal(volume.mask, mask)


@pytest.mark.parametrize("axcodes", ["LPI", "RAS", "LPS", "IPL", "PIR", "SAR"])
def test_other_axis_orders_become_kits19s(tmp_path, axcodes):
    """Independent reference: nibabel's own reorientation."""
    image, mask = make_case(tmp_path / "source/case_00000", shape=(5, 7, 9))
    for name in ("imaging", "segmentation"):
        original = nib.load(tmp_path / f"source/case_00000/{name}.nii.gz")
        change = nib.orientations.ornt_transform(
            nib.io_orientation(original.affine), nib.orientations.axcodes2ornt(axcodes)
        )
        path = tmp_path / f"turned/case_00000/{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(original.as_reoriented(change), path)
    volume = read_only(tmp_path / "turned")
    assert np.array_equal(volume.image, image)
    assert np.array_equal(volume.mask, mask)
    assert volume.pixel_spacing_mm == pytest.approx((0.8, 0.7))
    assert volume.slice_spacing_mm == pytest.approx(3.0)


def test_without_geometry_the_order_of_the_file_counts(tmp_path):
    image, _ = make_case(tmp_path / "case_00000", affine=np.eye(4))
    volume = read_only(tmp_path)
    assert np.array_equal(volume.image, image)
    assert volume.pixel_spacing_mm is None
    assert volume.geometry["axes_read_as"] == "file order"
    [note] = volume.notes
    assert "the order of the file is trusted, which is slices from head to feet first" in note
    assert read_only(tmp_path, masks_alone=True).notes == [note]


def test_scaled_integers_and_uint16_masks_without_sform(tmp_path):
    image, mask = make_case(tmp_path / "case_00000")
    scaled = nib.Nifti1Image((image + 1024).astype(np.uint16), KITS19_AFFINE)
    scaled.header.set_slope_inter(1, -1024)
    # set_slope_inter alone is recomputed on saving; write the raw values as they are.
    scaled.header.set_data_dtype(np.uint16)
    nib.save(scaled, tmp_path / "case_00000/imaging.nii.gz")
    data = bytearray(gzip.decompress((tmp_path / "case_00000/imaging.nii.gz").read_bytes()))
    data[112:120] = np.array([1, -1024], "<f4").tobytes()
    (tmp_path / "case_00000/imaging.nii.gz").write_bytes(gzip.compress(bytes(data)))
    odd = nib.Nifti1Image(mask.astype(np.uint16), KITS19_AFFINE)
    odd.set_sform(None, 0)
    odd.set_qform(KITS19_AFFINE, 1)
    nib.save(odd, tmp_path / "case_00000/segmentation.nii.gz")
    volume = read_only(tmp_path)
    assert np.array_equal(volume.image, image)
    assert np.array_equal(volume.mask, mask)
    assert volume.mask.dtype == np.uint8


def _other_shape(case):
    save(case / "segmentation.nii.gz", np.zeros((4, 12, 12), np.uint8))


def _nan(case):
    array = np.zeros((5, 12, 12))
    array[2, 3, 4] = np.nan
    save(case / "imaging.nii.gz", array)


def _truncated(case, name="imaging"):
    make_case(case, shape=(9, 40, 40))
    path = case / f"{name}.nii.gz"
    path.write_bytes(path.read_bytes()[:-200])


def _flipped_bit(case):
    path = case / "segmentation.nii.gz"
    data = gzip.decompress(path.read_bytes())
    raw = bytearray(gzip.compress(data, compresslevel=0))
    raw[-40] ^= 1  # a voxel: stored uncompressed, only the checksum can tell
    path.write_bytes(bytes(raw))


def _labels(case, value, dtype=np.int16):
    array = np.zeros((5, 12, 12), dtype)
    array[1, 2, 3] = value
    save(case / "segmentation.nii.gz", array)


@pytest.mark.parametrize(
    ("break_it", "file", "sentence"),
    [
        (_nan, "imaging", "NaN"),
        (lambda c: save(c / "imaging.nii.gz", np.full((5, 12, 12), 7.0)), "imaging", "constant"),
        (lambda c: _labels(c, 3), "segmentation", r"label values \[3\]"),
        (lambda c: _labels(c, -1), "segmentation", r"label values \[-1\]"),
        (lambda c: _labels(c, 0.5, np.float32), "segmentation", "fractional"),
        (_truncated, "imaging", "truncated"),
        (lambda c: _truncated(c, "segmentation"), "segmentation", "truncated"),
        (_flipped_bit, "segmentation", "BadGzipFile"),
    ],
)
def test_unusable_cases_are_named(tmp_path, break_it, file, sentence):
    make_case(tmp_path / "case_00007")
    break_it(tmp_path / "case_00007")
    with pytest.raises(SkipVolume) as caught:
        read_only(tmp_path)
    assert caught.value.file == f"case_00007/{file}.nii.gz"
    assert re.search(sentence, caught.value.reason), caught.value.reason


def test_what_can_be_seen_without_pixels_is_skipped_at_once(tmp_path):
    for number in range(5):
        make_case(tmp_path / f"case_0000{number}")
    _other_shape(tmp_path / "case_00004")
    (tmp_path / "case_00000/segmentation.nii.gz").unlink()
    (tmp_path / "case_00001/imaging.nii.gz").write_text("<html>not found</html>")
    save(tmp_path / "case_00002/imaging.nii.gz", np.zeros((5, 12, 12, 2)))
    found = find_cases(tmp_path, naming=KEPT)
    reasons = dict(found.skipped)
    assert [job.shard for job in found.jobs] == ["case_00003"]
    shapes = r"has shape \(4, 12, 12\), but .*imaging.* has \(5, 12"
    assert re.search(shapes, reasons["case_00004/segmentation.nii.gz"])
    assert "no mask beside it" in reasons["case_00000/imaging.nii.gz"]
    assert "not a readable NIfTI" in reasons["case_00001/imaging.nii.gz"]
    assert "three axes" in reasons["case_00002/imaging.nii.gz"]


def test_values_that_are_no_hounsfield_units_are_noted(tmp_path):
    make_case(tmp_path / "case_00000")
    save(tmp_path / "case_00000/imaging.nii.gz", np.random.default_rng(0).random((5, 12, 12)) * 255)
    assert "may not be Hounsfield" in read_only(tmp_path).notes[0]


def test_a_mask_that_marks_everything_is_noted(tmp_path):
    _, mask = make_case(tmp_path / "case_00000")
    save(tmp_path / "case_00000/segmentation.nii.gz", np.maximum(mask, 1))
    assert (
        "case_00000/segmentation.nii.gz: its mask marks every pixel" in read_only(tmp_path).notes[0]
    )


def test_folders_that_hold_no_case_are_counted_with_what_they_hold(tmp_path):
    make_case(tmp_path / "case_00000")
    assert find_cases(tmp_path, naming=KEPT).notes == []
    for name in ("case_00001", "case_00002", "case_00003", "case_00004", ".git"):
        (tmp_path / name).mkdir()
    (tmp_path / "case_00001/imaging.nii.gz.part").touch()
    (tmp_path / "case_00003/image.nii.gz").touch()
    found = find_cases(tmp_path, naming=KEPT)
    [note] = found.notes
    assert note.startswith("4 folders hold neither imaging.nii.gz nor segmentation.nii.gz")
    assert (
        "case_00001 holds imaging.nii.gz.part; case_00002 is empty; case_00003 holds image.nii.gz; "
        "and 1 more."
    ) in note
    assert len(found.jobs) == 1
    assert found.skipped == []


def test_a_folder_that_cannot_be_opened_is_listed_and_the_others_go_on(tmp_path, monkeypatch):
    for number in range(3):
        make_case(tmp_path / f"case_0000{number}")
    is_file = Path.is_file

    def closed(path):
        if path.parent.name == "case_00001":
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", closed)  # root opens everything
    found = find_cases(tmp_path, naming=KEPT)
    assert [job.shard for job in found.jobs] == ["case_00000", "case_00002"]
    [(name, reason)] = found.skipped
    assert name == "case_00001"
    assert reason.startswith("may not be read by whoever runs this")


def test_the_most_common_size_is_that_of_cases_that_can_be_used(tmp_path):
    make_case(tmp_path / "case_00000", (3, 12, 12))
    for name in ("case_00001", "case_00002"):  # headers tell that these are of no use
        make_case(tmp_path / name, (3, 24, 24))
        save(tmp_path / name / "segmentation.nii.gz", np.zeros((3, 24, 20), np.uint8))
    found = find_cases(tmp_path, naming=KEPT)
    assert len(found.skipped) == 2
    assert common_size(found) == 12
    make_case(tmp_path / "case_00003", (3, 16, 30))
    make_case(tmp_path / "case_00004", (3, 16, 30))
    found = find_cases(tmp_path, naming=KEPT)
    assert common_size(found) == 30
    assert common_size(found, "skip") == 12


def test_volumes_that_were_resized_to_the_size_of_others_are_noted(tmp_path, capsys):
    make_source(tmp_path / "source", num=1)
    for name in ("case_00002", "case_00003", "case_00004"):
        image, _ = make_case(tmp_path / "source" / name, (3, 32, 32), seed=int(name[-1]))
        if name != "case_00004":
            image = np.where(image == image.max(), np.nan, image)
            save(tmp_path / "source" / name / "imaging.nii.gz", image)
    words = (tmp_path / "source", tmp_path / "out", "--split-all-to", "train")
    assert kits19(*words) == LEFT_OUT
    assert (
        "1 of 2 volumes has slices of 16 pixels and was resized to 32, the most common size."
        in capsys.readouterr().out
    )
    for path in (tmp_path / "source/case_00004").iterdir():
        path.unlink()
    assert kits19(words[0], tmp_path / "other", *words[2:]) == LEFT_OUT
    assert "resized to 32, the size of volumes that were left out." in capsys.readouterr().out
    given = ("--image-size", "32")
    assert kits19(words[0], tmp_path / "given", *words[2:], *given) == LEFT_OUT
    assert "was resized" not in capsys.readouterr().out


def test_missing_and_empty_folders_say_so(tmp_path):
    with pytest.raises(UserError, match="there is no such folder"):
        find_cases(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no case"):
        find_cases(tmp_path)


def test_real_kits19_masks():
    if not REAL.is_dir():
        pytest.skip("../shared/data/kits19_masks is not here")
    found = find_cases(REAL, masks_alone=True, naming=KEPT)
    jobs = {job.shard: job for job in found.jobs}
    assert len(jobs) == 52
    assert jobs["case_00160"].slice_shape == (512, 796)
    volume = read_case(jobs["case_00207"])
    assert (volume.mask == 2).any(axis=(1, 2)).sum() == 3
    assert volume.geometry["source_axes"] == "IPL"
