"""MedMNIST files as films: rows, labels and splits against the arrays, and what is refused."""

import pickle
import sys
import tracemalloc
import types
import zipfile

import numpy as np
import pytest

from datamodules.film_cache import FilmCache
from preparation.films.film import FilmFile, RejectedFilm
from preparation.films.medmnist.array_films import MEDMNIST_NOTE, ArrayFilmReader, find_array_films
from preparation.films.medmnist.locate import locate_medmnist
from provenance import UserError
from tests.prepare_runs import run

COUNTS = {"train": 7, "val": 3, "test": 4}


def medmnist_arrays(shape=(28, 28), num_labels=1, counts=COUNTS):
    rng = np.random.default_rng(0)
    made = {}
    for split, count in counts.items():
        made[f"{split}_images"] = rng.integers(0, 256, (count, *shape)).astype(np.uint8)
        made[f"{split}_labels"] = rng.integers(0, 2, (count, num_labels)).astype(np.uint8)
    return made


def write(path, made, compressed=True):
    (np.savez_compressed if compressed else np.savez)(path, **made)
    return path


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("order", ["forwards", "backwards"])
def test_every_row_is_the_arrays_own(tmp_path, compressed, order):
    made = medmnist_arrays((30, 28))
    path = write(tmp_path / "pneumoniamnist.npz", made, compressed)
    files = find_array_films(path, path.parent / "unpacked")
    assert len(files) == sum(COUNTS.values())
    assert files[0] == FilmFile(
        "pneumoniamnist.npz#train/0", tmp_path / "unpacked/train_images.npy", 30 * 28
    )
    assert files[-1].name == "pneumoniamnist.npz#test/3"
    reader = ArrayFilmReader(labels=("normal", "pneumonia"))
    assert reader.side(files[0]) == 30
    for file in files if order == "forwards" else files[::-1]:
        split, _, index = file.name.partition("#")[2].partition("/")
        film = reader(file)
        expected = made[f"{split}_images"][int(index)].astype(np.float32) / 255
        np.testing.assert_array_equal(film.pixels, expected)
        number = int(made[f"{split}_labels"][int(index), 0])
        assert film.labels == {"label": ("normal", "pneumonia")[number]}
        assert (film.split, film.patient) == (split, None)
        assert film.keys == (file.name, f"{split}/{index}")
        assert ArrayFilmReader()(file).labels == {"label": str(number)}


def test_the_only_file_of_a_folder(tmp_path):
    write(tmp_path / "pneumoniamnist.npz", medmnist_arrays())
    assert len(find_array_films(tmp_path, tmp_path / "unpacked")) == 14
    write(tmp_path / "pneumoniamnist_64.npz", medmnist_arrays())
    with pytest.raises(UserError, match=r"pneumoniamnist\.npz, pneumoniamnist_64\.npz.*sizes"):
        find_array_films(tmp_path, tmp_path / "unpacked")
    with pytest.raises(UserError, match="found none"):
        find_array_films(tmp_path / "nowhere", tmp_path / "unpacked")


def test_colour_and_channels(tmp_path):
    made = medmnist_arrays((28, 28, 3))
    files = find_array_films(write(tmp_path / "a.npz", made), tmp_path / "unpacked")
    film = ArrayFilmReader(channels=3)(files[2])
    np.testing.assert_array_equal(film.pixels, made["train_images"][2].astype(np.float32) / 255)
    grey = ArrayFilmReader()(files[2])
    assert grey.pixels.shape == (28, 28)
    assert grey.suspicions == ("was_colour",)


def test_several_findings_are_normal_or_abnormal(tmp_path):
    made = medmnist_arrays(num_labels=14)
    made["train_labels"][:] = 0
    made["train_labels"][1, 5] = 1
    made["train_labels"][2, 5] = 2
    files = find_array_films(write(tmp_path / "chestmnist.npz", made), tmp_path / "unpacked")
    assert ArrayFilmReader()(files[0]).labels == {"label": "normal"}
    assert ArrayFilmReader()(files[1]).labels == {"label": "abnormal"}
    with pytest.raises(RejectedFilm, match="other than 0 and 1"):
        ArrayFilmReader()(files[2])


def test_a_class_without_a_name_and_a_constant_film(tmp_path):
    made = medmnist_arrays()
    made["train_labels"][0] = 5
    made["train_images"][1] = 7
    files = find_array_films(write(tmp_path / "a.npz", made), tmp_path / "unpacked")
    with pytest.raises(RejectedFilm) as caught:
        ArrayFilmReader(labels=("normal", "pneumonia"))(files[0])
    assert caught.value.reason == "no_label"
    with pytest.raises(RejectedFilm) as caught:
        ArrayFilmReader()(files[1])
    assert caught.value.reason == "constant"


