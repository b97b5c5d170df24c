"""Where lesions go: shapes of others, inside a part of the organ that has none."""

import numpy as np
import pytest

from lightning_modules.conditional.lesion_placement import (
    SMALLEST,
    Placing,
    dilated,
    healthy_parts,
    parts_of,
    placed,
    resized,
    shapes_of,
)
from lightning_modules.conditional.windows import window_of
from provenance import UserError

ROWS, COLUMNS = np.mgrid[:64, :64]


def disc(row: float, column: float, radius: float) -> np.ndarray:
    return np.hypot(ROWS - row, COLUMNS - column) < radius


def two_kidneys() -> np.ndarray:
    """The left one with a tumour at its edge, the right one healthy."""
    labels = np.zeros((64, 64), np.uint8)
    labels[disc(30, 16, 10)] = 1
    labels[disc(30, 46, 11)] = 1
    labels[disc(22, 14, 6)] = 2
    return labels


def test_parts_are_connected_and_specks_are_none() -> None:
    pixels = disc(20, 20, 5) | disc(40, 40, 6)
    pixels[60, 60] = True
    assert [int(part.sum()) for part in parts_of(pixels)] == [
        int(disc(20, 20, 5).sum()),
        int(disc(40, 40, 6).sum()),
    ]


def test_a_kidney_that_a_tumour_touches_is_not_healthy() -> None:
    [healthy] = healthy_parts(two_kidneys(), organ=1, lesion=2)
    assert np.array_equal(healthy, disc(30, 46, 11))
    everywhere = np.where(two_kidneys() > 0, 2, 0)
    assert healthy_parts(everywhere, organ=1, lesion=2) == []


def test_shapes_are_cut_to_their_box() -> None:
    [shape] = shapes_of([two_kidneys(), np.zeros((64, 64), np.uint8)], lesion=2)
    assert shape.sum() == disc(22, 14, 6).sum()
    assert shape.any(axis=0).all()
    assert shape.any(axis=1).all()


@pytest.mark.parametrize("inside", [1.0, 0.6])
def test_a_placed_shape_lies_in_the_part_and_has_the_size_that_was_drawn(inside: float) -> None:
    [shape] = shapes_of([two_kidneys()], lesion=2)
    part = disc(30, 46, 11)
    sizes = []
    for seed in range(40):
        lesion = placed(shape, part, Placing(0.1, 0.4, inside), np.random.default_rng(seed))
        assert lesion is not None
        assert lesion.shape == part.shape
        assert (lesion & part).sum() >= inside * lesion.sum() - 0.5
        assert lesion.sum() >= SMALLEST
        sizes.append(lesion.sum() / part.sum())
    assert 0.08 < min(sizes) < 0.16 < 0.3 < max(sizes) < 0.45
    tries = [placed(shape, part, Placing(0.4, 0.4, inside), np.random.default_rng(s))
             for s in range(20)]  # fmt: skip
    bulges = any((lesion & ~part).any() for lesion in tries)
    assert bulges == (inside < 1)


def test_a_place_is_drawn_by_its_seed_and_all_places_are_possible() -> None:
    shape, part = disc(32, 32, 4)[28:37, 28:37], disc(30, 46, 11)
    again = [placed(shape, part, Placing(), np.random.default_rng(3)) for _ in range(2)]
    assert np.array_equal(again[0], again[1])
    covered = np.zeros_like(part)
    for seed in range(150):
        covered |= placed(shape, part, Placing(), np.random.default_rng(seed))
    assert (covered & part).sum() / part.sum() > 0.95


def test_a_size_without_a_place_shrinks_and_a_sliver_takes_none() -> None:
    shape = np.ones((9, 9), bool)
    thin = np.zeros((64, 64), bool)
    thin[30:35, 5:60] = True
    lesion = placed(shape, thin, Placing(0.9, 0.9), np.random.default_rng(0))
    assert lesion is not None
    assert SMALLEST <= lesion.sum() <= 25
    sliver = np.zeros((64, 64), bool)
    sliver[30, 5:60] = True
    assert placed(shape, sliver, Placing(), np.random.default_rng(0)) is None


def test_resizing_scales_the_area() -> None:
    shape = disc(32, 32, 10)[22:43, 22:43]
    for factor in (0.5, 1.0, 2.0):
        assert resized(shape, factor).sum() == pytest.approx(factor**2 * shape.sum(), rel=0.1)


def test_dilation_is_a_distance_also_at_the_edge() -> None:
    point = np.zeros((64, 64), bool)
    point[1, 30] = True
    assert np.array_equal(dilated(point, 5), np.hypot(ROWS - 1, COLUMNS - 30) <= 5)
    assert not dilated(np.zeros((8, 8), bool), 3).any()


@pytest.mark.parametrize("centre", [(5, 5), (32, 60), (31, 33)])
def test_a_window_lies_in_the_image_and_holds_what_fits(centre: tuple[int, int]) -> None:
    region = disc(*centre, 6)
    rows, columns = window_of(region, 32)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (32, 32)
    assert rows.start >= 0
    assert columns.stop <= 64
    assert region[rows, columns].sum() == region.sum()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ((0.5, 0.2, 1.0), "smallest is 0.5"),
        ((0.0, 0.2, 1.0), "above 0"),
        ((0.1, 0.2, 1.5), "inside is 1.5"),
    ],
)
def test_shares_that_are_none_are_refused(settings: tuple[float, ...], told: str) -> None:
    with pytest.raises(UserError, match=told):
        Placing(*settings)
