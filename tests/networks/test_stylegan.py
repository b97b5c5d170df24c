import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from networks.growth import Growth
from networks.stylegan import (
    AdaptiveInstanceNorm,
    SmoothingDiscriminatorBlock,
    StyledLayer,
    StyleGANDiscriminator,
    StyleGANGenerator,
)
from tests.networks.small_stylegan2 import normal, seeded


def num_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def small_generator(size: int = 16) -> StyleGANGenerator:
    """float64, in evaluation mode, with noise, biases and an average style away from 0."""
    torch.manual_seed(0)
    network = StyleGANGenerator(size, 1, style_size=6, width=8, mapping_layers=2).double()
    for name, parameter in network.named_parameters():
        if name.endswith(("noise_strength", "bias")):
            parameter.data += 0.3 * torch.randn_like(parameter)
    network.average_style.normal_(generator=seeded(9))
    return network.eval()


def small_discriminator(size: int = 16) -> StyleGANDiscriminator:
    torch.manual_seed(1)
    return StyleGANDiscriminator(size, 1, width=8).double()


def rows(network: StyleGANGenerator, count: int, seed: int = 0) -> Tensor:
    return network.draw_latent(count, seeded(seed)).double()


def test_parameter_counts_are_those_the_authors_print() -> None:
    # "Total" in the logs of NVlabs' program for FFHQ at 1024 pixels; table 1 rounds to 26.2 M.
    assert num_parameters(StyleGANGenerator(1024, 3)) == 26_219_627
    assert num_parameters(StyleGANDiscriminator(1024, 3)) == 23_087_249
    assert StyleGANGenerator(1024, 3).num_layers == 18


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (32, 3), (256, 1)])
def test_shapes_at_every_stage(size: int, channels: int) -> None:
    generator = StyleGANGenerator(size, channels, style_size=4, width=max(2, size // 16))
    discriminator = StyleGANDiscriminator(size, channels, width=max(2, size // 16))
    latent = generator.draw_latent(2, seeded())
    for power in range(2, int(math.log2(size)) + 1):
        growth = Growth(2**power, 1.0 if power == 2 else 0.3)
        with torch.no_grad():
            [image] = generator(latent, growth)
            [logits] = discriminator([image], growth)
        assert image.shape == (2, channels, 2**power, 2**power)
        assert logits.shape == (2, 1)
    assert torch.equal(generator(latent)[0], generator(latent, Growth(size))[0])


def test_adaptive_instance_norm_gives_each_map_the_style_s_mean_and_deviation() -> None:
    torch.manual_seed(0)
    layer = AdaptiveInstanceNorm(3, 5).double()
    layer.to_style.bias.data.normal_()
    features, style = 7 + 4 * normal(2, 3, 6, 6), normal(2, 5, seed=1)
    styled = layer(features, style)
    scale, shift = layer.to_style(style).chunk(2, dim=1)
    assert torch.allclose(styled.mean(dim=(2, 3)), shift, atol=1e-9)
    deviation = styled.var(dim=(2, 3), correction=0).sqrt()
    assert torch.allclose(deviation, (1 + scale).abs(), atol=1e-8)
    # What the features' own mean and scale were does not matter.
    assert torch.allclose(layer(5 * features - 3, style), styled, atol=1e-8)
    expected = F.instance_norm(features, eps=1e-8) * (1 + scale)[:, :, None, None]
    assert torch.allclose(styled, expected + shift[:, :, None, None], atol=1e-10)


def test_enlarging_layer_is_the_authors_transposed_convolution_then_their_filter() -> None:
    # Their program sums four shifted kernels and convolves once, with stride 2, from 64 pixels on.
    torch.manual_seed(0)
    layer = StyledLayer(3, 5, 4, upsample=True).double()
    assert layer.conv is not None
    features, style = normal(2, 3, 8, 8), normal(2, 4, seed=1)
    kernel = F.pad(layer.conv.weight * layer.conv.scale, (1, 1, 1, 1))
    kernel = sum(kernel[:, :, y : y + 4, x : x + 4] for y in (0, 1) for x in (0, 1))  # type: ignore[assignment]
    # A convolution is a correlation, so the kernel of its transpose is the mirrored one.
    fused = F.conv_transpose2d(features, kernel.flip(2, 3).transpose(0, 1), stride=2, padding=1)
    line = torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64)
    smooth = torch.outer(line, line).expand(5, 1, 3, 3)
    expected = F.conv2d(fused, smooth, padding=1, groups=5)
    expected = layer.norm(F.leaky_relu(expected, 0.2), style)
    assert torch.allclose(layer(features, style, None), expected, atol=1e-12)


def test_halving_block_smooths_then_averages_before_the_activation() -> None:
    torch.manual_seed(0)
    block = SmoothingDiscriminatorBlock(3, 5).double()
    features = normal(2, 3, 8, 8)
    line = torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64)
    smooth = torch.outer(line, line).expand(3, 1, 3, 3)
    inner = F.conv2d(F.leaky_relu(block.first(features), 0.2), smooth, padding=1, groups=3)
    kernel = F.pad(block.second.weight * block.second.scale, (1, 1, 1, 1))
    kernel = sum(kernel[:, :, y : y + 4, x : x + 4] for y in (0, 1) for x in (0, 1))  # type: ignore[assignment]
    expected = F.leaky_relu(F.conv2d(inner, kernel / 4, stride=2, padding=1), 0.2)
    assert torch.allclose(block(features), expected, atol=1e-12)


@pytest.mark.parametrize("resolution", [8, 16])
def test_fade_in_starts_at_the_enlarged_stage_before(resolution: int) -> None:
    generator, discriminator = small_generator(), small_discriminator()
    latent = rows(generator, 4)
    [before] = generator(latent, Growth(resolution // 2))
    [start] = generator(latent, Growth(resolution, 0.0))
    assert torch.equal(start, before.repeat_interleave(2, 2).repeat_interleave(2, 3))
    [end] = generator(latent, Growth(resolution))
    [middle] = generator(latent, Growth(resolution, 0.25))
    assert (end - start).abs().max() > 0.01
    assert torch.allclose(middle, 0.75 * start + 0.25 * end, atol=1e-12)
    [logits] = discriminator([end], Growth(resolution, 0.0))
    [smaller] = discriminator([F.avg_pool2d(end, 2)], Growth(resolution // 2))
    assert torch.equal(logits, smaller)


@pytest.mark.parametrize("training", [True, False])
def test_a_row_gives_the_same_image_whatever_else_is_in_the_batch(training: bool) -> None:
    network = small_generator().train(training)
    latent = rows(network, 5)
    [together] = network(latent)
    assert (together - torch.cat([network(row[None])[0] for row in latent])).abs().max() < 1e-12


@pytest.mark.parametrize("layer", range(6))
def test_each_layer_has_a_style_and_noise_of_its_own(layer: int) -> None:
    network = small_generator()
    latent = rows(network, 1)
    styles, noise = network.mapping(latent), network.noise_of(latent)
    seen: dict[str, list[Tensor]] = {}

    def outputs(name: str, styles: Tensor, noise: Tensor) -> None:
        seen[name] = []
        modules = [m for pair in zip(network.first, network.second, strict=True) for m in pair]
        hooks = [
            module.register_forward_hook(lambda _, inputs, out: seen[name].append(out))
            for module in modules
        ]
        network.synthesis(styles, noise)
        for hook in hooks:
            hook.remove()

    sizes = [16, 16, 64, 64, 256, 256]
    other_noise, other_styles = noise.clone(), styles.clone()
    start = sum(sizes[:layer])
    other_noise[:, start : start + sizes[layer]] += normal(1, sizes[layer], seed=5)
    other_styles[:, layer] += 1
    outputs("as it was", styles, noise)
    outputs("other noise", styles, other_noise)
    outputs("other style", other_styles, noise)
    for name in ("other noise", "other style"):
        pairs = zip(seen["as it was"], seen[name], strict=True)
        assert [torch.equal(a, b) for a, b in pairs] == [index < layer for index in range(6)]


def test_styles_are_mixed_among_the_layers_that_have_grown() -> None:
    network = small_generator().train()
    numbers = torch.randn(20_000, 1, generator=seeded())
    for resolution, layers in ((4, 2), (8, 4), (16, 6)):
        assert network.layers_at(Growth(resolution)) == layers
        drawn = network.crossover(numbers, layers)
        share = torch.bincount(drawn.flatten(), minlength=7).double() / len(numbers)
        expected = [0.0, *[0.9 / (layers - 1)] * (layers - 1), 0.1, *[0.0] * (6 - layers)]
        assert (share - torch.tensor(expected, dtype=torch.float64)).abs().max() < 0.015
    latent = rows(network, 1)
    latent[:, 12] = 0.0  # the crossover of 3 in 5 layers
    mixed = network.mapping(latent)
    assert (mixed[:, :3] == mixed[:, :1]).all()
    assert (mixed[:, 3:] == mixed[:, 3:4]).all()
    assert not torch.equal(mixed[:, 0], mixed[:, 3])


def test_parameters_that_have_not_grown_get_no_gradient() -> None:
    generator, discriminator = small_generator().train(), small_discriminator()
    growth = Growth(8, 0.5)
    discriminator(generator(rows(generator, 4), growth), growth)[0].square().sum().backward()
    idle = {name for name, p in generator.named_parameters() if p.grad is None}
    assert idle == {
        name
        for name, _ in generator.named_parameters()
        if name.startswith(("first.2", "second.2", "to_images.2"))
    }
    idle = {name for name, p in discriminator.named_parameters() if p.grad is None}
    assert {name.split(".")[0] + name.split(".")[1] for name in idle} == {"from_images2", "blocks1"}
    for name, parameter in generator.named_parameters():
        assert parameter.grad is None or parameter.grad.abs().max() > 0, name


def test_gradients_to_second_order() -> None:
    generator = small_generator(8)
    noise = generator.noise_of(rows(generator, 1))
    styles = generator.mapping(rows(generator, 1)).detach().clone().requires_grad_()
    directions = normal(4, 1, 8, 8, seed=2)

    def image(styles: Tensor) -> Tensor:
        return (generator.synthesis(styles, noise) * directions).sum(dim=(2, 3))

    assert torch.autograd.gradcheck(image, (styles,))
    discriminator, images = small_discriminator(8), normal(2, 1, 8, 8).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: discriminator([x])[0], (images,))
    assert torch.autograd.gradgradcheck(lambda x: discriminator([x])[0], (images,), fast_mode=True)


def test_bfloat16_autocast_stays_near_float32_and_images_stay_in_it() -> None:
    torch.manual_seed(0)
    generator = StyleGANGenerator(32, 1, 32, 32).eval()
    discriminator = StyleGANDiscriminator(32, 1, 32)
    latent = generator.draw_latent(4, seeded())
    [image] = generator(latent)
    [logits] = discriminator([image])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        [rough_image] = generator(latent)
        [rough_logits] = discriminator([image])
    assert rough_image.dtype == rough_logits.dtype == torch.float32
    assert (rough_image - image).abs().max() < 0.05 * image.abs().max()
    assert (rough_logits - logits).abs().max() < 0.1


def test_wrong_settings_are_refused_by_the_network_s_own_name() -> None:
    with pytest.raises(ValueError, match=r"StyleGANGenerator: image_size is 48"):
        StyleGANGenerator(48, 1)
    with pytest.raises(ValueError, match=r"StyleGANGenerator: style_size is 0"):
        StyleGANGenerator(32, 1, style_size=0)
    with pytest.raises(ValueError, match=r"StyleGANDiscriminator: width is 8"):
        StyleGANDiscriminator(512, 1, width=8)
    network = small_generator()
    with pytest.raises(ValueError, match=r"resolution is 32, but the network ends at 16"):
        network(rows(network, 1), Growth(32))
