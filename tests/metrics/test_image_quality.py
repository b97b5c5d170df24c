import math

import numpy as np
import pytest
import torch
from torch import Tensor

from metrics.features import build_extractor
from metrics.image_quality import paired_quality
from metrics.image_sets import paired_scores, set_distances


def noise(seed: int, count: int = 3) -> Tensor:
    return torch.rand(count, 1, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_constant_offset_by_hand() -> None:
    scores = paired_quality(torch.full((1, 1, 16, 16), 0.5), torch.zeros(1, 1, 16, 16))
    assert float(scores["mae"]) == pytest.approx(0.5)
    assert float(scores["psnr"]) == pytest.approx(10 * math.log10(4 / 0.25))


def test_equal_images_are_perfect() -> None:
    scores = paired_quality(noise(0), noise(0))
    assert scores["mae"].tolist() == [0, 0, 0]
    assert all(math.isinf(value) for value in scores["psnr"].tolist())
    assert scores["ssim"].tolist() == pytest.approx([1, 1, 1])


def test_agrees_with_scikit_image() -> None:
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    first = noise(1)
    second = (first + 0.3 * noise(2)).clamp(-1, 1)
    scores = paired_quality(first, second)
    for index in range(3):
        a, b = (side[index, 0].double().numpy() for side in (first, second))
        expected = structural_similarity(
            a, b, data_range=2.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert float(scores["ssim"][index]) == pytest.approx(expected, rel=1e-6)
        psnr = peak_signal_noise_ratio(a, b, data_range=2.0)
        assert float(scores["psnr"][index]) == pytest.approx(psnr, rel=1e-9)
        assert float(scores["mae"][index]) == pytest.approx(np.abs(a - b).mean())


def test_each_pair_is_scored_by_itself() -> None:
    first, second = noise(3), noise(4)
    whole = paired_quality(first, second)
    for index in range(3):
        alone = paired_quality(first[index : index + 1], second[index : index + 1])
        for key, values in whole.items():
            assert float(alone[key]) == pytest.approx(float(values[index]), rel=1e-9)


def test_wrong_range_size_and_shape_are_named() -> None:
    good = noise(5)
    with pytest.raises(ValueError, match=r"expected \[-1, 1\]"):
        paired_quality(good * 200, good)
    with pytest.raises(ValueError, match="at least 11"):
        paired_quality(good[..., :8, :8], good[..., :8, :8])
    with pytest.raises(ValueError, match="expected both"):
        paired_quality(good[:1], good)


def test_sets_are_named_after_their_extractor_and_carry_a_floor() -> None:
    real, fake = torch.randn(40, 8), torch.randn(60, 8) + 3
    found = set_distances("some_network", real, fake, [f"p{i // 5}" for i in range(40)])
    assert set(found) == {
        "frechet_some_network",
        "kernel_some_network",
        "diversity_some_network",
    }
    for key in ("frechet_some_network", "kernel_some_network"):
        entry = found[key]
        assert entry["num_images_at_floor"] == 20
        assert entry["value_at_floor_size"] > entry["floor"]
    alone = set_distances("n", real, fake, ["one patient"] * 40)
    assert alone["frechet_n"]["floor"] is None
    assert alone["frechet_n"]["value"] == found["frechet_some_network"]["value"]


def test_paired_scores_hold_the_feature_distance() -> None:
    found = paired_scores(noise(6), noise(6), build_extractor("random_vgg"))
    assert found["feature_distance_random_vgg"] == [0, 0, 0]
    assert set(found) == {"mae", "psnr", "ssim", "feature_distance_random_vgg"}
