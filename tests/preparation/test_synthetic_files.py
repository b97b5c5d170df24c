"""Files that say they are synthetic are left out of every source, by name, unless wanted."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

import synthetic_marks as marks
from datamodules.film_cache import FilmCache
from datamodules.slice_cache import SliceCache
from studies.report.downstream.analysis import _data_notes
from tests.preparation.films.dicom_films import ramp, write
from tests.preparation.volumes.test_ct_dicom import make_study
from tests.preparation.volumes.test_png_slices import make_pairs
from tests.prepare_runs import LEFT_OUT, make_source, run

ALL_TRAIN = ("--split-all-to", "train")


def mark_png(path: Path, notice: str = marks.NOTICE) -> None:
    with Image.open(path) as picture:
        pixels = picture.copy()
    pixels.save(path, pnginfo=marks.png_info(notice))


def mark_nifti(path: Path, notice: str = marks.NOTICE) -> None:
    marks.sidecar(path).write_text(json.dumps(marks.as_json(notice)))


def both_ways(
    capsys: pytest.CaptureFixture[str], out: Path, *words: object, used: int, table: str
) -> None:
    """One file is left out and listed; with the flag it counts, and whoever opens it is told."""
    assert run(*words, "--out", out, *ALL_TRAIN) == LEFT_OUT
    kind = FilmCache if table == "rejected.csv" else SliceCache
    without = kind.open(out)
    assert (len(without), without.num_synthetic, without.synthetic_notes) == (used, 0, [])
    assert "is synthetic: " in (out / table).read_text()
    assert "synthetic" in capsys.readouterr().out
    assert run(*words, "--out", out, *ALL_TRAIN, "--allow-synthetic") == 2  # another cache
    allowed = out.with_name(f"{out.name}_allowed")
    assert run(*words, "--out", allowed, *ALL_TRAIN, "--allow-synthetic") == 0
    capsys.readouterr()
    cache = kind.open(allowed)
    assert len(cache) > used
    assert cache.num_synthetic == len(cache) - used
    [note] = cache.synthetic_notes
    begins = f"The cache's {len(cache)} {kind.CONTENTS} include {cache.num_synthetic} marked"
    assert note.startswith(begins)


def test_pictures_of_films(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(3):
        Image.fromarray(ramp(number, 255, np.uint8, (20, 20))).save(source / f"film_{number}.png")
    mark_png(source / "film_1.png")
    words = ("image_folder", "--source", source, "--image-size", 16, "--patient-from", "file")
    both_ways(capsys, tmp_path / "out", *words, used=2, table="rejected.csv")
    suspicions = [i.split(",") for i in (tmp_path / "out_allowed/items.csv").read_text().split()]
    assert sum("synthetic" in row for row in suspicions) == 1


def test_a_sets_own_folder_is_known_even_where_its_pictures_were_saved_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "set/images"
    images.mkdir(parents=True)
    (tmp_path / "set/manifest.json").write_text(json.dumps({"format": marks.SET_FORMAT}))
    Image.fromarray(ramp(0, 255, np.uint8, (20, 20))).save(images / "a.png")
    words = ("image_folder", "--source", images, "--image-size", 16, "--patient-from", "file")
    assert run(*words, "--out", tmp_path / "out", *ALL_TRAIN) == 2
    assert "no film is usable" in (told := capsys.readouterr().err)
    assert "it lies in a synthetic set" in told


@pytest.mark.parametrize(
    "tags",
    [{"SyntheticData": "YES"}, {"ImageComments": marks.NOTICE}],
)
def test_dicom_films(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tags: dict[str, str]
) -> None:
    for number in range(3):
        more = tags if number == 1 else {}
        path = tmp_path / f"source/{number}.dcm"
        write(path, ramp(number), PatientID=f"P{number}", **more)
    words = ("chest_xray", "--source", tmp_path / "source", "--image-size", 16, "--labels", "none")
    both_ways(capsys, tmp_path / "out", *words, used=2, table="rejected.csv")


@pytest.mark.parametrize("name", ["imaging", "segmentation"])
def test_nifti(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    source = make_source(tmp_path / "source", num=3)
    mark_nifti(source / f"case_00001/{name}.nii.gz")
    words = ("kits19", "--source", source)
    both_ways(capsys, tmp_path / "out", *words, used=8, table="skipped.csv")


def test_label_volumes_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_source(tmp_path / "source", num=3)
    path = source / "case_00001/segmentation.nii.gz"
    image = nib.load(path)
    image.header["descrip"] = marks.LABEL_MAP_NOTICE.encode()
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header), path)
    words = ("masks", "--source", source)
    both_ways(capsys, tmp_path / "out", *words, used=8, table="skipped.csv")


@pytest.mark.parametrize("kind", ["image", "label"])
def test_pairs_of_slices(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    make_pairs(tmp_path / "source", cases=((28, 5), (28, 2), (7, 1)))
    mark_png(sorted((tmp_path / "source" / kind).iterdir())[0])
    words = ("slices", "--source", tmp_path / "source")
    both_ways(capsys, tmp_path / "out", *words, used=2, table="skipped.csv")


def test_ct_series(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pydicom

    make_study(tmp_path / "source/a", num=4)
    make_study(tmp_path / "source/b", num=4, seed=1)
    for path in (tmp_path / "source").rglob("*"):
        if path.is_file():
            dataset = pydicom.dcmread(path)
            dataset.PatientID = path.relative_to(tmp_path / "source").parts[0]
            if dataset.PatientID == "b" and "PATIENT_DICOM" in str(path):
                dataset.SyntheticData = "YES"
            dataset.save_as(path)
    words = ("ct_dicom", "--source", tmp_path / "source")
    both_ways(capsys, tmp_path / "out", *words, used=4, table="skipped.csv")


def test_the_report_of_a_study_says_it() -> None:
    [note] = _data_notes([{"evaluation": {"num_synthetic": 1234}}])
    assert "1,234 images that say" in note
    assert _data_notes([{"evaluation": {}}]) == []
