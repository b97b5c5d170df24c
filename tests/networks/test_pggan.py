import pytest
import torch
import torch.nn.functional as F

from networks.growth import Growth
from networks.pggan import PGGANDiscriminator, PGGANGenerator


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def make_generator(image_size: int = 32, width: int = 8) -> PGGANGenerator:
    torch.manual_seed(0)
    generator = PGGANGenerator(image_size, 1, latent_size=8, width=width)
    draw_biases(generator)
    return generator.double()


def make_discriminator(image_size: int = 32, width: int = 8) -> PGGANDiscriminator:
    torch.manual_seed(1)
    discriminator = PGGANDiscriminator(image_size, 1, width=width)
    draw_biases(discriminator)
    return discriminator.double()


def draw_biases(network: torch.nn.Module) -> None:
    """Away from zero, where they start, so that none of them is overlooked."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()


def idle_parameters(network: torch.nn.Module) -> set[str]:
    return {name for name, parameter in network.named_parameters() if parameter.grad is None}


def num_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("image_size", [8, 32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_and_logits_have_their_shapes(image_size: int, channels: int) -> None:
    generator = PGGANGenerator(image_size, channels, latent_size=8, width=32)
    discriminator = PGGANDiscriminator(image_size, channels, width=32)
    with torch.no_grad():
        images = generator(generator.draw_latent(3))
        logits = discriminator(images)
    assert [image.shape for image in images] == [(3, channels, image_size, image_size)]
    assert [logit.shape for logit in logits] == [(3, 1)]


def test_parameter_counts_are_the_paper_s() -> None:
    # Table 2 of arXiv:1710.10196, 1024 pixels and 3 channels: 23.1 M each, the layers to and from
    # images of the last stage only.
    generator, discriminator = PGGANGenerator(1024, 3), PGGANDiscriminator(1024, 3)
    smaller = sum(num_parameters(layer) for layer in generator.to_images[:-1])
    assert (num_parameters(generator) - smaller) / 1e6 == pytest.approx(23.1, abs=0.05)
    smaller = sum(num_parameters(layer) for layer in discriminator.from_images[:-1])
    assert (num_parameters(discriminator) - smaller) / 1e6 == pytest.approx(23.1, abs=0.05)
    assert num_parameters(generator.to_images[-1]) == 51
    assert num_parameters(generator.stem.first) / 1e6 == pytest.approx(4.2, abs=0.05)
    assert [layer.weight.shape[0] for layer in discriminator.from_images] == [
        *[512] * 4,
        *[256, 128, 64, 32, 16],
    ]


@pytest.mark.parametrize("resolution", [4, 8, 16, 32])
def test_every_stage_has_its_resolution(resolution: int) -> None:
    growth = Growth(resolution, 1.0 if resolution == 4 else 0.3)
    [image] = make_generator()(normal(2, 8), growth)
    assert image.shape == (2, 1, resolution, resolution)
    assert make_discriminator()([image], growth)[0].shape == (2, 1)


def test_small_resolutions_are_wider_where_told_so() -> None:
    generator = PGGANGenerator(64, 1, latent_size=8, width=8, max_channels=32).double()
    discriminator = PGGANDiscriminator(64, 1, width=8, max_channels=32).double()
    counts = [layer.weight.shape[1] for layer in generator.to_images]
    assert counts == [32, 32, 16, 8, 4]  # at 4, 8, 16, 32 and 64 pixels
    assert [len(layer.weight) for layer in discriminator.from_images] == counts
    [images] = generator(normal(2, 8))
    assert discriminator([images])[0].shape == (2, 1)


def test_no_growth_means_fully_grown() -> None:
    generator, discriminator, latent = make_generator(), make_discriminator(), normal(2, 8)
    [image] = generator(latent)
    assert torch.equal(image, generator(latent, Growth(32, 1.0))[0])
    assert torch.equal(discriminator([image])[0], discriminator([image], Growth(32, 1.0))[0])


@pytest.mark.parametrize("resolution", [8, 16, 32])
def test_generator_s_fade_in_starts_at_the_enlarged_stage_before(resolution: int) -> None:
    generator, latent = make_generator(), normal(2, 8)
    [before] = generator(latent, Growth(resolution // 2))
    [start] = generator(latent, Growth(resolution, 0.0))
    assert torch.equal(start, before.repeat_interleave(2, 2).repeat_interleave(2, 3))
    [end] = generator(latent, Growth(resolution))
    [middle] = generator(latent, Growth(resolution, 0.25))
    assert (end - start).abs().max() > 0.1
    torch.testing.assert_close(middle, 0.75 * start + 0.25 * end, rtol=0, atol=1e-12)


@pytest.mark.parametrize("resolution", [8, 16, 32])
def test_discriminator_s_fade_in_starts_at_the_stage_before_of_the_halved_image(
    resolution: int,
) -> None:
    discriminator, image = make_discriminator(), normal(4, 1, resolution, resolution)
    [before] = discriminator([F.avg_pool2d(image, 2)], Growth(resolution // 2))
    [start] = discriminator([image], Growth(resolution, 0.0))
    assert torch.equal(start, before)
    # Nothing jumps at the end of the fade-in either.
    [almost] = discriminator([image], Growth(resolution, 1 - 1e-12))
    [end] = discriminator([image], Growth(resolution))
    torch.testing.assert_close(almost, end, rtol=0, atol=1e-9)
    assert (end - start).abs().max() > 1e-3


def test_discriminator_mixes_features_behind_the_newest_block() -> None:
    discriminator, image = make_discriminator(8), normal(4, 1, 8, 8)
    new = discriminator.blocks[0](F.leaky_relu(discriminator.from_images[1](image), 0.2))
    old = F.leaky_relu(discriminator.from_images[0](F.avg_pool2d(image, 2)), 0.2)
    expected = discriminator.head(0.7 * old + 0.3 * new)
    torch.testing.assert_close(discriminator([image], Growth(8, 0.3))[0], expected)


@pytest.mark.parametrize(
    ("growth", "blocks", "ends"),
    [
        (Growth(4), set(), {0}),
        (Growth(8, 0.5), {0}, {0, 1}),
        (Growth(16, 0.5), {0, 1}, {1, 2}),
        (Growth(16), {0, 1}, {2}),
        (Growth(32), {0, 1, 2}, {3}),
    ],
    ids=str,
)
def test_gradients_reach_what_a_stage_uses_and_nothing_else(
    growth: Growth, blocks: set[int], ends: set[int]
) -> None:
    generator, discriminator = make_generator(), make_discriminator()
    images = generator(normal(4, 8), growth)
    discriminator(images, growth)[0].square().sum().backward()

    def expected_idle(network: torch.nn.Module, end: str) -> set[str]:
        return {
            name
            for name, _ in network.named_parameters()
            if (name.startswith("blocks.") and int(name.split(".")[1]) not in blocks)
            or (name.startswith(end) and int(name.split(".")[1]) not in ends)
        }

    assert idle_parameters(generator) == expected_idle(generator, "to_images.")
    assert idle_parameters(discriminator) == expected_idle(discriminator, "from_images.")
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is None or parameter.grad.abs().max() > 0, name


def test_state_does_not_depend_on_growth() -> None:
    generator, discriminator = make_generator(), make_discriminator()
    names = [list(network.state_dict()) for network in (generator, discriminator)]
    for growth in (Growth(4), Growth(16, 0.5), Growth(32)):
        images = generator(normal(2, 8), growth)
        discriminator(images, growth)
        assert [list(network.state_dict()) for network in (generator, discriminator)] == names
    assert not list(generator.buffers())
    assert not list(discriminator.buffers())


def test_weights_of_a_small_network_fit_the_first_stages_of_a_large_one() -> None:
    small, large, latent = make_generator(16), make_generator(32), normal(2, 8)
    missing, unexpected = large.load_state_dict(small.state_dict(), strict=False)
    assert not unexpected
    assert missing
    assert all(name.startswith(("blocks.2.", "to_images.3.")) for name in missing)
    assert torch.equal(large(latent, Growth(16))[0], small(latent)[0])


def test_latent_rows_do_not_depend_on_how_many_are_drawn() -> None:
    generator = PGGANGenerator(8, 1, latent_size=5, width=4)
    latents = [
        generator.draw_latent(count, torch.Generator().manual_seed(3)) for count in (1, 2, 5)
    ]
    assert torch.equal(latents[2][:2], latents[1])
    assert torch.equal(latents[1][:1], latents[0])
    assert latents[2].dtype == torch.float32
    assert generator.draw_latent(0).shape == (0, 5)
    many = generator.draw_latent(4000, torch.Generator().manual_seed(0))
    assert many.mean().item() == pytest.approx(0, abs=0.03)
    assert many.std().item() == pytest.approx(1, abs=0.03)


def test_only_the_latent_s_direction_matters() -> None:
    generator, latent = make_generator(), normal(2, 8)
    torch.testing.assert_close(generator(7 * latent)[0], generator(latent)[0], rtol=0, atol=1e-6)


def test_generated_images_of_a_batch_are_independent() -> None:
    generator, latent = make_generator(), normal(3, 8)
    together = generator(latent)[0]
    alone = torch.cat([generator(latent[i : i + 1])[0] for i in range(3)])
    assert (together - alone).abs().max() < 1e-12


def test_groups_of_four_are_tied_and_others_are_not() -> None:
    discriminator, images = make_discriminator(8), normal(8, 1, 8, 8)
    [logits] = discriminator([images])
    torch.testing.assert_close(discriminator([images[4:]])[0], logits[4:], rtol=0, atol=1e-12)
    assert (discriminator([images[4:6]])[0] - logits[4:6]).abs().max() > 1e-6


def test_logits_can_be_differentiated_twice() -> None:
    discriminator = make_discriminator(8, width=4)
    image = normal(3, 1, 8, 8).requires_grad_()
    for growth in (Growth(8), Growth(8, 0.4)):
        assert torch.autograd.gradgradcheck(
            lambda value, growth=growth: discriminator([value], growth)[0], image, fast_mode=True
        )


def test_gradient_penalty_moves_the_discriminator_s_weights_as_finite_differences_say() -> None:
    discriminator = make_discriminator(8, width=4)
    image = normal(3, 1, 8, 8).requires_grad_()
    weight = discriminator.blocks[0].first.weight

    def penalty() -> torch.Tensor:
        [logits] = discriminator([image])
        [gradient] = torch.autograd.grad(logits.sum(), image, create_graph=True)
        return (gradient.square().sum(dim=(1, 2, 3)).sqrt() - 1).square().mean()

    [analytic] = torch.autograd.grad(penalty(), weight)
    step, direction = 1e-6, normal(*weight.shape, seed=5)
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight += sign * step * direction
        values.append(penalty().item())
        with torch.no_grad():
            weight -= sign * step * direction
    expected = (values[0] - values[1]) / (2 * step)
    assert (analytic * direction).sum().item() == pytest.approx(expected, rel=1e-4)
    assert abs(expected) > 1e-3


@pytest.mark.parametrize("growth", [Growth(16), Growth(16, 0.5)], ids=str)
def test_autocast_gives_float32_near_the_exact_result(growth: Growth) -> None:
    generator, discriminator = make_generator(16).float(), make_discriminator(16).float()
    latent = normal(4, 8).float()
    [image] = generator(latent, growth)
    [logits] = discriminator([image], growth)
    with torch.autocast("cpu", torch.bfloat16):
        [rounded] = generator(latent, growth)
        [rounded_logits] = discriminator([image.detach()], growth)
    assert rounded.dtype == rounded_logits.dtype == torch.float32
    torch.testing.assert_close(rounded, image, rtol=0, atol=0.1)
    torch.testing.assert_close(rounded_logits, logits, rtol=0.05, atol=0.1)


def test_channels_last_gives_the_same() -> None:
    generator, discriminator, latent = make_generator(), make_discriminator(), normal(4, 8)
    [image] = generator(latent)
    [logits] = discriminator([image])
    generator.to(memory_format=torch.channels_last)
    discriminator.to(memory_format=torch.channels_last)
    [other] = generator(latent)
    torch.testing.assert_close(other, image, rtol=0, atol=1e-12)
    [other] = discriminator([image.to(memory_format=torch.channels_last)])
    torch.testing.assert_close(other, logits, rtol=0, atol=1e-11)


@pytest.mark.parametrize("make", [PGGANGenerator, PGGANDiscriminator])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": 48, "image_channels": 1}, "image_size is 48, expected a power of two"),
        ({"image_size": 4, "image_channels": 1}, "image_size is 4"),
        ({"image_size": 32, "image_channels": 0}, "image_channels is 0"),
        (
            {"image_size": 512, "image_channels": 1, "width": 16},
            "width is 16, expected at least 32 at 512 pixels",
        ),
        ({"image_size": 8, "image_channels": 1, "width": 1}, "width is 1, expected at least 2"),
    ],
)
def test_settings_out_of_range_are_refused(make: type, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**settings)


def test_wrong_inputs_are_refused() -> None:
    generator, discriminator = make_generator(), make_discriminator()
    with pytest.raises(ValueError, match=r"latent is \(2, 7\), expected \(N, 8\)"):
        generator(normal(2, 7))
    with pytest.raises(ValueError, match="resolution is 64, but the network ends at 32"):
        generator(normal(2, 8), Growth(64))
    with pytest.raises(ValueError, match=r"are \[\(1, 32, 32\)\], expected \[\(1, 16, 16\)\]"):
        discriminator([normal(2, 1, 32, 32)], Growth(16))
    with pytest.raises(ValueError, match="one tensor per resolution"):
        discriminator([normal(2, 1, 32, 32), normal(2, 1, 16, 16)])
