"""A mask lies on its image by both headers: turned, or refused with figures."""

import re

import nibabel as nib
import numpy as np
import pytest

from preparation.pseudonym import Naming
from preparation.volumes.data_sets.kits19 import find_cases
from preparation.volumes.nifti.case import read_case
from preparation.volumes.volume import SkipVolume
from tests.preparation.volumes.test_nifti import KITS19_AFFINE, make_case, read_only, save

# As KITS19_AFFINE, but away from the origin.
PLACED = KITS19_AFFINE + np.array([[0, 0, 0, 20], [0, 0, 0, 15], [0, 0, 0, 100], [0, 0, 0, 0]])
SHAPE = (5, 7, 9)


def turned(array, affine, axcodes):
    """Independent reference: nibabel's own reorientation, of voxels and header."""
    image = nib.Nifti1Image(array, affine)
    target = nib.orientations.axcodes2ornt(axcodes)
    change = nib.orientations.ornt_transform(nib.io_orientation(affine), target)
    return image.as_reoriented(change)


def beside(*voxels):
    """Away by so many voxels of the file."""
    change = np.eye(4)
    change[:3, 3] = voxels
    return change


def refused(case):
    """Why a case is left out, by its headers or, where they tell nothing, by its voxels."""
    found = find_cases(case.parent, naming=Naming(None))
    for job in found.jobs:
        with pytest.raises(SkipVolume) as caught:
            read_case(job)
        found.skipped.append((caught.value.file, caught.value.reason))
    [(file, reason)] = found.skipped
    assert file == "case_00000/segmentation.nii.gz"
    return reason


@pytest.mark.parametrize("stem", ["segmentation", "imaging"])
@pytest.mark.parametrize("axcodes", ["IPR", "IAL", "SPL", "RAS", "LPS", "PIR"])
def test_a_mask_of_another_orientation_is_turned_by_its_own_header(tmp_path, stem, axcodes):
    case = tmp_path / "case_00000"
    image, mask = make_case(case, SHAPE, PLACED)
    array = mask if stem == "segmentation" else image
    nib.save(turned(array, PLACED, axcodes), case / f"{stem}.nii.gz")
    volume = read_only(tmp_path)
    assert np.array_equal(volume.mask, mask)
    assert np.array_equal(volume.image, image)
    assert volume.pixel_spacing_mm == pytest.approx((0.8, 0.7))
    [note] = volume.notes
    assert f"run to {axcodes}" in note or f"imaging.nii.gz to {axcodes}" in note
    assert "turned by its own header; they then lie in the same places" in note


def test_voxels_that_were_mirrored_without_their_header_are_not_turned(tmp_path):
    """Equal headers say the same places; only a person who looks can see it."""
    _, mask = make_case(tmp_path / "case_00000", SHAPE, PLACED)
    save(tmp_path / "case_00000/segmentation.nii.gz", mask[:, :, ::-1], PLACED)
    volume = read_only(tmp_path)
    assert np.array_equal(volume.mask, mask[:, :, ::-1])
    assert volume.notes == []


def moved(mm):
    affine = PLACED.copy()
    affine[:3, 3] += mm
    return affine


def scaled(*factors):
    return PLACED @ np.diag([*factors, 1.0])


@pytest.mark.parametrize(
    ("affine", "sentence"),
    [
        (moved([3, 0, 0]), r"is at another position: its first voxel is at "
                           r"\(23.00, 15.00, 100.00\) mm, that of \S*imaging.nii.gz at "
                           r"\(20.00, 15.00, 100.00\) mm"),
        (moved([0, 0, 3]), r"\(20.00, 15.00, 103.00\) mm"),
        (moved([0, -0.5, 0]), r"\(20.00, 14.50, 100.00\) mm"),
        (scaled(1, 1.25, 1.25), r"voxels of 3.00 x 1.00 x 0.88 mm \(slice, row, column\), but "
                                r"\S*imaging.nii.gz has 3.00 x 0.80 x 0.70 mm"),
        (scaled(2, 1, 1), r"6.00 x 0.80 x 0.70 mm"),
        (scaled(1, 1, -1), r"is at another position \(axes IPR and IPL\)"),
        (np.diag([5.0, 5, 5, 1]), r"shape \(5, 7, 9\) along RAS, but .* has \(5, 7, 9\) along IPL"),
    ],
)  # fmt: skip
def test_a_mask_of_other_places_is_refused_with_figures(tmp_path, affine, sentence):
    case = tmp_path / "case_00000"
    _, mask = make_case(case, SHAPE, PLACED)
    save(case / "segmentation.nii.gz", mask, affine)
    reason = refused(case)
    assert re.search(sentence, reason), reason


