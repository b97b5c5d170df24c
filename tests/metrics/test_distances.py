import numpy as np
import pytest
import torch

from metrics.distances import (
    frechet_distance,
    kernel_distance,
    paired_feature_distance,
    pairwise_diversity,
    real_floor,
)


def normal(count: int, dim: int, seed: int, mean: float = 0, scale: float = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, scale, (count, dim))


def test_frechet_has_the_closed_form_of_gaussians() -> None:
    # Whitened exactly, so that the fitted Gaussians are the ones meant.
    raw = normal(400, 3, seed=0)
    white = (raw - raw.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(raw.T))).T
    scales, shift = np.array([1.0, 2.0, 0.5]), np.array([1.0, 0.0, -2.0])
    expected = (shift**2).sum() + ((scales - 1) ** 2).sum()
    assert frechet_distance(white, white * scales + shift) == pytest.approx(expected, rel=1e-9)


def test_frechet_agrees_with_scipys_matrix_root() -> None:
    from scipy.linalg import sqrtm

    mix = normal(6, 6, seed=1)
    x, y = normal(300, 6, seed=2) @ mix, normal(200, 6, seed=3, mean=0.3)
    covariances = np.cov(x.T), np.cov(y.T)
    root = np.real(sqrtm(covariances[0] @ covariances[1]))
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum()
    expected += np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(torch.from_numpy(x), y) == frechet_distance(x, y)


@pytest.mark.parametrize("shape", [(100, 8), (10, 64)])
def test_frechet_is_symmetric_and_zero_for_equal_sets(shape: tuple[int, int]) -> None:
    x, y = normal(*shape, seed=4), normal(*shape, seed=5, mean=0.5)
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x), rel=1e-12)
    assert frechet_distance(x, x[::-1]) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x + 2) == pytest.approx(4 * shape[1], rel=1e-9)


def test_kernel_distance_by_hand() -> None:
    x, y = np.array([[1.0], [-1.0]]), np.array([[2.0], [0.0]])
    # k(1,-1) = 0, k(2,0) = 1, across: (1+2)^3, 1, (1-2)^3, 1 -> mean 7
    assert kernel_distance(x, y, num_subsets=1, subset_size=2)[0] == pytest.approx(0 + 1 - 2 * 7)


def test_kernel_distance_is_unbiased() -> None:
    values = [
        kernel_distance(normal(40, 4, seed=2 * i), normal(40, 4, seed=2 * i + 1), 1, 40)[0]
        for i in range(300)
    ]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * error
    assert min(values) < 0
    # The frechet distance of the same samples is biased upwards, which is why it needs a floor.
    assert frechet_distance(normal(40, 4, seed=0), normal(40, 4, seed=1)) > 0.05


def test_kernel_distance_is_seeded_symmetric_and_grows() -> None:
    x = normal(60, 4, seed=6)
    near, far = normal(60, 4, seed=7, mean=0.5), normal(60, 4, seed=7, mean=1.5)
    assert kernel_distance(x, near) == kernel_distance(x, near)
    assert kernel_distance(x, far)[0] > kernel_distance(x, near)[0] > 0
    whole = {"num_subsets": 1, "subset_size": 60}
    assert kernel_distance(x, far, **whole)[0] == pytest.approx(kernel_distance(far, x, **whole)[0])
    with pytest.raises(ValueError, match=r"subset_size is 61, expected 2\.\.60"):
        kernel_distance(x, far, subset_size=61)


def test_floor_splits_by_patient() -> None:
    # Every patient has an own mean: slices of one patient are alike.
    centres = normal(8, 4, seed=8, scale=5)
    real = np.repeat(centres, 10, axis=0) + normal(80, 4, seed=9)
    patients = [f"p{i // 10}" for i in range(80)]
    by_patient = real_floor(real, frechet_distance, patients)
    by_image = real_floor(real, frechet_distance)
    assert by_patient.value > 5 * by_image.value
    assert by_patient.num_images == 40
    assert by_patient.matched is None


def test_floor_and_matched_distance_share_the_number_of_images() -> None:
    real, other = normal(80, 16, seed=10), normal(500, 16, seed=11)
    floor = real_floor(real, frechet_distance, other=other)
    assert floor.num_images == 40
    # One distribution: at equal N a synthetic set is as far as the real halves are.
    assert floor.matched == pytest.approx(floor.value, rel=0.25)
    assert frechet_distance(real, other) < 0.6 * floor.value
    assert real_floor(real, frechet_distance, other=other[:12]).num_images == 12
    with pytest.raises(ValueError, match="at least 2"):
        real_floor(real, frechet_distance, ["one"] * 80)


def test_paired_feature_distance_by_hand() -> None:
    x = torch.tensor([[[[3.0, 1.0]], [[0.0, 0.0]]]])
    y = torch.tensor([[[[0.0, 5.0]], [[2.0, 0.0]]]])
    # First position: (1, 0) against (0, 1) = 2; second: equal directions = 0.
    assert paired_feature_distance([x], [y]).tolist() == pytest.approx([1.0])
    assert paired_feature_distance([x, x], [y, x]).tolist() == pytest.approx([1.0])
    assert paired_feature_distance([x], [x]).tolist() == [0.0]


def test_diversity_falls_when_images_repeat() -> None:
    many = normal(100, 4, seed=12)
    assert pairwise_diversity(np.repeat(many[:2], 50, axis=0)) < 0.8 * pairwise_diversity(many)
    assert pairwise_diversity(np.ones((5, 3))) == 0
    assert pairwise_diversity(np.array([[0.0], [3.0]])) == pytest.approx(3)


def test_bad_features_are_named() -> None:
    good = normal(5, 3, seed=13)
    with pytest.raises(ValueError, match="NaN"):
        frechet_distance(good, np.full((5, 3), np.nan))
    with pytest.raises(ValueError, match="3 and 2 columns"):
        frechet_distance(good, good[:, :2])
    with pytest.raises(ValueError, match="N >= 2"):
        frechet_distance(good[:1], good)
