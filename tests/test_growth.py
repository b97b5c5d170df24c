"""How growth is measured: exponents of known growth, tables, and every part at a small size."""

import gc
from pathlib import Path

import numpy as np
import pytest

from benchmarks.growth import Cost, exponent, sizes_of, table
from benchmarks.growth_inputs import (
    drawn,
    write_film_cache,
    write_slice_cache,
    write_synthetic_set,
)
from benchmarks.growth_parts import PARTS
from datamodules.film_cache import FilmCache
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticSet
from preparation.films.duplicates import perceptual_hash
from preparation.verify import verify_films, verify_slices
from provenance import UserError


def test_exponents_are_those_of_the_last_step() -> None:
    sizes = [100, 1000, 10_000]
    assert exponent(sizes, [1, 10, 100], 0.5) == pytest.approx(1)
    assert exponent(sizes, [5, 1, 100], 0.5) == pytest.approx(2)
    assert exponent(sizes, [1, 3, 3], 0.5) == pytest.approx(0)
    assert exponent([1000, 30_000], [2, 60], 0.5) == pytest.approx(1)


def test_of_too_little_nothing_is_said() -> None:
    assert exponent([10, 100], [0.01, 5], least=0.02) is None
    assert exponent([10], [5], 0.02) is None


def test_the_table_has_the_exponents_in_the_last_row() -> None:
    mib = 2**20
    costs = [
        Cost("index", size, size / 1000, 1.0, 100 * mib, 100 * mib + size * mib // 10)
        for size in (100, 1000, 10_000)
    ]
    rows = table(costs).splitlines()[2:]
    assert rows[0].startswith("| opening a cache of films | 100 |")
    assert rows[1].endswith("|  |  |")
    assert rows[2].endswith("| 1,100 | 1,000 | 1.00 | 1.00 |")


def test_sizes_may_be_made_smaller() -> None:
    assert sizes_of(PARTS["films"], None, None) == [1000, 10_000, 100_000]
    assert sizes_of(PARTS["films"], None, 30_000) == [1000, 10_000, 30_000]
    assert sizes_of(PARTS["films"], [7], None) == [7]


def test_drawn_caches_are_what_prepare_would_verify(tmp_path: Path) -> None:
    films = FilmCache.open(write_film_cache(tmp_path / "films", 300))
    slices = SliceCache.open(write_slice_cache(tmp_path / "slices", 240))
    assert (len(films), len(slices)) == (300, 240)
    for found in (verify_films(films), verify_slices(slices)):
        assert found.damaged == []
        assert found.num_checked > 0
    made = SyntheticSet.open(write_synthetic_set(tmp_path / "set", 300))
    assert made.seen().overlap(films).known.sum() == len(films.indices("train"))


@pytest.mark.parametrize(
    "name", ["films", "slices", "split", "duplicates", "start_beside", "open_set", "judge"]
)
def test_a_part_does_its_work(name: str, tmp_path: Path) -> None:
    size = 60 if name in ("films", "slices") else 400
    PARTS[name].make(tmp_path, size)
    PARTS[name].do(tmp_path, size)


def test_opening_a_cache_leaves_the_search_for_garbage_as_it_was(tmp_path: Path) -> None:
    assert gc.isenabled()
    write_slice_cache(tmp_path / "slices", 40)
    SliceCache.open(tmp_path / "slices")
    assert gc.isenabled()
    with pytest.raises(UserError):
        SliceCache.open(tmp_path)
    assert gc.isenabled()
    gc.disable()
    try:
        SliceCache.open(tmp_path / "slices")
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_drawn_pictures_are_no_near_copies_of_each_other() -> None:
    hashes = np.array([perceptual_hash(drawn(number)) for number in range(3000)], np.uint64)
    apart = np.bitwise_count(hashes[:, None] ^ hashes[None])
    np.fill_diagonal(apart, 64)
    assert apart.min() > 6  # the distance from which find_duplicates compares the pictures
