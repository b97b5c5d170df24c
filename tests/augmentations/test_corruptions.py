"""Corruptions: values by hand and by libraries, severity, and that seed and image decide."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torchvision.transforms.v2 import functional as transform

from augmentations.corruptions import (
    _APPLIED,
    MEANINGS,
    PARAMETERS,
    SEVERITIES,
    corrupt,
    corruption_generator,
)


def film(side: int = 64, channels: int = 1) -> torch.Tensor:
    """Smooth, with an edge: something that every corruption changes."""
    rows = torch.linspace(0, 1, side)
    image = (0.2 + 0.5 * rows[:, None] * rows).clone()
    image[side // 4 : side // 2, side // 3 : side // 2] = 0.9
    return image.repeat(channels, 1, 1)


def made(name: str, severity: int, image: torch.Tensor, seed: int = 0) -> torch.Tensor:
    random = corruption_generator(seed, image.numpy().tobytes(), name)
    return corrupt(image, name, severity, random)


def test_every_corruption_has_five_severities_and_a_meaning() -> None:
    assert set(PARAMETERS) == set(MEANINGS) == set(_APPLIED)
    assert all(len(values) == len(SEVERITIES) for values in PARAMETERS.values())


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("channels", [1, 3])
def test_severity_grows_and_images_stay_images(name: str, channels: int) -> None:
    image = film(channels=channels)
    before = image.clone()
    distances = []
    for severity in SEVERITIES:
        found = made(name, severity, image)
        assert found.shape == image.shape
        assert found.dtype == torch.float32
        assert found.min() >= 0
        assert found.max() <= 1
        distances.append(float((found - image).square().mean()))
    assert torch.equal(image, before), "the image itself is left alone"
    assert distances[0] > 0
    if name != "pixelate":  # whose pixels happen to fall on this film's edges at one half
        assert distances == sorted(distances), distances
    assert distances[-1] > 1.5 * distances[0]


@pytest.mark.parametrize("name", PARAMETERS)
def test_seed_and_image_decide(name: str) -> None:
    image = film()
    torch.manual_seed(4)
    assert torch.equal(made(name, 3, image), made(name, 3, image))
    random = {"gaussian_noise", "speckle_noise", "shot_noise", "impulse_noise", "motion_blur"}
    other = made(name, 3, image, seed=1)
    assert torch.equal(other, made(name, 3, image)) == (name not in random | {"occlusion"})
    brighter = image + 0.001
    first, second = made("gaussian_noise", 3, image), made("gaussian_noise", 3, brighter)
    assert (first - second).abs().max() > 0.1, "another image has other noise"


def test_noise_has_its_deviation() -> None:
    grey = torch.full((1, 200, 200), 0.5)
    assert float(made("gaussian_noise", 2, grey).std()) == pytest.approx(0.08, rel=0.02)
    assert float(made("speckle_noise", 2, grey).std()) == pytest.approx(0.075, rel=0.02)
    shot = made("shot_noise", 1, grey)
    assert float(shot.mean()) == pytest.approx(0.5, abs=0.003)
    assert float(shot.std()) == pytest.approx((0.5 / 60) ** 0.5, rel=0.02)
    black_or_white = made("impulse_noise", 5, grey)
    assert float((black_or_white != 0.5).float().mean()) == pytest.approx(0.17, abs=0.01)
    assert float((black_or_white == 1).float().mean()) == pytest.approx(0.085, abs=0.01)


def test_noise_grows_from_one_severity_to_the_next() -> None:
    grey = torch.full((1, 32, 32), 0.5)
    weak, strong = (made("gaussian_noise", severity, grey) - 0.5 for severity in (1, 2))
    torch.testing.assert_close(2 * weak, strong, atol=1e-5, rtol=0)
    few, many = (made("impulse_noise", severity, grey) != 0.5 for severity in (1, 5))
    assert (many | ~few).all()


def test_gaussian_blur_equals_scipy() -> None:
    image = film(224)
    deviation = 0.3 * ((21 - 1) * 0.5 - 1) + 0.8
    expected = ndimage.gaussian_filter(image[0].numpy(), deviation, mode="mirror", truncate=3.1)
    np.testing.assert_allclose(made("gaussian_blur", 5, image)[0].numpy(), expected, atol=2e-3)


@pytest.mark.parametrize("name", ["gaussian_blur", "defocus_blur", "motion_blur"])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_blur_keeps_the_sum_and_the_place(name: str, severity: int) -> None:
    """A point becomes a spot of the same sum around the same centre."""
    point = torch.zeros(1, 101, 101)
    point[0, 50, 50] = 1
    spot = made(name, severity, point)[0].double().numpy()
    assert spot.sum() == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(ndimage.center_of_mass(spot), (50, 50), atol=1e-3)
    rows, columns = np.indices(spot.shape) - 50
    spread = (spot * (rows**2 + columns**2)).sum()
    if name == "defocus_blur":
        # The mean square of a disc's radius, and a pixel's own.
        radius = PARAMETERS[name][severity - 1] * 101 / 224
        assert spread == pytest.approx(radius**2 / 2, abs=0.25)
    if name == "motion_blur":
        level = (spot * columns**2).sum()
        assert level > (spot * rows**2).sum() - 0.2, "within 45 degrees of level"


def test_blur_is_the_same_share_of_images_of_other_sizes() -> None:
    small, large = made("gaussian_blur", 5, film(64)), made("gaussian_blur", 5, film(256))
    shrunk = torch.nn.functional.avg_pool2d(large[None], 4)[0]
    assert (small - shrunk).abs().mean() < 0.01


def test_pixelate_by_hand() -> None:
    ramp = torch.arange(8.0).expand(1, 8, 8) / 8
    coarse = made("pixelate", 3, ramp)  # half the pixels: pairs get their mean
    assert (coarse[0, 0] * 8).tolist() == [0.5, 0.5, 2.5, 2.5, 4.5, 4.5, 6.5, 6.5]


def test_grey_values_by_hand() -> None:
    image = torch.tensor([[[0.2, 0.4], [0.6, 0.8]]])
    for name, severity, expected in (
        ("brightness_up", 2, image * 1.2),
        ("brightness_down", 5, image * 0.5),
        ("contrast_down", 5, 0.5 + 0.4 * (image - 0.5)),
        ("gamma_up", 5, image**1.6),
    ):
        torch.testing.assert_close(made(name, severity, image), expected)


def test_jpeg_is_the_library_s() -> None:
    levels = (film() * 255).round()
    expected = transform.jpeg(levels.to(torch.uint8), 7).float() / 255
    assert torch.equal(made("jpeg", 5, levels / 255), expected)


def test_occlusion_covers_its_share() -> None:
    white = torch.ones(1, 100, 100)
    for severity, share in zip(SEVERITIES, PARAMETERS["occlusion"], strict=True):
        covered = made("occlusion", severity, white)
        assert isinstance(share, float)
        assert float((covered == 0).float().mean()) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("name", PARAMETERS)
def test_small_images_too(name: str) -> None:
    assert made(name, 5, film(8)).isfinite().all()
