import math

import pytest
import torch
from torch import nn

from networks.attention import SelfAttention, SqueezeExcitation


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def filled(module: nn.Module, seed: int = 0) -> nn.Module:
    """In float64, with every parameter, biases and gamma too, away from its initial value."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return module


def test_squeeze_excitation_by_hand() -> None:
    # One channel of mean 3, one of mean 1; the bottleneck of 4 adds them and keeps the positive.
    layer = SqueezeExcitation(2).double()
    with torch.no_grad():
        layer.reduce.weight.fill_(1 / layer.reduce.scale)
        layer.reduce.bias.copy_(torch.tensor([0.0, 1.0, -4.0, -9.0]))
        layer.expand.weight.copy_(torch.tensor([[0.1] * 4, [-0.2] * 4]) / layer.expand.scale)
        layer.expand.bias.copy_(torch.tensor([0.0, 0.3]))
    features = torch.tensor([[[[2.0, 4.0]], [[0.0, 2.0]]]], dtype=torch.float64)
    hidden_sum = 4.0 + 5.0 + 0.0 + 0.0
    gates = [
        2 / (1 + math.exp(-0.1 * hidden_sum)),
        2 / (1 + math.exp(0.2 * hidden_sum - 0.3)),
    ]
    expected = [2.0 * gates[0], 4.0 * gates[0], 0.0, 2.0 * gates[1]]
    # The literals 0.1 and 0.2 above are float32.
    assert layer(features).flatten().tolist() == pytest.approx(expected, abs=1e-7)


def test_squeeze_excitation_gates_whole_channels_of_each_image_alone() -> None:
    layer, features = filled(SqueezeExcitation(32)), normal(3, 32, 4, 4)
    gates = layer(features) / features
    torch.testing.assert_close(gates, gates[:, :, :1, :1].expand_as(gates))
    assert gates.min() > 0
    assert gates.max() < 2
    torch.testing.assert_close(layer(features[1:2]), layer(features)[1:2], rtol=0, atol=1e-13)
    # Where a value lies does not matter, only the channel's mean.
    flipped = layer(features.flip(3)).flip(3)
    torch.testing.assert_close(flipped, layer(features), rtol=0, atol=1e-13)


@pytest.mark.parametrize("make", [SqueezeExcitation, SelfAttention])
def test_fresh_layers_are_the_identity_and_can_learn(make: type[nn.Module]) -> None:
    layer, features = make(16).double(), normal(2, 16, 4, 4)
    assert torch.equal(layer(features), features)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (layer(features) - normal(2, 16, 4, 4, seed=1)).square().mean().backward()
        optimizer.step()
    # The second step's gradient passes the weights that were zero, and reaches all others. Adding
    # a constant to all keys changes no softmax, so their bias stays without one.
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None
        assert (parameter.grad.abs().max() > 1e-12) == (name != "key.bias"), name


def test_squeeze_is_summed_in_float32_under_autocast() -> None:
    layer = filled(SqueezeExcitation(16)).float()
    # 4096 ones and a small share of twos: bfloat16 sums would lose the difference.
    features = torch.ones(1, 16, 64, 64)
    features[:, :, 0, :8] = 2
    exact = layer(features)[0, :, 1, 0]
    seen: list[torch.Tensor] = []
    layer.reduce.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    with torch.autocast("cpu", torch.bfloat16):
        value = layer(features.bfloat16())
    assert value.dtype == torch.bfloat16
    assert seen[0].dtype == torch.float32
    assert seen[0][0, 0].item() == 1 + 8 / 4096
    torch.testing.assert_close(value[0, :, 1, 0].float(), exact, rtol=2**-8, atol=0)


@pytest.mark.parametrize(("channels", "hidden"), [(16, 4), (64, 4), (512, 32)])
def test_reduction_leaves_at_least_four(channels: int, hidden: int) -> None:
    assert SqueezeExcitation(channels).reduce.bias.shape == (hidden,)


def test_self_attention_against_a_loop_over_pixels() -> None:
    layer, features = filled(SelfAttention(16)), normal(2, 16, 3, 4)

    def project(part: nn.Module, vector: torch.Tensor) -> torch.Tensor:
        return part.weight[:, :, 0, 0] @ vector * part.scale + part.bias

    value = layer(features)
    for image in range(2):
        pixels = [features[image, :, row, column] for row in range(3) for column in range(4)]
        keys = [project(layer.key, pixel) for pixel in pixels]
        values = [project(layer.value, pixel) for pixel in pixels]
        for index, pixel in enumerate(pixels):
            query = project(layer.query, pixel)
            scores = [math.exp((query @ key).item()) for key in keys]
            gathered = sum(
                score / sum(scores) * one for score, one in zip(scores, values, strict=True)
            )
            expected = pixel + layer.gamma * project(layer.output, gathered)
            own = value[image, :, index // 4, index % 4]
            torch.testing.assert_close(own, expected, rtol=0, atol=1e-10)


def test_self_attention_does_not_depend_on_where_pixels_lie() -> None:
    layer, features = filled(SelfAttention(8)), normal(1, 8, 3, 4)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    moved = features.flatten(2)[:, :, order].unflatten(2, (3, 4))
    expected = layer(features).flatten(2)[:, :, order].unflatten(2, (3, 4))
    torch.testing.assert_close(layer(moved), expected, rtol=0, atol=1e-12)


def test_self_attention_under_autocast_keeps_the_type() -> None:
    layer = filled(SelfAttention(16)).float()
    features = normal(1, 16, 4, 4).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(features).dtype == torch.bfloat16


@pytest.mark.parametrize("make", [SqueezeExcitation, SelfAttention])
def test_second_derivatives(make: type[nn.Module]) -> None:
    layer, features = filled(make(4)), normal(2, 4, 2, 2).requires_grad_()
    assert torch.autograd.gradcheck(layer, features)
    assert torch.autograd.gradgradcheck(layer, features)


@pytest.mark.parametrize("make", [SqueezeExcitation, SelfAttention])
def test_channels_last_gives_the_same(make: type[nn.Module]) -> None:
    layer, features = filled(make(16)), normal(2, 16, 4, 4)
    last = features.to(memory_format=torch.channels_last)
    torch.testing.assert_close(layer(last), layer(features), rtol=0, atol=1e-12)
