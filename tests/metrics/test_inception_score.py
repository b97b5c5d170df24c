"""Inception Score, diversity by MS-SSIM, and intervals of scores of sets."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from metrics.distances import frechet_distance
from metrics.diversity import ms_ssim, name_of_scales, num_scales
from metrics.inception_score import inception_score
from metrics.prdc import prdc
from metrics.set_intervals import half_sample_intervals


def test_inception_score_between_its_bounds() -> None:
    certain = 100 * torch.eye(8).repeat(5, 1)
    # Each image certain, and every class as frequent: the number of classes.
    assert inception_score(certain, num_splits=1) == pytest.approx((8, 0), abs=1e-9)
    assert inception_score(torch.zeros(20, 8), num_splits=2) == pytest.approx((1, 0), abs=1e-12)
    assert inception_score(certain[:1].repeat(20, 1), num_splits=1)[0] == pytest.approx(1)


def test_inception_score_agrees_with_torch_fidelity() -> None:
    from torch_fidelity.metric_isc import isc_features_to_metric

    logits = 3 * torch.randn(103, 20, generator=torch.Generator().manual_seed(0))
    for splits in (1, 10):
        expected = isc_features_to_metric(logits, splits)
        mean, deviation = inception_score(logits, splits)
        assert mean == pytest.approx(expected["inception_score_mean"], rel=1e-12)
        assert deviation == pytest.approx(expected["inception_score_std"], abs=1e-12)


def test_inception_score_by_hand_and_with_certainty_that_underflows() -> None:
    # p = (3/4, 1/4) and (1/4, 3/4), marginal 1/2: log 2 + 3/4 log 3/4 + 1/4 log 1/4
    logits = torch.tensor([[math.log(3), 0.0], [0.0, math.log(3)]])
    expected = 2 * 0.75**0.75 * 0.25**0.25
    assert inception_score(logits, 1)[0] == pytest.approx(expected, rel=1e-6)
    sure = torch.tensor([[2000.0, 0.0], [2000.0, 0.0]])  # class 1 has probability 0 everywhere
    assert inception_score(sure, 1)[0] == pytest.approx(1)


def test_inception_score_refuses() -> None:
    with pytest.raises(ValueError, match=r"num_splits is 10, expected \(N, C\) and 1\.\.N"):
        inception_score(torch.zeros(5, 3))
    with pytest.raises(ValueError, match="NaN"):
        inception_score(torch.full((20, 3), torch.nan))


def pictures(count: int, size: int, seed: int = 0) -> Tensor:
    """Smooth random pictures, (N, 1, size, size) in [-1, 1]."""
    coarse = torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic")
    return (0.5 * smooth).clamp(-1, 1)


def written_out(x: np.ndarray, y: np.ndarray) -> float:
    """MS-SSIM of Wang 2003 on [0, 1]: whole Gaussian windows, halved by means of four pixels."""
    from scipy.signal import convolve2d

    bell = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(bell, bell) / bell.sum() ** 2

    def blur(image: np.ndarray) -> np.ndarray:
        return convolve2d(image, window, mode="valid")

    product = 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        a, b = blur(x), blur(y)
        covariance = blur(x * y) - a * b
        variances = blur(x * x) - a * a + blur(y * y) - b * b
        term = (2 * covariance + 0.03**2) / (variances + 0.03**2)
        if scale == 4:
            term = term * (2 * a * b + 0.01**2) / (a * a + b * b + 0.01**2)
        product *= max(0.0, float(term.mean())) ** weight
        x, y = (z.reshape(z.shape[0] // 2, 2, -1, 2).mean(axis=(1, 3)) for z in (x, y))
    return product


def test_similarity_agrees_with_the_formula_written_out() -> None:
    images = pictures(2, 192)
    images[1] = (0.8 * images[0] + 0.3 * images[1]).clamp(-1, 1)
    found = ms_ssim(images[:1], images[1:])
    expected = written_out(*((images + 1) / 2).double().squeeze(1).numpy())
    assert 0.3 < expected < 0.95
    assert found.tolist() == pytest.approx([expected], abs=1e-4)


@pytest.mark.parametrize(
    ("size", "scales", "name"),
    [
        (11, 1, "ms_ssim_1_scales"),
        (22, 2, "ms_ssim_2_scales"),
        (44, 3, "ms_ssim_3_scales"),
        (98, 3, "ms_ssim_3_scales"),
        (99, 4, "ms_ssim_4_scales"),
        (176, 5, "ms_ssim"),
    ],
)
def test_small_images_have_fewer_scales_and_say_so(size: int, scales: int, name: str) -> None:
    images = pictures(4, size)
    assert (num_scales(images), name_of_scales(num_scales(images))) == (scales, name)
    found = ms_ssim(images, images.roll(1, dims=0))
    assert found.shape == (4,)
    assert ((found >= 0) & (found < 1)).all()
    assert ms_ssim(images, images).tolist() == pytest.approx([1] * 4, abs=1e-5)


def test_one_scale_is_plain_ssim() -> None:
    from skimage.metrics import structural_similarity

    images = pictures(2, 16)
    first, second = ((images + 1) / 2).double().squeeze(1).numpy()
    expected = structural_similarity(
        first, second, data_range=1.0, gaussian_weights=True, sigma=1.5, win_size=11,
        use_sample_covariance=False,
    )  # fmt: skip
    found = float(ms_ssim(images[:1], images[1:]))
    assert found == pytest.approx(max(0, expected), abs=1e-4)


def test_collapse_raises_similarity() -> None:
    many = pictures(40, 48)
    few = many[:4].repeat(10, 1, 1, 1)
    others = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert ms_ssim(few, few[others]).mean() > ms_ssim(many, many[others]).mean() + 0.1


def test_similarity_refuses() -> None:
    with pytest.raises(ValueError, match="sides of at least 11"):
        ms_ssim(torch.zeros(4, 1, 8, 8), torch.zeros(4, 1, 8, 8))
    with pytest.raises(ValueError, match=r"reach 255, expected \[-1, 1\]"):
        ms_ssim(torch.full((4, 1, 32, 32), 255.0), torch.zeros(4, 1, 32, 32))
    with pytest.raises(ValueError, match="reach nan"):
        ms_ssim(torch.zeros(4, 1, 32, 32), torch.full((4, 1, 32, 32), torch.nan))


def normal(count: int, seed: int, mean: float = 0.0, dim: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1, (count, dim))


SCORES = {
    "mean": lambda x, y: {"mean": float(x[:, 0].mean() - y[:, 0].mean())},
    "frechet": lambda x, y: {"frechet": frechet_distance(x, y)},
    "prdc": lambda x, y: {k: v for k, v in prdc(x, y).items() if k in ("precision", "coverage")},
}


@pytest.mark.parametrize("score", SCORES)
def test_interval_is_as_wide_as_new_draws_scatter(score: str) -> None:
    statistic = SCORES[score]
    draws = [
        statistic(normal(160, 2 * i), normal(120, 2 * i + 1, mean=0.5)) for i in range(1000, 1060)
    ]
    intervals = [
        half_sample_intervals(statistic, (normal(160, 2 * i), normal(120, 2 * i + 1, mean=0.5)))
        for i in range(6)
    ]
    for name in draws[0]:
        scatter = 1.96 * np.std([draw[name] for draw in draws])
        half_widths = [(i[name].high - i[name].low) / 2 for i in intervals]
        assert np.mean(half_widths) == pytest.approx(scatter, rel=0.35), name


def test_a_bootstrap_with_replacement_would_raise_a_frechet_distance() -> None:
    """Why halves: the reason that the module gives, in numbers."""
    x, y = normal(150, 0, dim=30), normal(150, 1, dim=30)
    value = frechet_distance(x, y)
    rng = np.random.default_rng(0)
    resampled = [
        frechet_distance(x[rng.integers(0, 150, 150)], y[rng.integers(0, 150, 150)])
        for _ in range(40)
    ]
    assert np.quantile(resampled, 0.025) > value  # a 95 % interval without the value itself
    interval = half_sample_intervals(SCORES["frechet"], (x, y))["frechet"]
    assert interval.low < value < interval.high
    assert interval.value == value


def test_groups_are_halved_whole() -> None:
    centres = normal(10, 2)
    x = np.repeat(centres, 12, axis=0) + 0.1 * normal(120, 3)
    patients = [f"p{i // 12}" for i in range(120)]
    seen = []

    def statistic(sample: np.ndarray, other: Tensor) -> dict[str, float]:
        seen.append((len(sample), len(other)))
        return {"mean": float(sample[:, 0].mean())}

    other = torch.zeros(40, 2)
    by_patient = half_sample_intervals(statistic, (x, other), (patients, None))["mean"]
    assert set(seen) == {(120, 40), (60, 20)}
    by_image = half_sample_intervals(statistic, (x, other))["mean"]
    assert by_patient.high - by_patient.low > 2 * (by_image.high - by_image.low)
    assert by_patient == half_sample_intervals(statistic, (x, other), (patients, None))["mean"]


def test_intervals_refuse() -> None:
    with pytest.raises(ValueError, match="cannot be halved"):
        half_sample_intervals(SCORES["mean"], (normal(3, 0), normal(9, 1)))
    with pytest.raises(ValueError, match="9 images but 2 groups"):
        half_sample_intervals(SCORES["mean"], (normal(9, 0), normal(9, 1)), (["a", "b"], None))
    with pytest.raises(ValueError, match=r"confidence is 95"):
        half_sample_intervals(SCORES["mean"], (normal(9, 0), normal(9, 1)), confidence=95)
