"""A cache or a set from others shows no file outside it, and takes no more memory than it has."""

import csv
import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datamodules.film_cache import FilmCache
from datamodules.named_files import read_png
from datamodules.open_cache import open_cache
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import FORMAT, SyntheticSet
from knowledge import Knowledge
from patient_names import PatientNames
from provenance import UserError, read_json, sha256_of
from tests.conftest import write_film_cache

HUGE = (10**6, 10**7)  # 10 TB


@pytest.fixture
def slices(small_cache: Path, tmp_path: Path) -> Path:
    return shutil.copytree(small_cache, tmp_path / "slices")


@pytest.fixture
def films(tmp_path: Path) -> Path:
    return write_film_cache(tmp_path / "films", {"a": "train", "b": "val", "c": "test"})


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A set of one film of 8 px."""
    (tmp_path / "set/images").mkdir(parents=True)
    (tmp_path / "set/masks").mkdir()
    levels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for room in ("images", "masks"):
        Image.fromarray(levels).save(tmp_path / f"set/{room}/one.png")
    content = {"format": FORMAT, "image_size": 8, "items": [{"id": "one", "seed": 0}]}
    (tmp_path / "set/manifest.json").write_text(json.dumps(content))
    return tmp_path / "set"


def edit(root: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = root / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def header(shape: tuple[int, ...], descr: str = "'|u1'") -> bytes:
    """Of an .npy file; `descr` is Python."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def first_shard(root: Path) -> tuple[str, dict[str, Any]]:
    shards = json.loads((root / "manifest.json").read_text())["shards"]
    return next(iter(shards.items()))


def linked(root: Path, relative: str) -> None:
    """Put a link to a file elsewhere in the place of one of a cache."""
    outside = root.parent / "outside.npy"
    shutil.move(root / relative, outside)
    (root / relative).symlink_to(outside)


@pytest.mark.parametrize(
    "named", ["../slices_elsewhere.npy", "/etc/hostname", "arrays/../../x.npy", "", 3, None, "a\0"]
)
def test_an_array_outside_a_cache_is_not_opened(slices: Path, named: Any) -> None:
    name, shard = first_shard(slices)
    shutil.copy(slices / shard["image"], slices.parent / "slices_elsewhere.npy")
    edit(slices, lambda content: content["shards"][name].update(image=named))
    if named is None:  # a volume without images
        cache = SliceCache.open(slices)
        with pytest.raises(UserError, match="holds no images"):
            cache.image(next(item for item in cache.items if item.shard == name))
        return
    with pytest.raises(UserError, match=r"names the file .* expected one inside the folder"):
        open_cache(slices)


def test_a_film_outside_a_cache_is_not_opened(films: Path) -> None:
    edit(films, lambda content: content["shards"][0].update(array="../x.npy"))
    with pytest.raises(UserError, match=r"names the file '../x.npy'"):
        open_cache(films)


def test_links_out_of_a_folder_are_not_followed(slices: Path, films: Path, made: Path) -> None:
    _, shard = first_shard(slices)
    linked(slices, shard["image"])
    with pytest.raises(UserError, match=r"is a link to something outside .*put the file itself"):
        open_cache(slices)
    linked(films, json.loads((films / "manifest.json").read_text())["shards"][0]["array"])
    with pytest.raises(UserError, match="is a link to something outside"):
        open_cache(films)
    linked(made, "images/one.png")
    found = SyntheticSet.open(made)
    with pytest.raises(UserError, match=r"images/one\.png: is a link to something outside"):
        found.image(found.items[0])
    shutil.move(made.parent / "outside.npy", made / "inside.png")
    (made / "images/one.png").unlink()
    (made / "images/one.png").symlink_to(made / "inside.png")  # within the folder it may be one
    assert found.image(found.items[0]).shape == (8, 8)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (header(HUGE) + b"\0" * 10**6, "cannot be read"),
        (header((10**18, 10**18)) + b"\0" * 10**6, "cannot be read"),
        (header((1,), "'|O'") + b"\0" * 10**6, "cannot be read"),
        (header((1,), "__import__('os').abort()") + b"\0" * 10**6, "cannot be read"),
        (header((1,), "[('a', 'f8')] * 99") + b"\0" * 10**6, "cannot be read"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 10**6, "cannot be read"),
        (b"PK\x03\x04" + b"\0" * 10**6, "cannot be read"),
        (header((10**6, 1, 1)) + b"\0" * 10**6, r"is uint8 \(1000000, 1, 1\), and the manifest"),
        (header((2, 16, 16), "'<f8'") + b"\0" * 10**6, "is float64"),
    ],
)
def test_an_array_of_another_size_than_its_manifest_says_is_refused(
    slices: Path, content: bytes, told: str
) -> None:
    name, shard = first_shard(slices)
    (slices / shard["image"]).write_bytes(content)
    cache = SliceCache.open(slices)
    with pytest.raises(UserError, match=told):
        cache.image(next(item for item in cache.items if item.shard == name))


