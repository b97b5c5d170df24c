"""Phantom chest films on disk: right and wrong DICOM, labels, and sets that can be continued."""

import csv
import io
import re
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from phantom.chest.dicom_file import Encoding, file_bytes, film_dataset
from phantom.chest.film import draw_film
from phantom.chest.patient import FINDINGS, draw_chest_patient
from phantom.chest.write_set import write_phantom_cxr
from phantom.chest.wrong_files import WRONG_KINDS
from provenance import UserError

NUM_PATIENTS, SET_SIZE = 20, 32


@pytest.fixture(scope="module")
def film_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantom") / "set"
    return write_phantom_cxr(out, num_patients=NUM_PATIENTS, image_size=SET_SIZE, seed=3)


@pytest.fixture(scope="module")
def film() -> np.ndarray:
    return draw_film(draw_chest_patient(4), "PA", 64)


def read_table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def as_looked_at(dataset: pydicom.Dataset) -> np.ndarray:
    """By the standard's rules: modality LUT, linear window (PS3.3 C.11.2.1.2), inversion last."""
    value = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    centre, width = float(dataset.WindowCenter), float(dataset.WindowWidth)
    shown = ((value - (centre - 0.5)) / (width - 1) + 0.5).clip(0, 1)
    return 1 - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_monochrome_1_and_2_show_the_same_film(bits, syntax, film):
    patient = draw_chest_patient(4)
    films = []
    for is_inverted in (False, True):
        encoding = Encoding("DX", bits, is_inverted, str(syntax), (0.06, 0.93))
        dataset = film_dataset(film, patient, "PA", encoding)
        dataset = pydicom.dcmread(io.BytesIO(file_bytes(dataset, str(syntax))))
        assert dataset.file_meta.TransferSyntaxUID == syntax
        assert dataset.BitsStored == bits
        assert dataset.PhotometricInterpretation == f"MONOCHROME{1 if is_inverted else 2}"
        films.append(as_looked_at(dataset))
    step = 1 / (0.86 * 2**bits)
    np.testing.assert_allclose(films[0], film, atol=step)
    np.testing.assert_allclose(films[0], films[1], atol=1.01 * step)


def test_a_film_too_small_for_jpeg_2000_is_stored_as_it_is(film):
    patient = draw_chest_patient(4)
    encoding = Encoding("DX", 12, False, str(JPEG2000Lossless), (0.06, 0.93))
    dataset = film_dataset(film[:31, :31], patient, "PA", encoding)
    dataset = pydicom.dcmread(io.BytesIO(file_bytes(dataset, str(JPEG2000Lossless))))
    assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    np.testing.assert_allclose(as_looked_at(dataset), film[:31, :31], atol=1 / (0.86 * 2**12))


def test_every_right_film_is_a_chest_film_of_nobody(film_set):
    rows = read_table(film_set / "labels.csv")
    seen, instances = set(), set()
    for row in rows:
        dataset = pydicom.dcmread(film_set / row["image"])
        assert dataset.Modality in ("CR", "DX")
        assert dataset.BodyPartExamined == "CHEST"
        assert dataset.ViewPosition == {"PA": "PA", "LATERAL": "LL"}[row["view"]]
        assert dataset.BurnedInAnnotation == "NO"
        assert dataset.ImageType[0] == "DERIVED"
        assert "no patient" in dataset.ImageComments
        assert dataset.pixel_array.shape == (SET_SIZE, SET_SIZE)
        assert as_looked_at(dataset).std() > 0.05
        magnified = float(dataset.ImagerPixelSpacing[0]) / float(dataset.PixelSpacing[0])
        assert magnified == pytest.approx(
            float(dataset.EstimatedRadiographicMagnificationFactor), 1e-4
        )
        number = re.fullmatch(r"PHANTOM-(\d{6})", dataset.PatientID)
        assert number is not None
        assert str(dataset.PatientName) == f"Phantom^{number[1]}"
        named = {e.keyword for e in dataset.iterall() if e.VR == "PN" and str(e.value)}
        assert named == {"PatientName"}
        assert not any(e.tag.is_private for e in dataset.iterall())
        assert dataset.StudyDate.startswith("2000")
        seen |= {dataset.PhotometricInterpretation, dataset.BitsStored}
        instances.add(dataset.SOPInstanceUID)
    assert len(instances) == len(rows)
    assert {"MONOCHROME1", "MONOCHROME2", 12} <= seen


