"""A planted grid, and planted borders, are found, and white noise has neither."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.grid_and_borders import measure
from benchmarks.grid_by_noise import films_three_times
from benchmarks.grid_figures import PERIODS, Floats, figures_of, resampled
from networks import StyleGAN2Generator
from provenance import UserError
from tests.evaluation.test_films import write_set

SIDE, COUNT = 32, 300


@pytest.fixture(scope="module")
def noise() -> Floats:
    return np.random.default_rng(0).normal(0, 0.3, (COUNT, SIDE, SIDE))


def equally(films: Floats) -> Floats:
    return np.full((1, len(films)), 1 / len(films))


def test_white_noise_has_no_grid_and_no_border(noise: Floats) -> None:
    found = figures_of(noise, equally(noise))
    np.testing.assert_allclose(found["step"], 1, atol=0.02)
    np.testing.assert_allclose(found["radial"][0, 4:], 0.09, rtol=0.05)
    np.testing.assert_allclose(found["axis"][0, 3:], 0.09, rtol=0.15)
    np.testing.assert_allclose(found["locked"][0, 3:], 0, atol=0.01)
    np.testing.assert_allclose(found["mean"], 0, atol=0.01)
    np.testing.assert_allclose(found["deviation"], 0.3, rtol=0.02)
    np.testing.assert_allclose(found["slope"], 0.3 * 2 / np.sqrt(np.pi), rtol=0.03)


@pytest.mark.parametrize("place", range(len(PERIODS)))
def test_squares_of_one_size_are_a_step_of_their_period_alone(place: int, noise: Floats) -> None:
    period = PERIODS[place]
    coarse = np.random.default_rng(1).normal(0, 0.3, (COUNT, SIDE // period, SIDE // period))
    films = noise + coarse.repeat(period, 1).repeat(period, 2)
    steps = figures_of(films, equally(films))["step"][0]
    # Differences of the noise alone have a variance of 2 x 0.09, with squares of 4 x 0.09.
    expected = np.ones(len(PERIODS))
    expected[place] = np.sqrt(2)
    np.testing.assert_allclose(steps, expected, rtol=0.05)


def test_a_stripe_in_all_films_is_locked_and_one_of_any_sign_is_not(noise: Floats) -> None:
    stripes = 0.1 * np.where(np.arange(SIDE) % 2, -1, 1)[None, :, None]
    sign = np.where(np.random.default_rng(2).random(COUNT) < 0.5, -1, 1)[:, None, None]
    plain, same, any_sign = (
        figures_of(films, equally(films))
        for films in (noise, noise + stripes, noise + stripes * sign)
    )
    last = SIDE // 2 - 1
    assert same["axis"][0, last] > 5 * plain["axis"][0, last]
    assert same["axis"][0, last] == pytest.approx(any_sign["axis"][0, last], rel=0.1)
    assert same["locked"][0, last] > 0.8
    assert abs(any_sign["locked"][0, last]) < 0.05


def test_a_frame_is_seen_at_its_distance(noise: Floats) -> None:
    films = noise.copy()
    films[:, 1, 1:-1] = films[:, -2, 1:-1] = 0.5
    films[:, 1:-1, 1] = films[:, 1:-1, -2] = 0.5
    found = figures_of(films, equally(films))
    assert found["mean"][0, 1] == pytest.approx(0.5)
    assert found["deviation"][0, 1] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(found["mean"][0, [0, 2, 3]], 0, atol=0.01)


def test_whole_patients_are_drawn() -> None:
    weights = resampled(["a", "b", "a", "c", "c"], 50, seed=3)
    np.testing.assert_allclose(weights.sum(1), 1)
    np.testing.assert_allclose(weights[0], 0.2)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_array_equal(weights[:, 3], weights[:, 4])
    assert len(np.unique(weights[1:, 1])) > 2


def test_a_folder_of_figures(tmp_path: Path, film_cache: Callable[..., Path]) -> None:
    cache = film_cache(tmp_path / "cache")
    levels = np.random.default_rng(4).integers(0, 256, (10, 32, 32), dtype=np.uint8)
    films = write_set(tmp_path / "films", list(levels))
    measure(cache, [f"gan={films},{films}"], "train", 20, tmp_path / "out")
    figures = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert list(figures) == ["real", "gan, training 0", "gan, training 1", "gan"]
    assert figures["gan, training 0"]["step"]["value"] == figures["gan"]["step"]["value"]
    for name in ("tables.md", "spectrum.png", "borders.png", "sheet_real.png", "sheet_gan_1.png"):
        assert (tmp_path / "out" / name).stat().st_size > 300, name


def test_a_set_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected NAME=FOLDER"):
        measure(tmp_path, ["films"], "test", 20, tmp_path / "out")


def test_films_with_one_noise_for_all_have_its_detail_in_common() -> None:
    torch.manual_seed(0)
    generator = StyleGAN2Generator(32, 1, style_size=8, width=8, mapping_layers=1).eval()
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if "noise" in name:
                parameter.fill_(2.0)
    found = {
        name: figures_of(films, equally(films))
        for name, films in films_three_times(generator, 200, seed=0).items()
    }
    last = SIDE // 2 - 1
    assert found["one noise for all"]["locked"][0, last] > 0.3
    assert abs(found["own noise"]["locked"][0, last]) < 0.1
    assert found["no noise"]["axis"][0, last] < 0.5 * found["own noise"]["axis"][0, last]