def test_a_film_array_of_another_size_is_refused(films: Path) -> None:
    array = json.loads((films / "manifest.json").read_text())["shards"][0]["array"]
    (films / array).write_bytes(header((3, 10**6)) + b"\0" * 3 * 10**6)
    with pytest.raises(UserError, match=r"is uint8 .*says images of 8 bits"):
        FilmCache.open(films).image(0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("image_size", 10**12),
        ("image_size", "32"),
        ("image_size", -1),
        ("stored_size", 10**9),
        ("channels", 2**40),
        ("bit_depth", 10**9),
        ("num_items", 10**15),
        ("num_items", 2),
        ("num_items", 4),
        ("num_items", True),
        ("shards", {"a": 1}),
        ("shards", None),
        ("labels", [1]),
    ],
)
def test_numbers_that_no_cache_has_are_refused(films: Path, key: str, value: Any) -> None:
    edit(films, lambda content: content.update({key: value}))
    with pytest.raises(UserError, match=r"manifest\.json: is damaged"):
        open_cache(films)


@pytest.mark.parametrize(
    "change",
    [
        {"row": "-1"},
        {"row": str(10**12)},
        {"row": "1e3"},
        {"sha256": "zz"},
        {"split": "all"},
        {"shard": "no"},
        {"id": "x" * 200_000},  # longer than a table's field may be
    ],
)
def test_a_table_of_films_that_no_cache_has_is_refused(films: Path, change: Any) -> None:
    path = films / "items.csv"
    with open(path, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    rows[0].update(change)
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    edit(films, lambda content: content.update(sha256_items=sha256_of(path)))
    with pytest.raises(UserError, match=r"manifest\.json: is damaged"):
        open_cache(films)


def test_pixel_hashes_outside_or_of_another_size_are_refused(slices: Path) -> None:
    path = slices / "pixel_hashes.npy"
    path.write_bytes(header(HUGE, "'<u8'"))
    entry = {"file": path.name, "sha256": sha256_of(path), "unknown": 0}
    edit(slices, lambda content: content.update(pixel_hashes=entry))
    with pytest.raises(UserError, match=r"pixel_hashes\.npy: cannot be read"):
        _ = open_cache(slices).pixel_hashes
    edit(slices, lambda content: content["pixel_hashes"].update(file="../pixel_hashes.npy"))
    with pytest.raises(UserError, match="expected one inside the folder"):
        _ = open_cache(slices).pixel_hashes


def png(width: int, height: int) -> bytes:
    """A PNG of one grey level: small, whatever its size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    pixels = zlib.compress(b"\0" * 1000, 9)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "content",
    [
        png(12_000, 12_000),
        png(40_000, 40_000),  # more than Pillow takes for an attack
        png(2**31 - 1, 2**31 - 1),
        png(9, 8),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(planted) (w) file\n",
        b"GIF89a" + bytes(100),
        b"",
    ],
)
@pytest.mark.parametrize("room", ["images", "masks"])
def test_a_picture_of_another_kind_or_size_is_not_decoded(
    made: Path, content: bytes, room: str
) -> None:
    (made / room / "one.png").write_bytes(content)
    found = SyntheticSet.open(made)
    read = found.image if room == "images" else found.mask
    with pytest.raises(UserError, match=rf"{room}/one\.png: cannot be read .*set is damaged"):
        read(found.items[0])


def test_a_pipe_in_the_place_of_a_picture_does_not_block(made: Path) -> None:
    (made / "images/one.png").unlink()
    os.mkfifo(made / "images/one.png")
    found = SyntheticSet.open(made)
    with pytest.raises(UserError, match="no such file"):
        found.image(found.items[0])


def test_an_array_of_a_set_that_promises_much_is_not_read(made: Path) -> None:
    edit(made, lambda content: content.update(image_format="npy"))
    found = SyntheticSet.open(made)
    for shape in (HUGE, (8, 9), (4, 8, 8)):
        (made / "images/one.npy").write_bytes(header(shape) + b"\0" * 300)
        with pytest.raises(UserError, match=r"images/one\.npy: cannot be read"):
            found.image(found.items[0])
    np.save(made / "images/one.npy", np.ones((3, 8, 8), np.uint8))
    assert found.image(found.items[0]).shape == (3, 8, 8)


@pytest.mark.parametrize("name", ["../../secret", "/etc/hostname", "a/../../b"])
def test_an_image_outside_a_set_is_not_opened(made: Path, name: str) -> None:
    edit(made, lambda content: content["items"][0].update(id=name))
    found = SyntheticSet.open(made)
    for read in (found.image, found.mask):
        with pytest.raises(UserError, match=r"expected one inside the folder|no such file"):
            read(found.items[0])


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": 10**9},
        {"image_size": None},
        {"items": None},
        {"items": ["one"]},
        {"items": [{"id": 1, "seed": 0}]},
        {"items": [{"id": "one", "seed": "0"}]},
        {"items": [{"id": "one", "seed": 0, "class_path": "planted.make"}]},
        {"items": [{"id": "one", "seed": 0, "class_pixels": ["many"]}]},
        {"items": [{"id": "one", "seed": 0, "label": ["a"]}]},
    ],
)
def test_a_manifest_that_no_set_has_is_refused(made: Path, change: Any) -> None:
    edit(made, lambda content: content.update(change))
    with pytest.raises(UserError, match=r"manifest\.json: is damaged"):
        SyntheticSet.open(made)


@pytest.mark.parametrize("text", ["[" * 200_000, "[1]", '"a"', "1" * 10_000, "NaN"])
def test_a_json_of_another_kind_is_refused(made: Path, slices: Path, text: str) -> None:
    for root in (made, slices):
        (root / "manifest.json").write_text(text)
    for read in (SyntheticSet.open, open_cache):
        with pytest.raises(UserError, match=r"manifest\.json"):
            read(made)  # type: ignore[operator]
    if len(text) > 5:
        with pytest.raises(UserError):
            read_json(made / "manifest.json")


@pytest.mark.parametrize(
    "plain",
    [
        {"training_patients": "everybody"},
        {"training_patients": [1]},
        {"training_patients": {"a": 1}},
        {"training_patients": 5},
        {"training_items": [["a"]]},
        {"patient_names": "source"},
        {"patient_names": [{"named_by": 1, "ids": "as_numbers"}]},
        {"patient_names": ["source"]},
        {"pixels": "?"},
        {"pixels": 5},
        ["a"],
    ],
)
def test_whom_somebody_knows_is_told_in_one_way(plain: Any) -> None:
    with pytest.raises(UserError, match="as it was written"):
        Knowledge.of_plain(plain)


def test_what_was_written_is_read(films: Path, slices: Path) -> None:
    for root in (films, slices):
        cache = open_cache(root)
        known = cache.knowledge(cache.indices("train"))
        assert Knowledge.of_plain(known.plain()).patients == known.patients
        assert PatientNames.of_plain(cache.patient_names.plain()) == cache.patient_names
    assert FilmCache.open(films).image(0).dtype == np.uint8


def test_a_png_is_read_at_its_size(tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (5, 5, 3), np.uint8)
    Image.fromarray(levels).save(tmp_path / "a.png")
    assert np.array_equal(read_png(tmp_path / "a.png", 5), levels)
    with pytest.raises(ValueError, match=r"is 5x5, but its manifest\.json says 6x6"):
        read_png(tmp_path / "a.png", 6)
