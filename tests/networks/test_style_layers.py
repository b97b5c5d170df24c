import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from networks.style_layers import (
    Blur,
    DownsamplingConv2d,
    MappingLayer,
    MappingNetwork,
    ModulatedConv2d,
    ResidualBlock,
    enlarge_image,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("demodulate", [True, False])
def test_modulated_convolution_is_one_with_modulated_weights_per_image(
    kernel_size: int, demodulate: bool
) -> None:
    torch.manual_seed(0)
    layer = ModulatedConv2d(5, 4, kernel_size, style_size=3, demodulate=demodulate).double()
    features, style = normal(3, 5, 8, 8), normal(3, 3, seed=1)
    result = layer(features, style)
    for image in range(3):
        scales = style[image] @ layer.to_scales.weight.T / math.sqrt(3) + 1
        weight = layer.weight / math.sqrt(5 * kernel_size**2) * scales[:, None, None]
        if demodulate:
            weight = weight / weight.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
        expected = F.conv2d(features[image : image + 1], weight, padding=kernel_size // 2)
        assert (result[image] - expected[0]).abs().max() < 1e-6  # epsilon in the norm
        if not demodulate:
            assert (result[image] - expected[0]).abs().max() < 1e-13


def test_up_sampling_convolution_is_zeros_between_pixels_then_convolution_then_blur() -> None:
    torch.manual_seed(0)
    layer = ModulatedConv2d(2, 3, 3, style_size=2, demodulate=False, upsample=True).double()
    features, style = normal(1, 2, 5, 5), torch.zeros(1, 2, dtype=torch.float64)
    spread = torch.zeros(1, 2, 10, 10, dtype=torch.float64)
    spread[:, :, ::2, ::2] = features
    weight = layer.weight.flip(2, 3) / math.sqrt(2 * 9)
    convolved = F.conv2d(spread, weight, padding=2)[:, :, :11, :11]
    line = torch.tensor([1.0, 3, 3, 1], dtype=torch.float64) / 4
    kernel = torch.outer(line, line).expand(3, 1, 4, 4)
    expected = F.conv2d(convolved, kernel, padding=1, groups=3)
    assert layer(features, style).shape == (1, 3, 10, 10)
    assert (layer(features, style) - expected).abs().max() < 1e-12


def test_demodulated_outputs_have_unit_spread_whatever_the_style() -> None:
    torch.manual_seed(0)
    layer = ModulatedConv2d(16, 8, 3, style_size=4)
    features = torch.randn(2, 16, 64, 64, generator=seeded())
    for strength in (0.1, 10.0):
        inside = layer(features, strength * torch.ones(2, 4))[:, :, 1:-1, 1:-1]
        assert inside.std(dim=(2, 3)).mean().item() == pytest.approx(1.0, abs=0.05)


def test_blur_sums_to_1_and_keeps_constants_and_its_gain_fills_zeros_in() -> None:
    blur = Blur(padding=2).double()
    assert blur.kernel.sum().item() == pytest.approx(1.0)
    assert not blur.state_dict()
    flat = blur(torch.full((1, 2, 8, 8), 3.0, dtype=torch.float64))
    assert flat.shape == (1, 2, 9, 9)
    assert torch.allclose(flat[:, :, 2:-2, 2:-2], torch.tensor(3.0, dtype=torch.float64))
    spread = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    spread[:, :, ::2, ::2] = 3.0
    filled = Blur(padding=2, gain=4.0).double()(spread)
    assert torch.allclose(filled[:, :, 2:-2, 2:-2], torch.tensor(3.0, dtype=torch.float64))


def test_blur_of_one_pixel_by_hand() -> None:
    image = torch.zeros(1, 1, 7, 7)
    image[0, 0, 3, 3] = 64.0
    line = torch.tensor([1.0, 3.0, 3.0, 1.0])
    assert torch.equal(Blur(padding=0)(image)[0, 0], torch.outer(line, line))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [4, 7])
def test_enlarged_image_is_torch_s_bilinear_one(channels: int, size: int) -> None:
    image = normal(2, channels, size, size)
    expected = F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
    assert (enlarge_image(image) - expected).abs().max() < 1e-14
    flat = torch.full((1, channels, size, size), -1.0)
    assert torch.equal(enlarge_image(flat), -torch.ones(1, channels, 2 * size, 2 * size))


def test_down_sampling_agrees_with_torch_s_antialiased_one_inside() -> None:
    layer = DownsamplingConv2d(1, 1, 1, bias=False).double()
    torch.nn.init.ones_(layer.weight)
    image = normal(1, 1, 16, 16)
    expected = F.interpolate(image, scale_factor=0.5, mode="bilinear", antialias=True)
    assert layer(image).shape == (1, 1, 8, 8)
    assert (layer(image) - expected)[:, :, 1:-1, 1:-1].abs().max() < 1e-12


def test_down_sampling_convolution_sees_its_pixels_alike_from_all_sides() -> None:
    layer = DownsamplingConv2d(1, 1, 3).double()
    torch.nn.init.ones_(layer.weight)
    image = normal(1, 1, 8, 8)
    assert layer(image).shape == (1, 1, 4, 4)
    assert torch.allclose(layer(image.flip(2, 3)), layer(image).flip(2, 3))


def test_a_signal_faster_than_half_the_pixels_does_not_alias() -> None:
    layer = DownsamplingConv2d(1, 1, 1, bias=False)
    torch.nn.init.ones_(layer.weight)
    stripes = torch.ones(1, 1, 16, 16)
    stripes[..., 1::2] = -1
    assert layer(stripes)[:, :, 1:-1, 1:-1].abs().max() < 1e-6


def test_residual_block_averages_its_two_ways_keeping_the_variance() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(2, 3).double()
    features = normal(2, 2, 8, 8)
    bent = F.leaky_relu(block.first(features), 0.2) * math.sqrt(2)
    bent = F.leaky_relu(block.second(bent), 0.2) * math.sqrt(2)
    expected = (bent + block.straight(features)) * math.sqrt(0.5)
    assert (block(features) - expected).abs().max() < 1e-14
    assert block.straight.bias is None


def test_mapping_layer_starts_like_any_other_and_learns_at_a_100th() -> None:
    torch.manual_seed(0)
    layer = MappingLayer(64)
    assert (layer.weight * layer.scale).std().item() == pytest.approx(1 / 8, rel=0.05)
    inputs = torch.randn(5, 64, generator=seeded())
    before = layer(inputs)
    before.sum().backward()
    effective = (layer.weight * layer.scale).detach().clone()
    for parameter in layer.parameters():
        assert parameter.grad is not None
        parameter.data -= 0.01 * parameter.grad.sign()  # Adam's first step at a rate of 0.01
    moved = (layer.weight * layer.scale - effective).abs().mean().item()
    assert moved == pytest.approx(0.01 * 0.01 / 8, rel=0.01)
    assert (layer.bias * layer.learning_rate_factor).abs().max().item() == pytest.approx(0.0001)


def test_mapping_reads_the_direction_of_z_only() -> None:
    torch.manual_seed(0)
    mapping = MappingNetwork(8, 3).double()
    z = normal(4, 8)
    assert torch.allclose(mapping(z), mapping(5 * z), atol=1e-6)
    assert MappingNetwork(8, 0)(z.float()).square().mean(dim=1).tolist() == pytest.approx([1] * 4)