def test_the_label_table_holds_the_right_films_and_no_patient(film_set):
    rows = read_table(film_set / "labels.csv")
    assert list(rows[0]) == ["image", "label", "finding", "strength", "view"]
    assert {row["label"] for row in rows} == {"normal", "abnormal"}
    assert {row["view"] for row in rows} == {"PA", "LATERAL"}
    for row in rows:
        kinds = [] if row["finding"] == "none" else row["finding"].split("|")
        assert set(kinds) <= set(FINDINGS)
        assert (row["label"] == "abnormal") == bool(kinds)
        strengths = [float(s) for s in row["strength"].split("|")]
        assert strengths == [0.0] if not kinds else len(strengths) == len(kinds)
    assert "PHANTOM" not in (film_set / "labels.csv").read_text()
    wrong = {row["image"] for row in read_table(film_set / "wrong_files.csv")}
    right = {row["image"] for row in rows}
    on_disk = {p.relative_to(film_set).as_posix() for p in film_set.rglob("*.dcm")}
    assert not right & wrong
    assert right | wrong == on_disk
    assert len({Path(image).name for image in on_disk}) == len(on_disk)


def test_wrong_files_are_wrong_in_what_they_are_listed_for(film_set):
    table = read_table(film_set / "wrong_files.csv")
    wrong = {row["what"]: film_set / row["image"] for row in table}
    assert set(wrong) == set(WRONG_KINDS)
    with pytest.raises(InvalidDicomError):
        pydicom.dcmread(wrong.pop("not_dicom"))
    read = {what: pydicom.dcmread(path) for what, path in wrong.items()}
    with pytest.raises(ValueError, match="pixel data"):
        _ = read["truncated"].pixel_array
    assert read["multi_frame"].pixel_array.shape == (2, SET_SIZE, SET_SIZE)
    assert read["colour"].pixel_array.shape == (SET_SIZE, SET_SIZE, 3)
    assert read["body_part"].BodyPartExamined == "HAND"
    assert read["modality"].Modality == "CT"
    assert "ViewPosition" not in read["no_view"]
    assert "PatientID" not in read["no_patient"]
    assert read["burned_in_annotation"].BurnedInAnnotation == "YES"
    assert np.ptp(read["constant"].pixel_array) == 0
    # Nothing else is wrong with them.
    assert read["no_view"].BodyPartExamined == "CHEST"
    assert as_looked_at(read["no_patient"]).std() > 0.1


def test_an_interrupted_set_is_completed_with_the_same_bytes(film_set, tmp_path):
    reports: list[tuple[int, int]] = []
    out = tmp_path / "set"
    arguments = {"num_patients": 3, "image_size": SET_SIZE, "seed": 3}
    write_phantom_cxr(out, **arguments, progress=lambda *report: reports.append(report))
    assert reports == [(1, 3), (2, 3), (3, 3)]
    before = {path: path.read_bytes() for path in out.rglob("*.dcm")}
    # The beginning of the larger set, and not a byte of another.
    for path, content in before.items():
        assert content == (film_set / path.relative_to(out)).read_bytes()
    missing, kept, *_ = sorted(before)
    missing.unlink()
    (out / "labels.csv").unlink()
    untouched = kept.stat().st_mtime_ns
    write_phantom_cxr(out, **arguments)
    assert {path: path.read_bytes() for path in out.rglob("*.dcm")} == before
    assert kept.stat().st_mtime_ns == untouched
    assert len(read_table(out / "labels.csv")) == len(before)
    assert read_table(out / "wrong_files.csv") == []


@pytest.mark.slow
def test_several_processes_write_the_same_bytes(film_set, tmp_path):
    write_phantom_cxr(tmp_path / "set", num_patients=3, image_size=SET_SIZE, seed=3, workers=2)
    for path in (tmp_path / "set").rglob("*.dcm"):
        relative = path.relative_to(tmp_path / "set")
        assert path.read_bytes() == (film_set / relative).read_bytes()


def test_another_set_or_foreign_files_are_left_alone(film_set, tmp_path):
    with pytest.raises(UserError, match="seed was 3, is now 4"):
        write_phantom_cxr(film_set, num_patients=1, image_size=SET_SIZE, seed=4)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"no phantom\.json.*Nothing was changed"):
        write_phantom_cxr(tmp_path, num_patients=1, image_size=SET_SIZE, seed=0)
    with pytest.raises(UserError, match="is a file"):
        write_phantom_cxr(tmp_path / "notes.txt", num_patients=1, image_size=SET_SIZE, seed=0)
    with pytest.raises(UserError, match="--image-size 8: expected 16 or more"):
        write_phantom_cxr(tmp_path / "new", num_patients=1, image_size=8, seed=0)
    assert not (tmp_path / "new").exists()
