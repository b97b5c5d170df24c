"""DICOM series: which slices belong together, where they lie, and what masks lie on."""

import re

import numpy as np
import pydicom
import pytest

from datamodules.slice_cache import SliceCache
from preparation.volumes.ct_dicom import find_studies, read_study
from preparation.volumes.volume import SkipVolume
from tests.preparation.volumes.test_ct_dicom import make_study, read_only, write_slice
from tests.prepare_runs import LEFT_OUT, run

MASK = "MASKS_DICOM/leftkidney"


def slices_of(folder):
    """Files from head to feet."""
    return sorted(
        folder.iterdir(), key=lambda p: -float(pydicom.dcmread(p).ImagePositionPatient[2])
    )


def changed(path, **tags):
    dataset = pydicom.dcmread(path)
    for name, value in tags.items():
        setattr(dataset, name, value(dataset) if callable(value) else value)
    dataset.save_as(path)


def change_all(folder, **tags):
    for path in folder.iterdir():
        changed(path, **tags)


def reason(source, **kwargs):
    """Why the only study is left out, in the source's names."""
    found = find_studies(source, **kwargs)
    if found.skipped:
        [(file, why)] = found.skipped
    else:
        with pytest.raises(SkipVolume) as caught:
            read_study(found.jobs[0])
        file, why = caught.value.file, caught.value.reason
    return found.own_names.in_text(f"{file}: {why}")


def numbered(folder):
    for number, path in enumerate(slices_of(folder), start=1):
        changed(path, InstanceNumber=number)


# --- one series, one scan


@pytest.mark.parametrize(
    ("tag", "value", "sentence"),
    [
        ("PatientID", "MRN-9", "is of another patient than"),
        ("PatientName", "Roe^Richard", "is of another patient than"),
        ("PatientBirthDate", "19700101", "is of another patient than"),
        ("StudyInstanceUID", "1.2.9", "is of another study than"),
        ("FrameOfReferenceUID", "1.2.9", "has another frame of reference than"),
    ],
)
@pytest.mark.parametrize("folder", ["PATIENT_DICOM", MASK])
def test_a_slice_of_another_scan_in_a_series_is_refused(tmp_path, tag, value, sentence, folder):
    make_study(tmp_path, num=5)
    change_all(tmp_path / folder, **{tag: {"PatientBirthDate": "19600101"}.get(tag, "1.2.3")})
    odd = slices_of(tmp_path / folder)[0]  # the first: the others decide all the same
    changed(odd, **{tag: value})
    said = reason(tmp_path)
    assert said.startswith(f"{folder}/{odd.name}: {sentence} {folder}/image_")
    assert "The series is left out" in said
    assert value not in said


def test_names_in_other_case_and_spacing_are_the_same_patient(tmp_path):
    make_study(tmp_path, num=3)
    changed(slices_of(tmp_path / "PATIENT_DICOM")[1], PatientName="DOE^JANE ")
    changed(slices_of(tmp_path / "PATIENT_DICOM")[2], PatientID="")
    assert len(read_only(tmp_path).image) == 3


def scout(path, **tags):
    orientation = tags.pop("orientation", (1, 0, 0, 0, 1, 0))
    write_slice(path, np.eye(20, 14, dtype=np.uint16), 50, orientation, **tags)


@pytest.mark.parametrize(
    "tags",
    [
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        {"ImageType": ["DERIVED", "SECONDARY", "LOCALIZER"], "ImagePositionPatient": None},
        {"orientation": (1, 0, 0, 0, 0, -1)},  # seen from the front; its ImageType says nothing
        {"orientation": (0, 1, 0, 0, 0, -1), "PixelSpacing": [1, 1]},
    ],
)
def test_a_localizer_in_the_series_is_left_out_of_the_volume(tmp_path, tags):
    image, mask = make_study(tmp_path)
    scout(tmp_path / "PATIENT_DICOM/aa_scout", **tags)
    volume = read_only(tmp_path)
    assert np.array_equal(volume.image, image)
    assert np.array_equal(volume.mask, mask)
    [note] = volume.notes
    assert "#1 is a localizer and is not part of the volume." in note


