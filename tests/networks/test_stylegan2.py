import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from networks.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator
from tests.networks.small_stylegan2 import normal, rows, seeded, small_generator


def num_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_are_those_the_authors_print() -> None:
    # "Total" in the logs of NVlabs' programs for FFHQ at 1024 pixels, config F.
    generator = StyleGAN2Generator(1024, 3, width=1024, max_channels=512)
    discriminator = StyleGAN2Discriminator(1024, 3, width=1024, max_channels=512)
    assert num_parameters(generator) == 30_370_060
    assert num_parameters(discriminator) == 29_012_513
    assert generator.num_layers == 18


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (32, 3), (64, 1), (256, 1)])
def test_shapes(size: int, channels: int) -> None:
    width = max(2, size // 16)
    generator = StyleGAN2Generator(size, channels, style_size=4, width=width)
    discriminator = StyleGAN2Discriminator(size, channels, width=width)
    latent = generator.draw_latent(2, seeded())
    assert latent.shape == (2, generator.latent_size)
    with torch.no_grad():
        [image] = generator(latent)
        [logits] = discriminator([image])
    assert image.shape == (2, channels, size, size)
    assert logits.shape == (2, 1)
    styles = generator.mapping(latent)
    assert styles.shape == (2, generator.num_layers, 4)
    assert generator.num_layers == 2 * int(math.log2(size)) - 2


def test_rows_are_drawn_one_by_one_and_named() -> None:
    network = StyleGAN2Generator(16, 1, style_size=6, width=8)
    latent = network.draw_latent(4, seeded(3))
    assert torch.equal(latent[:2], network.draw_latent(2, seeded(3)))
    parts = network.split_latent(latent)
    assert [part.shape[1] for part in parts] == [6, 6, 1, 16 + 2 * (64 + 256)]
    assert torch.equal(torch.cat(parts, dim=1), latent)


@pytest.mark.parametrize("training", [True, False])
def test_a_row_gives_the_same_image_whatever_else_is_in_the_batch(training: bool) -> None:
    network = small_generator().train(training)
    latent = rows(network, 5)
    [together] = network(latent)
    assert (together - torch.cat([network(row[None])[0] for row in latent])).abs().max() < 1e-12
    assert torch.equal(together, network(latent)[0])


def test_image_is_the_sum_of_what_every_resolution_adds() -> None:
    network = small_generator(32)
    latent = rows(network, 2)
    added: list[Tensor] = []
    for layer in network.to_images:
        layer.register_forward_hook(lambda _, inputs, output: added.append(output))
    [image] = network(latent)
    assert [tensor.shape[-1] for tensor in added] == [4, 8, 16, 32]
    expected = torch.zeros(2, 1, 32, 32, dtype=torch.float64)
    for tensor in added:
        while tensor.shape[-1] < 32:
            tensor = F.interpolate(tensor, scale_factor=2, mode="bilinear")
        expected = expected + tensor
    assert (image - expected).abs().max() < 1e-12


def test_each_layer_reads_its_style_and_an_image_shares_the_next_one_s() -> None:
    network = small_generator(16)
    styles = normal(1, 6, 6)
    layers = [
        *(network.first, network.to_images[0]),
        *(network.enlarging[0], network.refining[0], network.to_images[1]),
        *(network.enlarging[1], network.refining[1], network.to_images[2]),
    ]
    read: list[Tensor] = []
    for layer in layers:
        layer.register_forward_pre_hook(lambda _, inputs: read.append(inputs[1]))
    network.synthesis(styles, None)
    order = [0, 1, 1, 2, 3, 3, 4, 5]
    assert [style.tolist() for style in read] == [styles[:, layer].tolist() for layer in order]


def test_forward_is_mapping_then_synthesis() -> None:
    network = small_generator().train()
    latent = rows(network, 3)
    styles = network.mapping(latent)
    assert torch.equal(
        network.synthesis(styles, network.split_latent(latent).noise), network(latent)[0]
    )


def test_noise_changes_the_image_and_strength_0_takes_it_away() -> None:
    for noisy in (True, False):
        network = small_generator(noisy=noisy)
        latent = rows(network, 2)
        other = latent.clone()
        other[:, -network.noise_size :] = rows(network, 2, seed=1)[:, -network.noise_size :]
        assert torch.equal(network(latent)[0], network(other)[0]) != noisy
    assert torch.equal(network.synthesis(network.mapping(latent), None), network(latent)[0])


@pytest.mark.parametrize("layer", range(5))
def test_each_layer_has_noise_of_its_own(layer: int) -> None:
    network = small_generator()
    latent = rows(network, 1)
    sizes = [16, 64, 64, 256, 256]
    start = 2 * 6 + 1 + sum(sizes[:layer])
    other = latent.clone()
    other[:, start : start + sizes[layer]] += 1
    seen: dict[bool, list[Tensor]] = {True: [], False: []}
    for first, row in ((True, latent), (False, other)):
        hooks = [
            module.register_forward_hook(lambda _, i, out, first=first: seen[first].append(out))
            for module in (network.first, *network.enlarging, *network.refining)
        ]
        network(row)
        for hook in hooks:
            hook.remove()
    unchanged = [torch.equal(a, b) for a, b in zip(seen[True], seen[False], strict=True)]
    assert unchanged == [index < layer for index in range(5)]


def test_truncation_0_is_the_image_of_the_average_style_for_all_rows() -> None:
    network = small_generator(noisy=False)
    latent = rows(network, 3)
    [image] = network(latent, truncation=0.0)
    average = network.average_style.expand(3, network.num_layers, -1)
    assert torch.equal(image, network.synthesis(average, None))
    assert (image - image[:1]).abs().max() < 1e-12


def test_truncation_is_the_share_of_the_way_from_the_average_style() -> None:
    network = small_generator()
    latent = rows(network, 2)
    own, half = network.mapping(latent), network.mapping(latent, truncation=0.5)
    assert torch.allclose(half, (own + network.average_style) / 2)
    assert torch.equal(network(latent, truncation=1.0)[0], network(latent)[0])


def test_average_style_moves_in_training_mode_only_towards_the_mean_of_unmixed_styles() -> None:
    network = small_generator()
    latent = rows(network, 4)
    before = network.average_style.clone()
    network(latent)
    assert torch.equal(network.average_style, before)
    network.train()(latent)
    mean = network.mapping_network(network.split_latent(latent).z).mean(dim=0)
    assert torch.allclose(network.average_style, 0.998 * before + 0.002 * mean)
    assert not network.average_style.requires_grad
    # Two processes with half the batch each, their buffers averaged.
    halves = []
    for part in (latent[:2], latent[2:]):
        network.average_style.copy_(before)
        network(part)
        halves.append(network.average_style.clone())
    network.average_style.copy_(before)
    network(latent)
    assert torch.allclose(sum(halves) / 2, network.average_style, atol=1e-15)  # type: ignore[arg-type]


@pytest.mark.parametrize("crossover", [1, 3, 5])
def test_mixing_changes_the_layers_from_the_crossover_on_only(crossover: int) -> None:
    network = small_generator().train()
    latent = rows(network, 2)
    number = torch.distributions.Normal(0, 1).icdf(torch.tensor(0.9 * (crossover - 0.5) / 5))
    latent[:, 2 * 6] = number
    mixed = network.mapping(latent)
    parts = network.split_latent(latent)
    own, other = network.mapping_network(parts.z), network.mapping_network(parts.other_z)
    for layer in range(network.num_layers):
        expected = own if layer < crossover else other
        assert torch.allclose(mixed[:, layer], expected, atol=1e-14)


def test_styles_are_mixed_9_times_in_10_at_any_layer_alike() -> None:
    network = StyleGAN2Generator(16, 1, style_size=2, width=8)
    drawn = network.crossover(torch.randn(50_000, 1, generator=seeded()))
    share = torch.bincount(drawn.flatten(), minlength=7).double() / 50_000
    expected = torch.tensor([0.0, *[0.18] * 5, 0.1], dtype=torch.float64)
    assert (share - expected).abs().max() < 0.01


def test_styles_are_not_mixed_in_evaluation_or_when_told_so() -> None:
    network = small_generator()
    latent = rows(network, 8)
    styles = network.mapping(latent)
    assert (styles == styles[:, :1]).all()
    network.train()
    assert not (network.mapping(latent) == network.mapping(latent)[:, :1]).all()
    network.mixing = False
    assert (network.mapping(latent) == network.mapping(latent)[:, :1]).all()


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (12, [12, 12, 12, 12, 12, 8]),
        (None, [32, 32, 32, 32, 16, 8]),
        (128, [128, 128, 64, 32, 16, 8]),
    ],
)
def test_channels_follow_width_and_their_limit(most: int | None, expected: list[int]) -> None:
    network = StyleGAN2Generator(128, 1, style_size=4, width=32, max_channels=most)
    counts = [layer.bias.shape[0] for layer in (network.first, *network.refining)]
    assert counts == expected


def test_wrong_settings_and_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"StyleGAN2Generator: image_size is 48"):
        StyleGAN2Generator(48, 1)
    with pytest.raises(ValueError, match=r"StyleGAN2Discriminator: width is 8"):
        StyleGAN2Discriminator(512, 1, width=8)
    with pytest.raises(ValueError, match=r"max_channels is 0, expected 2 or more"):
        StyleGAN2Discriminator(32, 1, max_channels=0)
    with pytest.raises(ValueError, match=r"style_size is 0"):
        StyleGAN2Generator(32, 1, style_size=0)
    network = small_generator()
    with pytest.raises(ValueError, match=r"\(2, 6\), expected \(N, 669\)"):
        network(torch.zeros(2, 6))
    with pytest.raises(ValueError, match=r"\(1, 32, 32\)"):
        StyleGAN2Discriminator(16, 1, width=8)([torch.zeros(2, 1, 32, 32)])
