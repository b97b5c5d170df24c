"""Films that another program made become a set: alike those of the cache, whatever their files."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from datamodules import ChestXrayDataModule
from datamodules.film_cache import FilmCache
from datamodules.synthetic import SyntheticSet
from provenance import UserError
from synthetic_marks import png_info
from tests.film_runs import draw, films, make_films
from tests.prepare_runs import LEFT_OUT, run


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films of 24 pixels of 20 patients, equalised and cropped; labels normal and abnormal."""
    root = tmp_path_factory.mktemp("real")
    source = make_films(root, 40)
    assert films(source, root / "cache", "--clahe", "after_resize") == 0
    return root / "cache"


def synthetic(source: Path, out: Path, *more: Any, like: Path | None = None) -> int:
    flags = ("--trained-on", "unknown", "--like", like) if like else ()
    return run("synthetic", "--source", source, "--out", out, *flags, *more)


def centre(cache: Path) -> list[np.ndarray]:
    """Films of a cache as a network sees them in evaluations."""
    opened = FilmCache.open(cache)
    start = (opened.stored_size - opened.image_size) // 2
    cut = slice(start, start + opened.image_size)
    return [opened.image(index)[cut, cut] for index in range(len(opened))]


def save_capture(path: Path, image: np.ndarray) -> None:
    """A secondary capture, as a vendor's exporter writes it: no view, no part of the body."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, generate_uid()
    dataset.Modality, dataset.PatientName, dataset.SeriesInstanceUID = "OT", "X", generate_uid()
    dataset.Rows, dataset.Columns = image.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = image.tobytes()
    pydicom.dcmwrite(path, dataset)


def test_a_film_comes_out_as_the_cache_has_it_from_every_kind_of_file(
    cache: Path, tmp_path: Path
) -> None:
    """The same pictures as the cache's, so the expected images are the cache's own, to the bit."""
    folder = tmp_path / "made"
    folder.mkdir()
    picture = draw(7, side=24)
    picture = ((picture.astype(int) - picture.min()) * 255 // np.ptp(picture)).astype(np.uint8)
    Image.fromarray(picture).save(folder / "a.png")
    Image.fromarray(np.stack([picture] * 3, -1)).save(folder / "b.png")
    np.save(folder / "c.npy", picture)
    np.save(folder / "d.npy", picture.astype(np.float32) / 127.5 - 1)  # one channel, in [-1, 1]
    np.save(folder / "e.npy", np.stack([picture / np.float32(127.5) - 1] * 3)[None])
    nib.save(nib.Nifti1Image(picture[..., None], np.eye(4)), folder / "f.nii.gz")
    save_capture(folder / "g.dcm", picture)
    Image.fromarray(picture).save(tmp_path / "one.png")
    assert (
        synthetic(folder, tmp_path / "set", "--values", -1, 1, "--label", "normal", like=cache) == 0
    )
    made = SyntheticSet.open(tmp_path / "set")
    images = [made.image(item) for item in made.items]
    assert len(images) == 7
    for image in images[1:]:
        np.testing.assert_array_equal(image, images[0])

    real = tmp_path / "real"
    (real / "films").mkdir(parents=True)
    (tmp_path / "one.png").rename(real / "films" / "one.png")
    (real / "labels.csv").write_text("image,patient,label\none.png,1,normal\n")
    assert (
        films(real, tmp_path / "alone", "--clahe", "after_resize", "--split-all-to", "train") == 0
    )
    np.testing.assert_array_equal(images[0], centre(tmp_path / "alone")[0])
    with Image.open(made.root / "images" / f"{made.items[0].id}.png") as marked:
        assert "Synthetic" in marked.info["Description"]


def test_images_of_a_generator_of_the_cache_are_not_equalised_again(
    cache: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    for number, image in enumerate(centre(cache)[:4]):
        Image.fromarray(image).save(folder / f"{number}.png")
    assert synthetic(folder, tmp_path / "as", like=cache) == 0
    assert synthetic(folder, tmp_path / "set", "--processing", "none", like=cache) == 0
    made = SyntheticSet.open(tmp_path / "set")
    for item, image in zip(made.items, centre(cache), strict=False):
        np.testing.assert_array_equal(made.image(item), image)
    again = SyntheticSet.open(tmp_path / "as")
    assert not np.array_equal(again.image(again.items[0]), centre(cache)[0])


def test_what_is_handed_on_has_the_command_without_names_and_what_stays_has_it_whole(
    cache: Path, tmp_path: Path
) -> None:
    folder, names = tmp_path / "Mueller_Hans", tmp_path / "Mueller_map.txt"
    for number, name in enumerate(("healthy", "covid")):
        (folder / name).mkdir(parents=True)
        Image.fromarray(draw(number)).save(folder / name / "a.png")
    names.write_text("healthy=normal\ncovid=abnormal\n")
    licence = "Vendor: internal use only"
    out = tmp_path / "Hans_set"
    words = ["--label-map", names, "--licence", licence, "--unlabelled", "keep"]
    assert synthetic(folder, out, *words, like=cache) == 0
    expected = [
        *("python", "prepare.py", "synthetic", "--source", "SOURCE", "--trained-on", "unknown"),
        *("--like", "CACHE", "--label-map", "healthy=normal", "covid=abnormal"),
        *("--unlabelled", "keep", "--licence", licence),
        *("--made-by", "another generator", "--out", "SET"),
    ]
    assert shlex.split(json.loads((out / "manifest.json").read_text())["command"]) == expected
    for path in (path for path in out.rglob("*") if path.is_file()):
        assert not re.search(rb"Mueller|Hans", path.read_bytes()), path
    for name in ("README.md", "card.json"):
        assert "--source SOURCE" in (out / name).read_text()
    typed = shlex.split((tmp_path / "Hans_set.private/command.txt").read_text())
    assert typed[4] == str(folder)
    assert typed[-1] == str(out)
    assert run(*typed[2:-1], tmp_path / "again") == 0  # it can be given as it stands there


def test_unknown_is_understood_when_it_is_misspelt(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "made").mkdir()
    Image.fromarray(draw(1)).save(tmp_path / "made/a.png")
    words = ("--trained-on", "uknown", "--like", cache)
    assert synthetic(tmp_path / "made", tmp_path / "set", *words) == 2
    assert "--trained-on uknown: is neither a folder nor the word" in (
        err := capsys.readouterr().err
    )
    assert "Did you mean unknown?" in err
    assert synthetic(tmp_path / "made", tmp_path / "set", "--trained-on", tmp_path / "cacne") == 2
    assert "Did you mean unknown?" not in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_the_next_command_names_the_cache_where_it_is_known(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "made").mkdir()
    Image.fromarray(draw(1)).save(tmp_path / "made/a.png")
    assert synthetic(tmp_path / "made", tmp_path / "known", "--trained-on", cache) == 0
    assert f"--data.root {cache} --out" in capsys.readouterr().out
    assert synthetic(tmp_path / "made", tmp_path / "unknown", like=cache) == 0
    assert "--data.root CACHE --out" in capsys.readouterr().out


def test_a_set_does_not_lie_among_the_images_that_it_is_made_of(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    Image.fromarray(draw(1)).save(folder / "a.png")
    (tmp_path / "link").symlink_to(folder)
    for out in (folder, folder / "set", tmp_path / "link" / "deep" / "set"):
        assert synthetic(folder, out, like=cache) == 2
        assert "is inside --source" in capsys.readouterr().err
    assert synthetic(folder, tmp_path, like=cache) == 2
    assert "is inside --out" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["a.png"]


def test_files_that_say_that_they_are_synthetic_are_welcome_here(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "made").mkdir()
    Image.fromarray(draw(1)).save(tmp_path / "made/a.png", pnginfo=png_info())
    assert synthetic(tmp_path / "made", tmp_path / "set", like=cache) == 0
    assert "1 image marked as synthetic in the file itself" in capsys.readouterr().out


def test_bad_files_are_listed_and_nobodys_name_is_in_the_set(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "made" / "Schmidt"
    folder.mkdir(parents=True)
    Image.fromarray(draw(1)).save(folder / "Eva_Schmidt.png")
    Image.fromarray(draw(2, 40)[:30]).save(folder / "Eva_Schmidt_2.jpg", quality=100)
    (folder / "Eva_torn.png").write_bytes((folder / "Eva_Schmidt.png").read_bytes()[:120])
    (folder / "Eva_empty.nii.gz").write_bytes(b"")
    (folder / "Eva_text.dcm").write_text("no DICOM")
    np.save(folder / "Eva_objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save(folder / "Eva_nan.npy", np.full((3, 24, 24), np.nan))
    np.save(folder / "Eva_stack.npy", np.stack([draw(3), np.zeros((24, 24), np.uint8)]))
    np.save(folder / "Eva_shape.npy", np.zeros((2, 2, 2, 24, 24), np.uint8))
    (folder / "Eva.zip").write_bytes(b"PK")
    (folder / "table.csv").write_text("x")
    out = tmp_path / "set"
    assert synthetic(tmp_path / "made", out, like=cache) == LEFT_OUT
    printed = capsys.readouterr().out
    assert "9 files found, 3 images used, 7 left out" in printed
    assert "1 .zip" in printed
    assert "1 of 24x24" not in printed  # it counts two of that size, and one of another
    assert "2 of 24x24, 1 of 30x40" in printed
    private = (tmp_path / "set.private" / "skipped.csv").read_text()
    assert private.count("Eva") == 7
    assert "Eva_stack.npy" in private
    texts = [path for path in out.rglob("*") if path.suffix in (".json", ".csv", ".md")]
    for path in texts:
        assert "Eva" not in path.read_text(), path
        assert "Schmidt" not in path.read_text(), path
    assert len(json.loads((out / "manifest.json").read_text())["items"]) == 3
    assert (out / "skipped.csv").read_text().count("synthetic_") == 7
    # Given again, it is done already, and says the same.
    before = (out / "manifest.json").read_bytes()
    assert synthetic(tmp_path / "made", out, like=cache) == LEFT_OUT
    assert "(9 finished before)" in capsys.readouterr().out
    assert (out / "manifest.json").read_bytes() == before
    assert synthetic(tmp_path / "made", tmp_path / "b", "--strict", like=cache) == 2
    assert "Stopped here, as --strict says" in capsys.readouterr().err


def classes(root: Path, names: list[str]) -> Path:
    for number, name in enumerate(names):
        (root / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw(number)).save(root / name / f"{number}.png")
    return root


def test_class_folders_tables_and_one_label_give_the_caches_classes(
    cache: Path, tmp_path: Path
) -> None:
    folders = classes(tmp_path / "made", ["NORMAL", "Abnormal", "NORMAL"])
    assert synthetic(folders, tmp_path / "a", like=cache) == 0
    found = SyntheticSet.open(tmp_path / "a")
    assert sorted(str(item.label) for item in found.items) == ["abnormal", "normal", "normal"]
    assert found.manifest["class_names"] == ["normal", "abnormal"]

    table = tmp_path / "labels.csv"
    table.write_text("file,label\n0.png,healthy\n1.png,abnormal\n")
    flags = ("--labels", table, "--label-map", "healthy=normal")
    assert synthetic(folders, tmp_path / "b", *flags, like=cache) == LEFT_OUT
    labels = {item.id: item.label for item in SyntheticSet.open(tmp_path / "b").items}
    assert sorted(map(str, labels.values())) == ["abnormal", "normal"]
    flags = (*flags, "--unlabelled", "keep")
    assert synthetic(folders, tmp_path / "c", *flags, like=cache) == 0
    kept = [item.label for item in SyntheticSet.open(tmp_path / "c").items]
    assert sorted(map(str, kept)) == ["None", "abnormal", "normal"]
    assert synthetic(folders, tmp_path / "d", "--label", "abnormal", like=cache) == 0
    assert {item.label for item in SyntheticSet.open(tmp_path / "d").items} == {"abnormal"}
    assert synthetic(folders, tmp_path / "e", "--labels", "none", like=cache) == 0
    assert {item.label for item in SyntheticSet.open(tmp_path / "e").items} == {None}


def test_a_class_that_the_cache_does_not_have_is_refused_before_anything_is_made(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = classes(tmp_path / "made", ["normal", "covid"])
    assert synthetic(folders, tmp_path / "set", like=cache) == 2
    said = capsys.readouterr().err
    assert "'covid' is no class of" in said
    assert "--label-map covid=abnormal" in said
    assert not (tmp_path / "set").exists()
    assert synthetic(folders, tmp_path / "set", "--label-map", "covid=abnormal", like=cache) == 0


def test_a_set_of_a_known_generator_joins_the_training_and_one_of_all_patients_does_not(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = classes(tmp_path / "made", ["normal", "abnormal"])
    assert synthetic(folders, tmp_path / "a", "--trained-on", cache) == 0
    real = ChestXrayDataModule(str(cache)).training_set()
    joined = ChestXrayDataModule(str(cache), synthetic=str(tmp_path / "a")).training_set()
    assert len(joined) == len(real) + 2
    assert joined.labels is not None
    assert sorted(joined.labels[-2:].tolist()) == [0, 1]
    assert "| trained on | the training split of" in (tmp_path / "a/README.md").read_text()
    flags = ("--trained-on", cache, "--trained-on-split", "all")
    assert synthetic(folders, tmp_path / "b", *flags) == 0
    with pytest.raises(UserError, match="leaks"):
        ChestXrayDataModule(str(cache), synthetic=str(tmp_path / "b")).training_set()
    assert synthetic(folders, tmp_path / "c", like=cache) == 0
    capsys.readouterr()
    ChestXrayDataModule(str(cache), synthetic=str(tmp_path / "c")).training_set()
    assert "nobody has said whose they are" in capsys.readouterr().err
    assert "unknown: whether its images copy anybody's" in (tmp_path / "c/README.md").read_text()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ((), "--like: is missing"),
        (("--trained-on-split", "all"), "--trained-on-split all: of which cache?"),
        (("--like", "CACHE", "--values", "1", "0"), "--values 1 0: expected two numbers"),
        (("--like", "CACHE", "--masks", "M"), "--masks M: .* holds films. Leave it out"),
        (("--like", "CACHE", "--label", "x"), "--label: 'x' is no class of"),
        (("--like", "CACHE", "--labels", "t.csv"), "--labels t.csv: there is no such file"),
        (("--like", "CACHE", "--labels", "t.csv", "--label", "normal"), "both say the class"),
        (("--like", "CACHE", "--source", "CACHE"), "is a cache of real images"),
        (("--like", "CACHE", "--source", "NONE"), "there is no such folder"),
        (("--source", "NONE"), "there is no such folder"),
        (("--like", "CACHE", "--source", "EMPTY"), "holds no image"),
        (("--like", "CACHE", "--workers", "0"), "--workers 0: expected 1 or more"),
    ],
)
def test_wrong_flags_are_said(
    cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
    sentence: str,
) -> None:
    import re

    folder = classes(tmp_path / "made", ["normal"])
    (tmp_path / "empty").mkdir()
    places = {"CACHE": cache, "NONE": tmp_path / "none", "EMPTY": tmp_path / "empty"}
    words = [places.get(flag, flag) for flag in flags]
    source = () if "--source" in flags else ("--source", folder)
    assert run("synthetic", *source, "--out", tmp_path / "set", *words) == 2
    assert re.search(sentence, capsys.readouterr().err)
    assert not (tmp_path / "set").exists()


def test_other_settings_do_not_mix_in_one_folder(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = classes(tmp_path / "made", ["normal", "abnormal"])
    assert synthetic(folder, tmp_path / "set", like=cache) == 0
    assert synthetic(folder, tmp_path / "set", "--processing", "none", like=cache) == 2
    assert "processing was as_cache, is now none" in capsys.readouterr().err
    assert synthetic(tmp_path / "set", tmp_path / "b", like=cache) == 2
    assert "is a finished synthetic set already" in capsys.readouterr().err