def test_a_series_of_localizers_is_no_choice_but_alone_it_is_refused(tmp_path):
    image, _ = make_study(tmp_path)
    for number in range(9):  # more than the volume has
        scout(
            tmp_path / f"PATIENT_DICOM/s{number}", series="9.9", ImageType=["A", "B", "LOCALIZER"]
        )
    assert np.array_equal(read_only(tmp_path).image, image)
    for path in (tmp_path / "PATIENT_DICOM").glob("image_*"):
        path.unlink()
    assert "doubled slice" in reason(tmp_path)


# --- several series


def second_series(root, shift=0.0, num=6, **tags):
    """As many slices of another series, along the same axis. Returns its HU."""
    image = np.random.default_rng(5).integers(-1000, 1000, (num, 12, 14)).astype(np.int16)
    for row in range(num):
        stored = (image[row] + 1024).astype(np.uint16)
        path = root / f"PATIENT_DICOM/second_{row}"
        z = 100.0 + shift - 2.5 * row
        write_slice(path, stored, z, series="1.2.1", intercept=-1024, **tags)
    return image


def test_of_two_equally_large_series_the_one_that_the_masks_lie_on(tmp_path):
    """1.2.1 would be taken as the smaller identifier; the masks lie on 1.2.3."""
    image, _ = make_study(tmp_path)
    second_series(tmp_path, shift=1.2)
    volume = read_only(tmp_path)
    assert np.array_equal(volume.image, image)
    assert "took the one that the masks match (6 files)" in volume.notes[0]


def test_the_masks_decide_against_a_larger_series_too(tmp_path):
    image, _ = make_study(tmp_path)
    second_series(tmp_path, num=9)
    assert np.array_equal(read_only(tmp_path).image, image)
    assert read_study(find_studies(tmp_path, series="1.2.3").jobs[0]).notes == []


def test_the_frame_of_reference_decides_between_equal_places(tmp_path):
    image, _ = make_study(tmp_path, FrameOfReferenceUID="5.5")
    second_series(tmp_path, FrameOfReferenceUID="6.6")
    change_all(tmp_path / MASK, FrameOfReferenceUID="5.5")
    assert np.array_equal(read_only(tmp_path).image, image)
    change_all(tmp_path / MASK, FrameOfReferenceUID="6.6")
    assert not np.array_equal(read_only(tmp_path).image, image)


def test_two_phases_on_which_the_masks_lie_alike_are_asked_about(tmp_path):
    image, _ = make_study(tmp_path)
    second = second_series(tmp_path)
    said = reason(tmp_path)
    assert "holds 2 series that its masks match equally well, such as two phases" in said
    assert "--series" in said
    assert "...1.2.1 (6 files), ...1.2.3 (6 files)" in find_studies(tmp_path).notes[-1]
    assert np.array_equal(read_only(tmp_path, series="1.2.3").image, image)
    assert np.array_equal(read_only(tmp_path, series="1.2.1").image, second)


# --- distances


def spaced(root, positions, numbers=None):
    """A study with slices at these places."""
    make_study(root, num=len(positions))
    for folder in ("PATIENT_DICOM", MASK):
        for row, path in enumerate(slices_of(root / folder)):
            changed(path, ImagePositionPatient=[0, 0, 1000.0 - positions[row]])
            if numbers:
                changed(path, InstanceNumber=numbers[row])


DESIGNED = [0, 1, 2, 3, 8, 13, 18]


