import math

import pytest
import torch
from torch import nn

from networks.equalised import (
    EqualisedConv2d,
    EqualisedLinear,
    minibatch_deviation,
    pixel_norm,
)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def deviation_of(features: torch.Tensor) -> torch.Tensor:
    """The appended map's value per image, checked to be constant over pixels."""
    appended = minibatch_deviation(features)
    assert torch.equal(appended[:, :-1], features)
    last = appended[:, -1]
    assert torch.equal(last, last[:, :1, :1].expand_as(last))
    return last[:, 0, 0]


@pytest.mark.parametrize(
    ("layer", "fan_in", "gain"),
    [
        (EqualisedConv2d(64, 128, 3), 64 * 9, math.sqrt(2)),
        (EqualisedConv2d(256, 512, 1, gain=1.0), 256, 1.0),
        (EqualisedLinear(256, 512), 256, math.sqrt(2)),
        (EqualisedLinear(256, 512, gain=1.0), 256, 1.0),
    ],
)
def test_effective_weights_are_he_s_and_stored_ones_standard(
    layer: nn.Module, fan_in: int, gain: float
) -> None:
    assert layer.weight.std().item() == pytest.approx(1.0, rel=0.02)
    effective = (layer.weight * layer.scale).std().item()
    assert effective == pytest.approx(gain / math.sqrt(fan_in), rel=0.02)
    assert not layer.bias.any()


def test_convolution_is_torch_s_with_scaled_weights() -> None:
    layer = EqualisedConv2d(3, 5, 3).double()
    nn.init.normal_(layer.bias)
    plain = nn.Conv2d(3, 5, 3, padding=1).double()
    plain.load_state_dict({"weight": layer.weight * math.sqrt(2 / 27), "bias": layer.bias})
    features = normal(2, 3, 7, 6)
    torch.testing.assert_close(layer(features), plain(features), rtol=0, atol=1e-14)


def test_linear_is_torch_s_with_scaled_weights() -> None:
    layer = EqualisedLinear(9, 4, gain=1.0).double()
    nn.init.normal_(layer.bias)
    plain = nn.Linear(9, 4).double()
    plain.load_state_dict({"weight": layer.weight / 3, "bias": layer.bias})
    torch.testing.assert_close(layer(normal(2, 9)), plain(normal(2, 9)), rtol=0, atol=1e-14)


def test_gradients_of_stored_weights_are_those_of_effective_weights_scaled() -> None:
    layer, features = EqualisedConv2d(4, 3, 3).double(), normal(2, 4, 5, 5)
    layer(features).square().sum().backward()
    effective = (layer.weight * layer.scale).detach().requires_grad_()
    nn.functional.conv2d(features, effective, padding=1).square().sum().backward()
    assert effective.grad is not None
    torch.testing.assert_close(layer.weight.grad, effective.grad * layer.scale)


@pytest.mark.parametrize("channels", [2, 32, 512])
def test_adam_moves_wide_and_narrow_layers_by_the_same_share(channels: int) -> None:
    torch.manual_seed(0)
    layer = EqualisedConv2d(channels, 8, 3)
    before = (layer.weight * layer.scale).detach().clone()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
    layer(normal(4, channels, 4, 4).float()).square().mean().backward()
    optimizer.step()
    moved = (layer.weight * layer.scale).detach() - before
    he_deviation = math.sqrt(2 / (9 * channels))
    assert moved.abs().median().item() / he_deviation == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize("shape", [(3, 16), (3, 16, 4, 5)])
def test_pixel_norm_gives_a_mean_square_of_one(shape: tuple[int, ...]) -> None:
    features = 40 * normal(*shape)
    mean_square = pixel_norm(features).square().mean(dim=1)
    torch.testing.assert_close(mean_square, torch.ones_like(mean_square), rtol=0, atol=1e-9)


