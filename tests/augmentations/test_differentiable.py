import pytest
import torch
from torch import Tensor

from augmentations.differentiable import ALL_OPERATIONS, NUM_PARAMETERS, adapt, apply, draw


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def films(count: int, size: int, channels: int = 1) -> Tensor:
    return torch.rand(count, channels, size, size, generator=seeded(7), dtype=torch.float64) * 2 - 1


def parameters(**columns: float) -> Tensor:
    """One row that does nothing but what is named."""
    names = [
        *("brightness", "saturation", "contrast", "down", "right"),
        *("centre_y", "centre_x", "side"),
    ]
    return torch.tensor([[columns.get(name, 0.0) for name in names]], dtype=torch.float64)


def halved(image: Tensor, times: int = 1) -> Tensor:
    return torch.nn.functional.avg_pool2d(image, 2**times)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_probability_0_changes_no_bit(channels: int, dtype: torch.dtype) -> None:
    pyramid = [films(5, size, channels).to(dtype) for size in (32, 16, 8)]
    augmented = apply(pyramid, draw(5, 32, seeded(), probability=0.0))
    for before, after in zip(pyramid, augmented, strict=True):
        assert after.dtype == dtype
        assert torch.equal(before, after)


@pytest.mark.parametrize(("down", "right"), [(3, 0), (-2, 5), (0, -4), (32, 0)])
def test_shift_by_whole_pixels_is_exact(down: int, right: int) -> None:
    image = films(1, 32)
    [moved] = apply([image], parameters(down=down / 32, right=right / 32))
    expected = torch.zeros_like(image)
    for y in range(32):
        for x in range(32):
            if 0 <= y - down < 32 and 0 <= x - right < 32:
                expected[0, 0, y, x] = image[0, 0, y - down, x - right]
    assert torch.equal(moved, expected)


def test_shift_by_half_a_pixel_is_the_mean_of_two() -> None:
    image = films(1, 8)
    [moved] = apply([image], parameters(down=1 / 16))
    assert torch.allclose(moved[:, :, 1:], (image[:, :, 1:] + image[:, :, :-1]) / 2, atol=1e-15)
    assert torch.allclose(moved[:, :, 0], image[:, :, 0] / 2, atol=1e-15)


def test_brightness_contrast_and_saturation_by_hand() -> None:
    image = films(1, 8, channels=3)
    assert torch.allclose(apply([image], parameters(brightness=0.25))[0], image + 0.25)
    [grey] = apply([image], parameters(saturation=-1.0))
    assert torch.allclose(grey, image.mean(dim=1, keepdim=True).expand_as(image))
    [contrast] = apply([image], parameters(contrast=0.5))
    assert torch.allclose(contrast.mean(), image.mean())
    assert torch.allclose(contrast.std(), 1.5 * image.std())


def test_saturation_leaves_grey_images_alone() -> None:
    image = films(1, 8)
    assert torch.equal(apply([image], parameters(saturation=0.9))[0], image)


def test_cut_out_square_by_hand() -> None:
    image = films(1, 16)
    [cut] = apply([image], parameters(centre_y=4 / 16, centre_x=14 / 16, side=0.5))
    expected = image.clone()
    expected[:, :, 0:8, 10:16] = 0
    assert torch.equal(cut, expected)


def test_each_image_has_its_own_parameters() -> None:
    images, drawn = films(4, 16), draw(4, 16, seeded(3))
    [together] = apply([images], drawn)
    for row in range(4):
        [alone] = apply([images[row : row + 1]], drawn[row : row + 1])
        assert torch.equal(together[row : row + 1], alone)


def test_same_parameters_replay_and_same_seed_draws_the_same() -> None:
    images = films(6, 32)
    first, second = draw(6, 32, seeded(5)), draw(6, 32, seeded(5))
    assert torch.equal(first, second)
    assert torch.equal(apply([images], first)[0], apply([images], second)[0])
    assert not torch.equal(first, draw(6, 32, seeded(6)))
    assert torch.equal(draw(3, 32, seeded(5)), first[:3])


@pytest.mark.parametrize("shift", [4, -8])
def test_scales_move_together_where_pixels_divide(shift: int) -> None:
    image = films(1, 32)
    row = parameters(down=shift / 32, right=shift / 32, brightness=0.0, contrast=0.3)
    full, half, quarter = apply([image, halved(image), halved(image, 2)], row)
    assert torch.allclose(halved(full), half, atol=1e-14)
    assert torch.allclose(halved(full, 2), quarter, atol=1e-14)


def test_scales_move_together_in_share_of_the_side() -> None:
    # A smooth blob: its centre of mass on every scale says how far it went.
    axis = (torch.arange(64, dtype=torch.float64) + 0.5) / 64
    blob = torch.exp(-(((axis - 0.5) / 0.1) ** 2))
    image = (blob[:, None] * blob[None, :])[None, None]
    pyramid = [halved(image, times) for times in range(4)]
    moved = apply(pyramid, parameters(down=3 / 64, right=-5 / 64))
    for scale in moved:
        centres = (torch.arange(len(scale[0, 0]), dtype=torch.float64) + 0.5) / len(scale[0, 0])
        mass = scale[0, 0] / scale.sum()
        assert float((mass.sum(dim=1) * centres).sum()) == pytest.approx(0.5 + 3 / 64, abs=1e-4)
        assert float((mass.sum(dim=0) * centres).sum()) == pytest.approx(0.5 - 5 / 64, abs=1e-4)