@pytest.mark.parametrize("numbers", [None, list(range(1, 8)), list(range(7, 0, -1))])
def test_variable_spacing_is_said_rightly_and_used_where_it_is_accepted(tmp_path, numbers):
    spaced(tmp_path, DESIGNED, numbers)
    said = reason(tmp_path)
    assert "has slices that are 1.00 to 5.00 mm apart" in said
    assert ("and are numbered without a gap" in said) == (numbers is not None)
    assert "misses" not in said
    assert "pass --variable-spacing" in said
    volume = read_only(tmp_path, variable=True)
    assert volume.slice_spacing_mm == [1, 1, 1, 3, 5, 5, 5]
    assert "are 1.00 to 5.00 mm apart; used, as --variable-spacing says" in volume.notes[0]


@pytest.mark.parametrize("variable", [False, True])
def test_a_hole_in_the_numbers_is_a_missing_slice_whatever_is_accepted(tmp_path, variable):
    spaced(tmp_path, [0, 1, 2, 3, 5, 6], [1, 2, 3, 4, 6, 7])
    assert "lacks 1 slice(s) between" in reason(tmp_path, variable=variable)


@pytest.mark.parametrize(
    ("positions", "range_mm"),
    [([0, 1, 2, 3.2, 4.2], "1.00 to 1.20"), ([0, 1, 2, 4, 6, 8], "1.00 to 2.00")],
)
def test_distances_that_differ_by_more_than_a_tenth_are_uneven(tmp_path, positions, range_mm):
    spaced(tmp_path, positions)
    assert f"has slices that are {range_mm} mm apart" in reason(tmp_path)
    assert isinstance(read_only(tmp_path, variable=True).slice_spacing_mm, list)


def test_places_rounded_to_a_tenth_of_a_millimetre_are_even_and_noted(tmp_path):
    spaced(tmp_path / "a", [0, 0.6, 1.3, 1.9, 2.5])  # every 0.625 mm
    assert "its slices lie 0.60 to 0.70 mm apart; read as" in read_only(tmp_path / "a").notes[0]
    spaced(tmp_path / "b", [0, 3, 6, 9.2, 12.2])
    assert read_only(tmp_path / "b").notes == []


def test_a_damaged_slice_is_named_beside_the_missing_one(tmp_path):
    make_study(tmp_path)
    damaged = slices_of(tmp_path / "PATIENT_DICOM")[2]
    damaged.write_text("<html>please log in</html>")
    said = reason(tmp_path)
    assert "lacks 1 slice(s) between" in said
    assert f"damaged: PATIENT_DICOM/{damaged.name} cannot be read as a slice" in said


def test_a_damaged_slice_at_the_end_of_a_mask_is_named(tmp_path):
    make_study(tmp_path)
    damaged = slices_of(tmp_path / MASK)[-1]
    damaged.write_bytes(b"")
    said = reason(tmp_path)
    assert "has 5 slices, but PATIENT_DICOM has 6" in said
    assert f"damaged: {MASK}/{damaged.name} cannot be read as a slice" in said


# --- a mask's folder with several series


@pytest.mark.parametrize("uid", ["1.1.1", "9.9.9"])  # on either side of the other, 9.1
def test_two_series_of_a_mask_that_lie_alike_are_refused_and_one_that_lies_is_used(tmp_path, uid):
    _, mask = make_study(tmp_path)
    for row, path in enumerate(slices_of(tmp_path / MASK)):
        other = np.eye(12, 14, dtype=np.uint16)
        write_slice(path.with_name(f"s2_{row}"), other, 100 - 2.5 * row, series=uid)
    assert f"{MASK}: holds 2 series, of which 2 lie alike on the slices of" in reason(tmp_path)
    for path in (tmp_path / MASK).glob("s2_*"):
        changed(path, ImagePositionPatient=lambda d: [0, 0, d.ImagePositionPatient[2] + 50])
    volume = read_only(tmp_path)
    assert np.array_equal(volume.mask, mask)
    assert "took the one that lies on the slices of" in volume.notes[0]
    for path in slices_of(tmp_path / MASK):
        if not path.name.startswith("s2_"):
            path.unlink()
    change_all(tmp_path / MASK, ImagePositionPatient=lambda d: [9, 9, d.ImagePositionPatient[2]])
    assert "different scans" in reason(tmp_path)