def test_a_replaced_file_is_refused_and_a_lost_one_is_unreadable(tmp_path):
    path = write(tmp_path / "a.npz", medmnist_arrays())
    file = find_array_films(path, tmp_path / "unpacked")[1]
    before = ArrayFilmReader()(file).pixels
    made = medmnist_arrays()
    made["train_images"] = 255 - made["train_images"]
    write(path, made)
    with pytest.raises(UserError, match=r"unpacked: holds another .*archive_sha256 was"):
        find_array_films(path, tmp_path / "unpacked")
    np.testing.assert_array_equal(ArrayFilmReader()(file).pixels, before)
    file.path.unlink()
    with pytest.raises(RejectedFilm) as caught:
        ArrayFilmReader()(file)
    assert caught.value.reason == "unreadable"
    assert "a.npz" not in caught.value.sentence


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("train_images", np.zeros((7, 28, 28, 28), np.uint8), "3D sets are volumes"),
        ("train_images", np.zeros((7, 28, 28), np.float32), "float32"),
        ("train_images", np.array([{}] * 7), "Python objects in dtype"),
        ("train_images", np.zeros((7, 8, 28), np.uint8), "8x28 pixels"),
        ("val_labels", np.zeros((2, 1), np.uint8), "one row per image"),
        ("val_labels", np.zeros(3, np.uint8), "one row per image"),
        ("val_labels", np.array([["a"]] * 3), "expected whole numbers"),
        ("val_labels", np.zeros((3, 1)), "whole numbers"),
        ("test_labels", None, "lacks the array test_labels"),
    ],
)
def test_files_that_are_built_otherwise(tmp_path, name, value, sentence):
    made = medmnist_arrays()
    made[name] = value
    if value is None:
        del made[name]
    path = write(tmp_path / "other.npz", made)
    with pytest.raises(UserError, match=f"other.npz: .*{sentence}"):
        find_array_films(path, path.parent / "unpacked")


def test_damaged_files_are_found_before_any_film_is_read(tmp_path):
    path = write(tmp_path / "a.npz", medmnist_arrays(), compressed=False)
    whole = path.read_bytes()
    for damaged in (whole[:-100], whole[:5000], b"", b"<html>", _flip(whole, 1500)):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="is damaged, or no such archive"):
            find_array_films(path, path.parent / "unpacked")


def test_a_header_that_promises_more_than_there_is(tmp_path):
    path = write(tmp_path / "a.npz", medmnist_arrays())
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    longer = members["train_images.npy"].replace(b"(7, 28, 28)", b"(9, 28, 28)")
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**members, "train_images.npy": longer}.items():
            archive.writestr(name, data)
    with pytest.raises(UserError, match="train_images: mmap length"):
        find_array_films(path, path.parent / "unpacked")


def test_all_empty(tmp_path):
    path = write(tmp_path / "a.npz", medmnist_arrays(counts=dict.fromkeys(COUNTS, 0)))
    with pytest.raises(UserError, match="holds no film"):
        find_array_films(path, path.parent / "unpacked")


def _flip(data, offset):
    return data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]


def test_the_file_is_unpacked_once_and_read_with_flat_memory(tmp_path):
    counts = {"train": 2000, "val": 1, "test": 1}
    path = write(tmp_path / "a.npz", medmnist_arrays((64, 64), counts=counts))  # 8 MB of rows
    reader = ArrayFilmReader()
    tracemalloc.start()
    files = find_array_films(path, tmp_path / "unpacked")
    unpacked = files[0].path.stat().st_mtime_ns
    for start in range(0, 2000, 2 * 128):  # every second block, as one of two workers sees it
        for file in files[start : start + 128]:
            reader(file)
    assert tracemalloc.get_traced_memory()[1] < 4e6
    tracemalloc.stop()
    assert find_array_films(path, tmp_path / "unpacked") == files
    assert files[0].path.stat().st_mtime_ns == unpacked


def test_arrays_by_columns_are_read_as_they_are_meant(tmp_path):
    made = medmnist_arrays()
    rows = made["train_images"]
    made["train_images"] = np.asfortranarray(rows)
    files = find_array_films(write(tmp_path / "a.npz", made), tmp_path / "unpacked")
    np.testing.assert_array_equal(ArrayFilmReader()(files[3]).pixels, rows[3] / np.float32(255))


def test_reader_can_be_sent_to_workers():
    reader = ArrayFilmReader(3, ("a", "b"))
    assert pickle.loads(pickle.dumps(reader)) == reader  # noqa: S301
    assert "by image" in MEDMNIST_NOTE