def test_pixel_norm_by_hand_and_at_zero() -> None:
    value = pixel_norm(torch.tensor([[3.0, 4.0]], dtype=torch.float64))
    expected = torch.tensor([[3.0, 4.0]], dtype=torch.float64) / math.sqrt(12.5 + 1e-8)
    torch.testing.assert_close(value, expected, rtol=0, atol=1e-15)
    zeros = torch.zeros(1, 4, requires_grad=True)
    pixel_norm(zeros).sum().backward()
    assert zeros.grad is not None
    assert zeros.grad.isfinite().all()


def test_pixel_norm_keeps_the_direction_of_huge_half_precision_values() -> None:
    # 300**2 overflows float16: the sum has to be taken in float32.
    value = pixel_norm(torch.full((1, 8, 1, 1), 300.0, dtype=torch.float16))
    assert value.dtype == torch.float16
    assert torch.equal(value, torch.ones_like(value))


def test_minibatch_deviation_known_values() -> None:
    # Values 0, 2, 4, 6 everywhere: biased variance 5.
    features = torch.arange(0, 8, 2, dtype=torch.float64)[:, None, None, None].expand(4, 3, 2, 2)
    assert deviation_of(features).tolist() == pytest.approx([math.sqrt(5 + 1e-8)] * 4, abs=1e-15)
    # Half of the channels identical in all images: their deviation is sqrt(1e-8).
    mixed = torch.cat([features, torch.ones_like(features)], dim=1)
    assert deviation_of(mixed)[0].item() == pytest.approx((math.sqrt(5) + 1e-4) / 2, abs=1e-8)


def test_minibatch_deviation_against_torch_s() -> None:
    features = normal(8, 5, 4, 4)
    for start in (0, 4):
        group = features[start : start + 4]
        expected = group.std(dim=0, correction=0).mean().item()
        own = deviation_of(features)[start : start + 4]
        assert own.tolist() == pytest.approx([expected] * 4, abs=1e-7)


def test_minibatch_deviation_does_not_depend_on_order_within_a_group() -> None:
    features = normal(8, 3, 4, 4)
    within = features[[2, 0, 3, 1, 7, 6, 5, 4]]
    torch.testing.assert_close(deviation_of(within), deviation_of(features), rtol=0, atol=1e-14)
    across = features[[0, 4, 2, 3, 1, 5, 6, 7]]
    assert (deviation_of(across) - deviation_of(features)).abs().min() > 1e-4


def test_micro_batches_of_whole_groups_have_the_groups_of_the_batch() -> None:
    features = normal(16, 3, 4, 4)
    parts = torch.cat([deviation_of(part) for part in features.split([8, 4, 4])])
    assert torch.equal(parts, deviation_of(features))


@pytest.mark.parametrize(
    ("num_images", "sizes"),
    [(1, [1]), (3, [3]), (5, [3, 2]), (6, [3, 3]), (7, [4, 3]), (9, [3, 3, 3])],
)
def test_uneven_batches_are_cut_into_groups_as_equal_as_can_be(
    num_images: int, sizes: list[int]
) -> None:
    features = normal(num_images, 3, 4, 4)
    values, start = deviation_of(features), 0
    for size in sizes:
        group = features[start : start + size]
        expected = (group.var(dim=0, correction=0) + 1e-8).sqrt().mean().item()
        assert values[start : start + size].tolist() == pytest.approx([expected] * size, abs=1e-14)
        start += size


def test_minibatch_deviation_is_computed_in_float32() -> None:
    # Images that differ by less than bfloat16's resolution of their mean's square.
    offsets = torch.tensor([0.0, 1.0, 2.0, 3.0])[:, None, None, None]
    features = (256 + 2 * offsets).expand(4, 2, 4, 4).bfloat16()
    value = minibatch_deviation(features)
    assert value.dtype == torch.bfloat16
    assert value[0, -1, 0, 0].item() == pytest.approx(2 * math.sqrt(1.25), rel=0.004)


def test_second_derivatives() -> None:
    features = normal(5, 2, 2, 2).requires_grad_()
    assert torch.autograd.gradgradcheck(minibatch_deviation, features)
    assert torch.autograd.gradgradcheck(pixel_norm, features)