def test_the_flag_is_a_setting_of_the_cache(tmp_path, capsys):
    spaced(tmp_path / "source", DESIGNED)
    words = ("ct_dicom", "--source", tmp_path / "source", "--out", tmp_path / "out")
    assert run(*words) == 2
    assert run(*words, "--variable-spacing") == 0
    items = SliceCache.open(tmp_path / "out").items
    assert [item.slice_spacing_mm for item in items] == [1, 1, 1, 3, 5, 5, 5]
    capsys.readouterr()
    assert run(*words) == 2
    assert "variable_spacing was accepted" in capsys.readouterr().err


# --- places


def moved(x, y):
    def position(dataset):
        a, b, c = (float(v) for v in dataset.ImagePositionPatient)
        return [a + x, b + y, c]

    return position


@pytest.mark.parametrize(
    ("tags", "sentence"),
    [
        ({"ImagePositionPatient": moved(3, 0)}, r"first pixel of \S+ at \(3.00, 0.00\) mm \(x, y\),"
                                               r" that of \S+ is at \(0.00, 0.00\) mm"),
        ({"ImagePositionPatient": moved(0, -0.5)}, r"at \(0.00, -0.50\) mm"),
        ({"PixelSpacing": [1.0, 0.9]}, r"has pixels of 1.000 x 0.900 mm \(row, column\) in \S+, but"
                                       r" \S+ has 0.800 x 0.700 mm"),
        ({"ImageOrientationPatient": [-1, 0, 0, 0, 1, 0]}, r"at \(-9.10, 0.00\) mm"),
        ({"ImageOrientationPatient": [0, 1, 0, 1, 0, 0]}, "has slices of 14x12, but"),
    ],
)  # fmt: skip
def test_a_mask_on_other_places_in_the_plane_is_refused_with_figures(tmp_path, tags, sentence):
    make_study(tmp_path)
    change_all(tmp_path / MASK, **tags)
    said = reason(tmp_path)
    assert re.search(sentence, said), said


@pytest.mark.parametrize(
    ("orientation", "start", "turn"),
    [
        ((-1, 0, 0, 0, 1, 0), (9.1, 0), lambda a: a[:, ::-1]),
        ((1, 0, 0, 0, -1, 0), (0, 8.8), lambda a: a[::-1]),
        ((-1, 0, 0, 0, -1, 0), (9.1, 8.8), lambda a: a[::-1, ::-1]),
        ((0, 1, 0, 1, 0, 0), (0, 0), lambda a: a.T),
        ((0, -1, 0, 1, 0, 0), (0, 8.8), lambda a: a[::-1].T),
    ],
)
def test_a_mask_of_another_orientation_is_turned_by_its_own_header(
    tmp_path, orientation, start, turn
):
    """The same places, stored in another order: 12 x 14 pixels of 0.8 x 0.7 mm."""
    _, mask = make_study(tmp_path)
    for row, path in enumerate(slices_of(tmp_path / MASK)):
        z = float(pydicom.dcmread(path).ImagePositionPatient[2])
        stored = np.ascontiguousarray(turn(mask[row]).astype(np.uint16))
        spacing = [0.7, 0.8] if stored.shape == (14, 12) else [0.8, 0.7]
        place = {"ImagePositionPatient": [*start, z], "PixelSpacing": spacing}
        write_slice(path, stored, z, orientation, series="9.1", **place)
    volume = read_only(tmp_path)
    assert np.array_equal(volume.mask, mask)
    assert volume.notes == []