# The relevant part of medmnist 3.0.2, whose own import makes a folder in the home.
INFO = {
    "pneumoniamnist": {
        "url": "https://zenodo.org/a.npz",
        "MD5": "m28",
        "url_224": "https://zenodo.org/a_224.npz",
        "MD5_224": "m224",
        "task": "binary-class",
        "label": {"0": "normal", "1": "pneumonia"},
    },
    "chestmnist": {"task": "multi-label, binary-class", "label": {"0": "mass", "1": "hernia"}},
    "organmnist3d": {"task": "multi-class", "label": {"0": "liver"}},
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    root = tmp_path / "root"
    root.mkdir()
    info = types.ModuleType("medmnist.info")
    info.INFO, info.DEFAULT_ROOT = INFO, str(root)
    monkeypatch.setitem(sys.modules, "medmnist", types.ModuleType("medmnist"))
    monkeypatch.setitem(sys.modules, "medmnist.info", info)
    return root


def test_names_are_looked_up_where_the_package_keeps_its_files(package, tmp_path):
    expected = package / "pneumoniamnist_224.npz"
    with pytest.raises(UserError, match=r"pneumoniamnist_224.npz: .*--download true.*a_224.npz"):
        locate_medmnist("pneumoniamnist_224", download=False)
    expected.write_bytes(b"1")
    names = ("normal", "pneumonia")
    assert locate_medmnist("pneumoniamnist_224", download=False) == (expected, names)
    assert locate_medmnist(str(expected), download=False) == (expected, names)
    for name in ("chestmnist.npz", "mine.npz"):
        (tmp_path / name).write_bytes(b"1")
        assert locate_medmnist(str(tmp_path / name), False) == (tmp_path / name, None)
    for unknown in ("pneumoniamist", "organmnist3d", "x/pneumoniamnist", "pneumoniamnist_32"):
        with pytest.raises(UserError, match=r"no such set.*\(pneumoniamnist, chestmnist,"):
            locate_medmnist(unknown, download=True)


def test_a_label_that_no_class_has_is_said(package, tmp_path, capsys):
    source = write(tmp_path / "pneumoniamnist.npz", medmnist_arrays())
    words = ("image_folder", "--source", source, "--out")
    told = (
        "--label-map names 'nomal', which no label is; is it misspelt? The labels are 'normal', 'p"
    )
    assert run(*words, tmp_path / "lost", "--label-map", "nomal=healthy,pneumonia=ill") == 0
    assert told in capsys.readouterr().out
    assert run(*words, tmp_path / "used", "--label-map", "normal=healthy") == 0
    assert "--label-map names" not in capsys.readouterr().out


def test_without_the_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "medmnist", None)
    path = write(tmp_path / "pneumoniamnist.npz", medmnist_arrays())
    assert locate_medmnist(str(path), download=True) == (path, None)
    with pytest.raises(UserError, match="pip install medmnist, or give the path"):
        locate_medmnist("pneumoniamnist", download=True)


def test_download_is_whole_or_not_there(package, monkeypatch):
    asked = []

    def fetch(url, root, filename, md5):
        asked.append((url, md5))
        (package / filename).write_bytes(b"1")
        if len(asked) == 1:
            raise RuntimeError("File not found or corrupted.")

    # In place of the real one, which takes seconds to import.
    fetching = types.ModuleType("torchvision.datasets.utils")
    fetching.download_url = fetch
    for parent in ("torchvision", "torchvision.datasets"):
        monkeypatch.setitem(sys.modules, parent, types.ModuleType(parent))
    monkeypatch.setitem(sys.modules, "torchvision.datasets.utils", fetching)
    with pytest.raises(UserError, match=r"a\.npz: could not be downloaded .*corrupted.*save it as"):
        locate_medmnist("pneumoniamnist", download=True)
    assert list(package.iterdir()) == []
    path, _ = locate_medmnist("pneumoniamnist", download=True)
    assert [file.name for file in package.iterdir()] == [path.name] == ["pneumoniamnist.npz"]
    assert locate_medmnist("pneumoniamnist", download=True)[0] == path
    assert asked == [("https://zenodo.org/a.npz", "m28")] * 2


def test_the_command_keeps_the_file_s_size_and_split(tmp_path, capsys):
    source = write(tmp_path / "pneumoniamnist.npz", medmnist_arrays())
    assert run("image_folder", "--source", source, "--out", tmp_path / "out") == 0
    assert "MedMNIST films carry no patient identifier" in capsys.readouterr().out
    cache = FilmCache.open(tmp_path / "out")
    assert {split: len(cache.indices(split)) for split in COUNTS} == COUNTS
    assert (cache.image_size, cache.stored_size, cache.split_by) == (28, 28, "published")
    # As bytes: version 0.1 wrote it so.
    text = (tmp_path / "out/manifest.json").read_text()
    assert '"margin": 0.0,\n "channels": 1,\n "bit_depth": 8,' in text
    assert cache.manifest["clahe"] == "none"
