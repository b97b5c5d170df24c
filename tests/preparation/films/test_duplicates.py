"""Exact and near duplicates: against brute force, against copies, and never quadratic."""

import csv
import io
from itertools import combinations
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from scipy.fft import dctn, idctn
from scipy.ndimage import gaussian_filter

from preparation.films import duplicates as module
from preparation.films.duplicates import (
    COLUMNS,
    Duplicates,
    across_splits,
    find_duplicates,
    perceptual_hash,
    write_duplicates_csv,
)
from preparation.films.film_layout import FilmLayout
from preparation.films.stored_film import stored_film

DATA = Path(__file__).parents[3] / "../shared/data"


def film(seed, side=135):
    """A smooth picture of its own kind for every seed, uint8."""
    rng = np.random.default_rng(seed)
    pixels = gaussian_filter(rng.standard_normal((side, side)), side / 30)
    pixels = 128 + 40 * pixels / pixels.std()
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def jpeg(pixels, quality=50):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def smaller_and_back(pixels):
    picture = Image.fromarray(pixels)
    half = picture.resize((60, 60), Image.Resampling.BILINEAR)
    return np.asarray(half.resize(picture.size, Image.Resampling.BILINEAR))


def distance(one, other):
    return (one ^ other).bit_count()


def found_in(films, **settings):
    hashes = np.array([perceptual_hash(stored) for stored in films], np.uint64)
    return find_duplicates(
        [stored.tobytes().hex() for stored in films], hashes, films.__getitem__, **settings
    )


def test_a_hash_does_not_depend_on_depth_or_planes():
    pixels = film(0)
    expected = perceptual_hash(pixels)
    assert 0 <= expected < 2**64
    assert perceptual_hash(pixels.astype(np.uint16) * 257) == expected
    assert perceptual_hash(np.stack([pixels] * 3)) == expected


def test_bits_are_signs_of_the_cosine_transform():
    """A wave of 4 half periods down and 7 across has one coefficient: row 1 and column 4."""
    positions = (np.arange(128) + 0.5) / 128
    wave = np.outer(np.cos(4 * np.pi * positions), np.cos(7 * np.pi * positions))
    bit = 1 << (63 - (1 * 8 + 4))
    assert perceptual_hash(np.rint(128 + 100 * wave).astype(np.uint8)) & bit
    assert not perceptual_hash(np.rint(128 - 100 * wave).astype(np.uint8)) & bit


def test_different_films_differ_in_half_of_the_bits():
    hashes = [perceptual_hash(film(seed)) for seed in range(30)]
    distances = [distance(one, other) for one, other in combinations(hashes, 2)]
    assert np.mean(distances) == pytest.approx(32, abs=1)
    assert min(distances) > 10


@pytest.mark.parametrize(
    "again",
    [
        jpeg,
        smaller_and_back,
        lambda pixels: np.clip(pixels * 1.05, 0, 255).astype(np.uint8),
        lambda pixels: (pixels * 0.95).astype(np.uint8),
    ],
)
def test_a_film_saved_again_is_found(again):
    films = [film(seed) for seed in range(20)]
    copies = [again(films[3]), again(films[7])]
    found = found_in(films + copies)
    assert found.exact == []
    assert sorted(pair[:2] for pair in found.near) == [(3, 20), (7, 21)]
    assert all(0.92 <= pair[2] < 1 for pair in found.near)


def test_equal_films_are_exact_and_not_near():
    films = [film(0), film(1), film(0), film(2), film(1), film(0), jpeg(film(0))]
    found = found_in(films)
    assert found.exact == [[0, 2, 5], [1, 4]]
    assert [pair[:2] for pair in found.near] == [(0, 6)]


def test_similarity_is_the_correlation_of_filtered_thumbnails():
    def filtered(stored):
        thumbnail = Image.fromarray(stored).resize((64, 64), Image.Resampling.BOX)
        transform = dctn(np.asarray(thumbnail, float))
        rows, columns = np.indices((64, 64))
        transform[rows + columns < 6] = 0
        return idctn(transform)

    films = [film(0), jpeg(film(0), 10)]
    ((_, _, similarity),) = found_in(films).near
    expected = np.corrcoef(filtered(films[0]).ravel(), filtered(films[1]).ravel())[0, 1]
    assert similarity == pytest.approx(expected, abs=1e-5)
    assert found_in(films, min_correlation=expected + 1e-3).near == []