def test_a_tilted_gantry_and_turned_slices_are_noted(tmp_path):
    make_study(tmp_path / "a")
    for folder in ("PATIENT_DICOM", MASK):
        for path in (tmp_path / "a" / folder).iterdir():
            back = float(pydicom.dcmread(path).ImagePositionPatient[2]) * np.tan(np.radians(15))
            changed(path, ImagePositionPatient=moved(0, back))
    [note] = read_only(tmp_path / "a").notes
    assert "gantry tilt of 15.0 degrees" in note
    make_study(tmp_path / "b", GantryDetectorTilt=-12.5)
    [note] = read_only(tmp_path / "b").notes
    assert "its header tells a gantry tilt of 12.5 degrees" in note
    c, s = np.cos(np.radians(8)), np.sin(np.radians(8))
    make_study(tmp_path / "c")
    for folder in ("PATIENT_DICOM", MASK):
        change_all(tmp_path / "c" / folder, ImageOrientationPatient=[1, 0, 0, 0, c, s])
    notes = " ".join(read_only(tmp_path / "c").notes)
    assert "turned by 8.0 degrees out of the axial plane" in notes


@pytest.mark.parametrize(
    ("tags", "sentence"),
    [
        ({"Modality": "MR"}, "is of modality MR, expected CT"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "is PALETTE COLOR, expected grey"),
        ({"PixelSpacing": [0, 0.7]}, "no lengths"),
    ],
)
def test_what_is_no_ct_is_refused(tmp_path, tags, sentence):
    make_study(tmp_path, **tags)
    assert sentence in reason(tmp_path)


def test_a_mask_of_another_patient_id_is_noted(tmp_path):
    make_study(tmp_path)
    change_all(tmp_path / MASK, PatientID="P-other")
    [note] = read_only(tmp_path).notes
    assert "its PatientID is not that of" in note
    assert "P-other" not in note


# --- files without the beginning of DICOM


def without_preamble(path, meta):
    """Also without the group that names the transfer syntax, unless it is kept."""
    if meta == "kept":
        path.write_bytes(path.read_bytes()[132:])
    else:
        dataset = pydicom.dcmread(path)
        dataset.preamble = None
        del dataset.file_meta
        pydicom.dcmwrite(path, dataset, implicit_vr=meta == "implicit", little_endian=True)
    with pytest.raises(pydicom.errors.InvalidDicomError):
        pydicom.dcmread(path)


@pytest.mark.parametrize("meta", ["kept", "implicit", "explicit"])
def test_files_without_a_preamble_are_read_and_said_once(tmp_path, meta):
    image, mask = make_study(tmp_path)
    for folder in ("PATIENT_DICOM", MASK):
        for path in (tmp_path / folder).iterdir():
            without_preamble(path, meta)
    (tmp_path / "PATIENT_DICOM/notes.txt").write_text("kidney of the left side, seen by Dr. Doe")
    (tmp_path / "PATIENT_DICOM/random.bin").write_bytes(np.random.default_rng(0).bytes(4000))
    volume = read_only(tmp_path)
    assert np.array_equal(volume.image, image)
    assert np.array_equal(volume.mask, mask)
    said = " ".join(volume.notes)
    assert said.count("6 files lack the preamble with which DICOM files begin.") == 1
    assert said.count("2 files are not DICOM and were ignored") == 1


def test_one_bad_study_does_not_end_the_batch(tmp_path, capsys):
    for number in range(3):
        make_study(tmp_path / f"src/p{number}", patient=f"P{number}", seed=number)
    changed(slices_of(tmp_path / "src/p1/PATIENT_DICOM")[2], PatientID="P7")
    words = ("--source", tmp_path / "src", "--out", tmp_path / "out", "--split-all-to", "test")
    assert run("ct_dicom", *words) == LEFT_OUT
    said = capsys.readouterr().out
    assert "3 found, 2 volumes of 2 patients used" in said
    assert "skipped p1/PATIENT_DICOM/image_" in said
    assert "is of another patient than" in said