def test_rounded_headers_are_the_same_place(tmp_path):
    case = tmp_path / "case_00000"
    _, mask = make_case(case, SHAPE, PLACED)
    save(case / "segmentation.nii.gz", mask, moved([0.2, -0.2, 1.0]) @ np.diag([1, 1.002, 1, 1]))
    assert read_only(tmp_path).notes == []


@pytest.mark.parametrize("lost", ["segmentation", "imaging"])
@pytest.mark.parametrize("header", ["codes 0", "identity", "SimpleITK's identity", "origin"])
def test_a_lost_geometry_pairs_by_index_and_takes_the_others(tmp_path, lost, header):
    case = tmp_path / "case_00000"
    image, mask = make_case(case, SHAPE, PLACED)
    array = {"segmentation": mask, "imaging": image}[lost]
    affine = {
        "codes 0": PLACED,
        "identity": np.eye(4),
        "SimpleITK's identity": np.diag([-1.0, -1, 1, 1]),
        "origin": KITS19_AFFINE,
    }[header]
    bare = nib.Nifti1Image(array, affine)
    if header == "codes 0":
        bare.set_sform(None, 0)
        bare.set_qform(None, 0)
    nib.save(bare, case / f"{lost}.nii.gz")
    volume = read_only(tmp_path)
    assert np.array_equal(volume.mask, mask)
    assert np.array_equal(volume.image, image)
    assert volume.pixel_spacing_mm == pytest.approx((0.8, 0.7))
    [note] = volume.notes
    assert f"{lost}.nii.gz: its header" in note
    assert "paired by index" in note


def test_a_lost_geometry_needs_the_same_shape(tmp_path):
    case = tmp_path / "case_00000"
    _, mask = make_case(case, SHAPE, PLACED)
    save(case / "segmentation.nii.gz", mask.transpose(0, 2, 1), np.eye(4))
    assert "has shape (5, 9, 7)" in refused(case)


def test_metres_are_not_millimetres(tmp_path):
    case = tmp_path / "case_00000"
    image, mask = make_case(case, SHAPE, PLACED)
    for name, array in (("imaging", image), ("segmentation", mask)):
        in_metres = nib.Nifti1Image(array, np.diag([0.001, 0.001, 0.001, 1]) @ PLACED)
        in_metres.header.set_xyzt_units("meter")
        nib.save(in_metres, case / f"{name}.nii.gz")
    volume = read_only(tmp_path)
    assert volume.pixel_spacing_mm == pytest.approx((0.8, 0.7))
    assert volume.slice_spacing_mm == pytest.approx(3.0)