def test_the_most_similar_pair_comes_first():
    films = [film(0), film(1), jpeg(film(0), 5), jpeg(film(1), 90)]
    assert [pair[:2] for pair in found_in(films).near] == [(1, 3), (0, 2)]


@pytest.mark.parametrize("max_distance", [0, 3, 5, 6, 7])
def test_candidates_are_those_of_brute_force(max_distance):
    rng = np.random.default_rng(max_distance)
    hashes = rng.integers(0, 2**64, 600, dtype=np.uint64)
    for index in range(200):  # copies with up to nine bits turned, wherever they are
        flips = rng.choice(64, index % 10, replace=False)
        hashes[400 + index] = hashes[index] ^ np.uint64(sum(1 << int(bit) for bit in flips))
    distances = np.bitwise_count(hashes[:, None] ^ hashes)
    expected = np.argwhere(np.triu(distances <= max_distance, 1))
    assert len(expected) >= 20 * (max_distance + 1)
    assert np.array_equal(module._candidates(hashes, max_distance), expected)


def test_equal_hashes_cost_no_square():
    count = 1_000
    hashes = np.full(count, 12345, np.uint64)
    pairs = module._candidates(hashes, 6)
    assert len(pairs) <= count * module._MAX_NEIGHBOURS
    assert np.array_equal(np.unique(pairs), np.arange(count))  # each film meets another


def test_only_candidates_are_read_and_each_once():
    films = [film(seed) for seed in range(50)] + [jpeg(film(7))]
    hashes = np.array([perceptual_hash(stored) for stored in films], np.uint64)
    calls = []

    def read(index):
        calls.append(index)
        return films[index]

    find_duplicates([str(index) for index in range(51)], hashes, read)
    assert sorted(calls) == [7, 50]


def test_blank_films_resemble_nothing():
    films = [np.full((135, 135), grey, np.uint8) for grey in (0, 1, 200)]
    found = found_in(films)
    assert found == Duplicates([], [])


@pytest.mark.parametrize("count", [0, 1])
def test_few_films(count):
    assert found_in([film(0)][:count]) == Duplicates([], [])


def test_the_table_has_a_row_per_pair(tmp_path):
    duplicates = Duplicates([[0, 2, 5]], [(1, 3, 0.98765)])
    ids = [f"film_{index}" for index in range(6)]
    patients = ["p", "q", "p", "q", "r", "s"]
    splits = ["train", "train", "train", "test", "val", "val"]
    write_duplicates_csv(tmp_path / "duplicates.csv", duplicates, ids, patients, splits)
    with open(tmp_path / "duplicates.csv", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows == [
        list(COLUMNS),
        ["exact", "film_0", "film_2", "1.0000", "yes", "train", "train"],
        ["exact", "film_0", "film_5", "1.0000", "no", "train", "val"],
        ["near", "film_1", "film_3", "0.9877", "yes", "train", "test"],
    ]
    assert across_splits(duplicates, splits) == 2
    assert across_splits(duplicates, ["train"] * 6) == 0


def test_copies_in_four_transfer_syntaxes():
    folder = DATA / "dicom_films"
    if not folder.is_dir():
        pytest.skip("../shared/data/dicom_films is not here")
    names = ("uncompressed", "j2k_lossless", "j2k_lossy", "jpegls_near")
    paths = [folder / f"cr_pa_mono1_{name}.dcm" for name in names]
    paths.append(folder / "cr_pa_mono2_jpeg_baseline.dcm")
    films = []
    for path in paths:
        pixels = pydicom.dcmread(path).pixel_array.astype(np.float32)
        films.append(stored_film((pixels - pixels.min()) / np.ptp(pixels), FilmLayout("x", 256)))
    found = found_in(films)
    assert found.exact == [[0, 1]]
    assert sorted(pair[:2] for pair in found.near) == [(0, 2), (0, 3), (2, 3)]
    assert min(pair[2] for pair in found.near) > 0.999


@pytest.mark.slow
def test_real_films_of_different_patients_are_not_near():
    paths = sorted((DATA / "nih_pa" / "images").glob("*.png"))[:120]
    if not paths:
        pytest.skip("../shared/data/nih_pa is not here")
    sources = [np.asarray(Image.open(path).convert("L")) for path in paths]
    sources += [jpeg(source) for source in sources[:20]]
    films = [stored_film(source.astype(np.float32) / 255, FilmLayout("x")) for source in sources]
    found = found_in(films)
    assert found.exact == []
    assert sorted(pair[:2] for pair in found.near) == [(i, 120 + i) for i in range(20)]