def test_square_of_a_coarse_scale_is_the_averaged_square_of_the_fine_one() -> None:
    image = torch.ones(1, 1, 64, 64, dtype=torch.float64)
    row = parameters(centre_y=13 / 64, centre_x=50 / 64, side=0.5)
    fine, *coarse = apply([image, *(halved(image, times) for times in (1, 2, 3, 4))], row)
    for times, scale in enumerate(coarse, start=1):
        assert torch.allclose(scale, halved(fine, times), atol=1e-14)


@pytest.mark.parametrize("probability", [0.2, 0.7])
def test_every_operation_happens_with_probability_p_on_its_own(probability: float) -> None:
    drawn = draw(20_000, 256, seeded(), probability)
    happened = torch.stack(
        [*(drawn[:, :3] != 0).unbind(1), (drawn[:, 3:5] != 0).any(dim=1), drawn[:, 7] != 0], dim=1
    ).double()
    assert (happened.mean(dim=0) - probability).abs().max() < 0.015
    correlation = torch.corrcoef(happened.T) - torch.eye(5)
    assert correlation.abs().max() < 0.04


def test_ranges_and_whole_pixels() -> None:
    drawn = draw(5000, 96, seeded())
    assert drawn.shape == (5000, NUM_PARAMETERS)
    for column, limit in ((0, 0.5), (1, 1.0), (2, 0.5), (3, 0.125), (4, 0.125)):
        assert drawn[:, column].abs().max() <= limit
        assert drawn[:, column].abs().max() > 0.95 * limit
        assert drawn[:, column].mean().abs() < 0.03 * limit / 0.5
    pixels = drawn[:, 3:7] * 96
    assert torch.allclose(pixels, pixels.round(), atol=1e-4)
    assert (drawn[:, 5:7] >= 0).all()
    assert (drawn[:, 5:7] <= 1).all()


def test_larger_p_keeps_what_a_smaller_one_does() -> None:
    low, high = draw(200, 64, seeded(), 0.3), draw(200, 64, seeded(), 0.6)
    changed = low[:, :5] != 0
    assert torch.equal(low[:, :5][changed], high[:, :5][changed])
    assert (high[:, :5] != 0).sum() > changed.sum()


@pytest.mark.parametrize("operation", ALL_OPERATIONS)
def test_only_the_chosen_operation_happens(operation: str) -> None:
    columns = {"brightness": [0], "saturation": [1], "contrast": [2], "cutout": [7]}
    drawn = draw(50, 64, seeded(), operations=[operation])  # type: ignore[list-item]
    happened = (drawn != 0).any(dim=0)
    happened[5:7] = False  # the square's place, which a side of 0 ignores
    assert happened.nonzero().flatten().tolist() == columns.get(operation, [3, 4])


def test_gradients_to_second_order() -> None:
    drawn = draw(2, 6, seeded(1)).double()
    drawn[:, 3] += 0.03  # between pixels

    def augmented(image: Tensor) -> Tensor:
        return apply([image], drawn)[0] ** 2

    image = films(2, 6, channels=2).requires_grad_()
    assert torch.autograd.gradcheck(augmented, (image,))
    assert torch.autograd.gradgradcheck(augmented, (image,), fast_mode=True)


def test_gradient_reaches_every_pixel_that_is_left() -> None:
    image = films(1, 16).requires_grad_()
    [moved] = apply([image], parameters(down=2 / 16, centre_y=0.0, centre_x=0.0, side=0.5))
    moved.sum().backward()
    assert image.grad is not None
    expected = torch.ones(16, 16, dtype=torch.float64)
    expected[14:] = 0  # shifted out
    expected[:2, :4] = 0  # cut out, rows 0 to 3 after the shift
    assert torch.equal(image.grad[0, 0], expected)


@pytest.mark.parametrize("target", [0.6, 0.3])
def test_p_follows_the_sign_of_the_real_logits(target: float) -> None:
    assert adapt(0.2, target + 0.1, images=50_000, target=target) == pytest.approx(0.3)
    assert adapt(0.2, target - 0.1, images=50_000, target=target) == pytest.approx(0.1)
    assert adapt(0.2, target, images=50_000, target=target) == 0.2


def test_p_stays_a_probability_and_ramps_in_500_000_images() -> None:
    assert adapt(0.01, 0.0, images=10_000) == 0.0
    assert adapt(0.99, 1.0, images=10_000) == 1.0
    p = 0.0
    for _ in range(7812):
        p = adapt(p, 1.0, images=64)
    assert p == pytest.approx(7812 * 64 / 500_000)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"probability is 1.5, expected 0 to 1"):
        draw(2, 32, seeded(), probability=1.5)
    with pytest.raises(ValueError, match=r"'flip', expected some of brightness"):
        draw(2, 32, seeded(), operations=["flip"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"\(3, 8\), expected \(2, 8\)"):
        apply([films(2, 8)], draw(3, 8, seeded()))