def rotated(degrees):
    """Turned about the axis from right to left."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1]]) @ PLACED


def test_tilted_and_turned_slices_are_noted(tmp_path):
    tilted = PLACED.copy()
    tilted[1, 0] = 3.0 * np.tan(np.radians(12))  # each slice lies farther back than the one above
    _, mask = make_case(tmp_path / "a/case_00000", SHAPE, tilted)
    [note] = read_only(tmp_path / "a").notes
    assert "gantry tilt of 12.0 degrees" in note
    make_case(tmp_path / "b/case_00000", SHAPE, rotated(8))
    [note] = read_only(tmp_path / "b").notes
    assert "turned by 8.0 degrees out of the axial plane" in note
    make_case(tmp_path / "c/case_00000", SHAPE, rotated(2))
    assert read_only(tmp_path / "c").notes == []
    save(tmp_path / "d/case_00000/segmentation.nii.gz", mask, tilted)
    [note] = read_only(tmp_path / "d", masks_alone=True).notes
    assert "gantry tilt" in note


def test_two_geometries_that_disagree_are_noted(tmp_path):
    case = tmp_path / "case_00000"
    image, mask = make_case(case, SHAPE, PLACED)
    for name, array in (("imaging", image), ("segmentation", mask)):
        file = nib.Nifti1Image(array, PLACED)
        file.set_sform(PLACED, 1)
        file.set_qform(scaled(1, 1, -1), 1)
        nib.save(file, case / f"{name}.nii.gz")
    [note] = read_only(tmp_path).notes
    assert "axes IPL by the sform and IPR by the qform. The sform is used" in note


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            np.diag([1.5, 1, 1, 1]),
            "voxels of 3.00 x 0.80 x 0.70 by the sform and 4.50 x 0.80 x 0.70",
        ),
        (np.diag([1.005, 1, 1, 1]), ""),  # rounded
        (
            beside(1, 0, 0),
            "the first voxel at (20.00, 15.00, 100.00) by the sform and at (20.00, 15.",
        ),
        (beside(0, 0.4, 0.4), ""),
    ],
)
def test_a_sform_and_a_qform_of_other_spacing_or_place_are_noted(tmp_path, change, sentence):
    case = tmp_path / "case_00000"
    image, _ = make_case(case, SHAPE, PLACED)
    file = nib.Nifti1Image(image, PLACED)
    file.set_sform(PLACED, 1)
    file.set_qform(PLACED @ change, 1)
    nib.save(file, case / "imaging.nii.gz")
    notes = read_only(tmp_path).notes
    assert len(notes) == bool(sentence)
    assert all(sentence in note and "The sform is used" in note for note in notes)


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        ([("R", "u1"), ("G", "u1"), ("B", "u1")], "colours"),
        ([("R", "u1"), ("G", "u1"), ("B", "u1"), ("A", "u1")], "colours"),
        (np.complex64, "complex64 numbers"),
        (np.complex128, "complex128 numbers"),
    ],
)
@pytest.mark.parametrize("stem", ["imaging", "segmentation"])
def test_colour_and_complex_volumes_are_named(tmp_path, dtype, kind, stem):
    for number in range(3):
        make_case(tmp_path / f"case_0000{number}", SHAPE, PLACED)
    save(tmp_path / f"case_00001/{stem}.nii.gz", np.zeros(SHAPE, dtype), PLACED)
    found = find_cases(tmp_path, naming=Naming(None))
    assert [job.shard for job in found.jobs] == ["case_00000", "case_00002"]
    [(file, reason)] = found.skipped
    assert file == f"case_00001/{stem}.nii.gz"
    assert reason.startswith(f"holds {kind}, expected one whole or decimal number per voxel.")


def rescaled(path, raw, slope, intercept):
    """Write stored values and a rescale as they are; nibabel would choose its own."""
    image = nib.Nifti1Image(raw, PLACED)
    nib.save(image, path)
    data = bytearray(nib.openers.Opener(str(path), "rb").read())
    data[112:120] = np.array([slope, intercept], "<f4").tobytes()
    with nib.openers.Opener(str(path), "wb") as stream:
        stream.write(bytes(data))


@pytest.mark.parametrize(
    ("slope", "intercept", "stored"),
    [(2 / 65535, 0, lambda m: m.astype(np.int64) * 65535 // 2), (1, -5, lambda m: m + 5)],
)
def test_labels_are_read_through_their_rescale(tmp_path, slope, intercept, stored):
    case = tmp_path / "case_00000"
    _, mask = make_case(case, SHAPE, PLACED)
    rescaled(case / "segmentation.nii.gz", stored(mask).astype(np.uint16), slope, intercept)
    volume = read_only(tmp_path)
    assert np.array_equal(volume.mask, mask)
    assert "its labels are read as its header rescales them (slope" in volume.notes[0]


def test_a_rescale_that_belongs_to_the_image_is_refused_with_the_values(tmp_path):
    case = tmp_path / "case_00000"
    _, mask = make_case(case, SHAPE, PLACED)
    rescaled(case / "segmentation.nii.gz", mask.astype(np.int16), 1, -1024)
    reason = refused(case)
    assert "has label values [-1024, -1023, -1022] (rescaled by its header: slope 1, " in reason
    assert "intercept -1024)" in reason
