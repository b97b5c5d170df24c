"""The reading side of a film cache: what it returns, what it costs, what it says of damage."""

import csv
import json
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from datamodules.film_cache import FilmCache, header
from datamodules.open_cache import open_cache
from datamodules.slice_cache import SliceCache
from provenance import UserError, sha256_of

MakeCache = Callable[..., Path]


def edit_manifest(root: Path, **changes: object) -> Path:
    manifest = json.loads((root / "manifest.json").read_text())
    (root / "manifest.json").write_text(json.dumps({**manifest, **changes}))
    return root


def memory_mb() -> float:
    return psutil.Process().memory_info().rss / 2**20


def flip_byte(path: Path, index: int) -> None:
    data = bytearray(path.read_bytes())
    data[index] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_reads_what_was_written(
    film_cache: MakeCache, tmp_path: Path, bit_depth: int, channels: int
) -> None:
    root = film_cache(tmp_path / "c", bit_depth=bit_depth, channels=channels)
    cache = FilmCache.open(root)
    assert (len(cache), cache.image_size, cache.stored_size, cache.channels) == (
        24,
        32,
        34,
        channels,
    )
    film = cache.image(7)  # five to a shard
    assert np.array_equal(film, np.load(root / "arrays/films_000001.npy")[2])
    assert film.shape == ((34, 34) if channels == 1 else (3, 34, 34))
    assert film.dtype == f"uint{bit_depth}"
    assert not film.flags.writeable


def test_selects_by_split(film_cache: MakeCache, tmp_path: Path) -> None:
    cache = FilmCache.open(film_cache(tmp_path / "c"))
    assert cache.indices("train").tolist() == list(range(12))
    assert len(cache.indices(None)) == len(cache.indices("all")) == 24
    assert cache.patients("val") == ["patient_000000000004", "patient_000000000005"]
    assert cache.item_ids("test")[0] == f"film_{18:016x}"
    with pytest.raises(UserError, match="expected one of train, val, test"):
        cache.indices("validation")


def test_labels_by_column(film_cache: MakeCache, tmp_path: Path) -> None:
    cache = FilmCache.open(film_cache(tmp_path / "c", labels=["abnormal", "normal", ""]))
    assert cache.class_names("label") == ["normal", "abnormal"]
    assert cache.labels("label")[:4].tolist() == [1, 0, -1, 1]
    with pytest.raises(UserError, match=r"no label column 'age' \(there: label\)"):
        cache.labels("age")


@pytest.mark.parametrize("film", [0, 4])
def test_a_flipped_bit_is_found_at_first_use(
    film_cache: MakeCache, tmp_path: Path, film: int
) -> None:
    root = film_cache(tmp_path / "c")
    flip_byte(root / "arrays/films_000001.npy", 128 + film * 34 * 34 + 1000)
    cache = FilmCache.open(root)  # sizes are right, so opening cannot know
    cache.image(5 + (film + 1) % 5)
    with pytest.raises(
        UserError, match=rf"films_000001.npy: row {film} \(film_.*damaged.*--verify"
    ):
        cache.image(5 + film)


def test_a_film_is_hashed_once(
    film_cache: MakeCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FilmCache.open(film_cache(tmp_path / "c"))
    cache.image(3)
    monkeypatch.setattr("datamodules.film_cache.hashlib", None)
    cache.image(3)
    with pytest.raises(AttributeError):
        cache.image(2)


def test_travels_to_workers_without_its_arrays(film_cache: MakeCache, tmp_path: Path) -> None:
    cache = FilmCache.open(film_cache(tmp_path / "c", stored_size=128, films=1))
    before = len(pickle.dumps(cache))
    cache.image(0)
    copy = pickle.loads(pickle.dumps(cache))  # noqa: S301 - made two words before
    assert len(pickle.dumps(cache)) == before
    assert np.array_equal(copy.image(0), cache.image(0))


def test_opening_and_reading_touch_only_what_is_asked_for(
    film_cache: MakeCache, tmp_path: Path
) -> None:
    """A shard of 8 GB, with holes for its pixels: reading it whole could not pass."""
    root = film_cache(tmp_path / "c", films=16, films_per_shard=128)
    shape = (128, 5_592, 5_592)
    np.lib.format.open_memmap(root / "arrays/films_000000.npy", "w+", np.uint16, shape)
    edit_manifest(root, stored_size=shape[1], bit_depth=16)
    before, started = memory_mb(), time.process_time()
    cache = FilmCache.open(root)
    seconds = time.process_time() - started
    cache._checked[:] = True  # a hash needs every byte of a film
    assert int(cache.image(100)[5000, 5000]) == 0
    assert seconds < 1
    assert memory_mb() - before < 20


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda root: (root / "manifest.json").unlink(), "not the raw data"),
        (lambda root: edit_manifest(root, format="other"), "holds no films"),
        (lambda root: edit_manifest(root, format_version=9), "format version 9"),
        (lambda root: (root / "items.csv").unlink(), "items.csv: is missing"),
        (lambda root: flip_byte(root / "items.csv", 500), "items.csv: is damaged"),
        (lambda root: (root / "arrays/films_000001.npy").unlink(), "films_000001.npy: is missing"),
        (
            lambda root: (root / "arrays/films_000004.npy").write_bytes(b"short"),
            "films_000004.npy: is truncated",
        ),
    ],
)
def test_says_what_is_wrong(
    film_cache: MakeCache, tmp_path: Path, break_it: Callable[[Path], object], sentence: str
) -> None:
    root = film_cache(tmp_path / "c")
    break_it(root)
    with pytest.raises(UserError, match=sentence):
        FilmCache.open(root)


def test_tells_films_from_slices(film_cache: MakeCache, small_cache: Path, tmp_path: Path) -> None:
    films = film_cache(tmp_path / "c")
    assert isinstance(open_cache(films), FilmCache)
    assert isinstance(open_cache(small_cache), SliceCache)
    with pytest.raises(UserError, match="holds no slices"):
        SliceCache.open(films)
    edit_manifest(films, format="other")
    with pytest.raises(UserError, match="holds no slices or films"):
        open_cache(films)


def write_long_table(root: Path, count: int, shard: str, num_films: int) -> None:
    with open(root / "items.csv", "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, header(["label"]))
        writer.writeheader()
        for index in range(count):
            writer.writerow(
                {
                    "id": f"film_{index:016x}",
                    "patient_id": f"patient_{index // 2:012x}",
                    "split": ("train", "train", "val", "test")[index // 2 % 4],
                    "shard": shard,
                    "row": index % num_films,
                    "sha256": f"{index:064x}",
                    "source_sha256": f"{index:064x}",
                    "spacing_row_mm": 0.7,
                    "spacing_column_mm": 0.7,
                    "label:label": ("normal", "abnormal")[index % 2],
                }
            )


@pytest.mark.slow
def test_a_million_films_open_in_seconds_and_little_memory(
    film_cache: MakeCache, tmp_path: Path
) -> None:
    root, count = film_cache(tmp_path / "c"), 1_000_000
    write_long_table(root, count, "films_000000", 5)
    edit_manifest(root, num_items=count, sha256_items=sha256_of(root / "items.csv"))
    before, started = memory_mb(), time.process_time()
    cache = FilmCache.open(root)
    seconds, megabytes = time.process_time() - started, memory_mb() - before
    print(f"\n{count} films opened in {seconds:.1f} s of one core, {megabytes:.0f} MB held")
    assert len(cache.indices("train")) == count // 2
    assert len(cache.patients(None)) == count // 2
    assert seconds < 30
    assert megabytes < 500
