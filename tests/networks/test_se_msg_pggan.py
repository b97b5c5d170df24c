import pytest
import torch
from torch import nn

from networks.attention import SelfAttention, SqueezeExcitation
from networks.growth import Growth
from networks.pyramid import image_pyramid
from networks.se_msg_pggan import MultiScaleDiscriminator, MultiScaleGenerator

ATTENTIONS = ["none", "se", "self"]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def make(
    attention: str = "se", image_size: int = 32, width: int = 8, attention_at: int = 16
) -> tuple[MultiScaleGenerator, MultiScaleDiscriminator]:
    """Both networks in float64, with all that starts at zero away from it."""
    torch.manual_seed(0)
    settings: dict = {
        "width": width,
        "attention": attention,
        "self_attention_resolution": attention_at,
    }
    generator = MultiScaleGenerator(image_size, 1, latent_size=8, **settings)
    discriminator = MultiScaleDiscriminator(image_size, 1, **settings)
    with torch.no_grad():
        for network in (generator, discriminator):
            for name, parameter in network.named_parameters():
                if name.endswith(("bias", "gamma", "expand.weight")):
                    parameter.normal_()
    return generator.double(), discriminator.double()


def num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def modules_of(network: nn.Module, kind: type) -> list[str]:
    return [name for name, module in network.named_modules() if isinstance(module, kind)]


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize(("image_size", "channels"), [(32, 1), (64, 3), (128, 1), (256, 2)])
def test_images_come_at_every_resolution_largest_first(
    image_size: int, channels: int, attention: str
) -> None:
    generator = MultiScaleGenerator(image_size, channels, 8, 32, attention)  # type: ignore[arg-type]
    discriminator = MultiScaleDiscriminator(image_size, channels, 32, attention)  # type: ignore[arg-type]
    with torch.no_grad():
        images = generator(generator.draw_latent(2))
        logits = discriminator(images)
    sides = [image_size >> halvings for halvings in range(image_size.bit_length() - 2)]
    assert sides[-1] == 4
    assert [image.shape for image in images] == [(2, channels, side, side) for side in sides]
    assert [logit.shape for logit in logits] == [(2, 1)]


def test_networks_at_512_pixels_have_the_progressive_gan_s_size() -> None:
    # PGGAN has 23.075 M in each network. In the discriminator, each block's second layer has half
    # the outputs, since entering images bring the rest: 3 x 1.180 + 0.590 + 0.147 + 0.037 + 0.009 M
    # fewer. Squeeze and excitation has 2 x 512 x 32 weights at each of 4 resolutions, a quarter of
    # it at every further one, and 0.003 M biases; self-attention 4 x 512 x 64 weights.
    generators = {"none": 23.075, "se": 23.075 + 0.131 + 0.011 + 0.003, "self": 23.075 + 0.131}
    for attention, expected in generators.items():
        generator = MultiScaleGenerator(512, 1, attention=attention)  # type: ignore[arg-type]
        assert num_parameters(generator) / 1e6 == pytest.approx(expected, abs=0.002)
        discriminator = MultiScaleDiscriminator(512, 1, attention=attention)  # type: ignore[arg-type]
        assert num_parameters(discriminator) / 1e6 == pytest.approx(expected - 4.322, abs=0.005)


def test_small_resolutions_are_wider_where_told_so() -> None:
    """And hold most of the weights: a network of width 8 is small for want of them."""
    sizes = []
    for most in (None, 32):
        generator = MultiScaleGenerator(64, 1, latent_size=8, width=8, max_channels=most).double()
        discriminator = MultiScaleDiscriminator(64, 1, width=8, max_channels=most).double()
        images = generator(normal(4, 8))
        assert discriminator(images)[0].shape == (4, 1)
        counts = [layer.weight.shape[1] for layer in generator.to_images]
        assert counts == ([8, 8, 8, 8, 4] if most is None else [32, 32, 16, 8, 4])
        sizes.append(num_parameters(generator) + num_parameters(discriminator))
    assert sizes[1] > 5 * sizes[0]


def test_attention_stands_where_it_was_asked_for() -> None:
    for network in make("se"):
        assert len(modules_of(network, SqueezeExcitation)) == 4
    for network in make("none"):
        assert not modules_of(network, SqueezeExcitation) + modules_of(network, SelfAttention)
    for network in make("self", attention_at=16):
        assert modules_of(network, SelfAttention) == ["blocks.1.middle"]
    generator, discriminator = make("self", attention_at=4)
    assert modules_of(generator, SelfAttention) == ["stem.middle"]
    assert modules_of(discriminator, SelfAttention) == ["head.middle"]
    assert {name.rsplit(".", 1)[1] for name in modules_of(make("se")[0], SqueezeExcitation)} == {
        "middle"
    }


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_every_image_gets_a_gradient_and_every_parameter_too(attention: str) -> None:
    generator, discriminator = make(attention)
    images = generator(normal(4, 8))
    for image in images:
        image.retain_grad()
    discriminator(images)[0].square().sum().backward()
    for image in images:
        assert image.grad is not None
        # Not only somewhere: at every pixel.
        assert (image.grad.abs() > 0).all()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            # A constant added to all keys changes no softmax: that bias moves by rounding only.
            assert name.endswith("key.bias") or parameter.grad.abs().max() > 1e-12, name


@pytest.mark.parametrize("scale", [0, 1, 2, 3])
def test_each_scale_s_image_trains_the_blocks_up_to_it(scale: int) -> None:
    generator, _ = make()
    image = generator(normal(2, 8))[scale]
    image.square().sum().backward()
    trained = [block for block in range(3) if generator.blocks[block].first.weight.grad is not None]
    assert trained == list(range(3 - scale))
    assert generator.stem.first.weight.grad is not None


def test_discriminator_concatenates_the_entering_image_s_features() -> None:
    _, discriminator = make("none", image_size=8, width=6)
    large, small = normal(4, 1, 8, 8), normal(4, 1, 4, 4, seed=1)
    leaky = nn.LeakyReLU(0.2)
    above = discriminator.blocks[0](leaky(discriminator.from_images[1](large)))
    entering = leaky(discriminator.from_images[0](small))
    assert above.shape == entering.shape == (4, 3, 4, 4)
    expected = discriminator.head(torch.cat([above, entering], dim=1))
    torch.testing.assert_close(discriminator([large, small])[0], expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("attention", ["se", "self"])
def test_fresh_attention_changes_nothing(attention: str) -> None:
    plain_generator, plain_discriminator = make("none")
    generator = MultiScaleGenerator(32, 1, 8, 8, attention).double()  # type: ignore[arg-type]
    discriminator = MultiScaleDiscriminator(32, 1, 8, attention).double()  # type: ignore[arg-type]
    generator.load_state_dict(plain_generator.state_dict(), strict=False)
    discriminator.load_state_dict(plain_discriminator.state_dict(), strict=False)
    images = generator(normal(2, 8))
    for image, expected in zip(images, plain_generator(normal(2, 8)), strict=True):
        assert torch.equal(image, expected)
    assert torch.equal(discriminator(images)[0], plain_discriminator(images)[0])


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_logits_can_be_differentiated_twice(attention: str) -> None:
    _, discriminator = make(attention, image_size=8, width=4, attention_at=4)
    images = tuple(image.requires_grad_() for image in image_pyramid(normal(3, 1, 8, 8), 2))

    def judge(*scales: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = discriminator(list(scales))[0]
        return logits

    assert torch.autograd.gradcheck(judge, images, fast_mode=True)
    assert torch.autograd.gradgradcheck(judge, images, fast_mode=True)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_autocast_gives_float32_near_the_exact_result(attention: str) -> None:
    generator, discriminator = (network.float() for network in make(attention))
    latent = normal(4, 8).float()
    images = generator(latent)
    [logits] = discriminator(images)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = generator(latent)
        [rounded_logits] = discriminator([image.detach() for image in images])
        rounded_logits.sum().backward()
    assert {image.dtype for image in rounded} == {torch.float32} == {rounded_logits.dtype}
    for image, exact in zip(rounded, images, strict=True):
        assert (image - exact).square().mean().sqrt() < 0.05
    torch.testing.assert_close(rounded_logits, logits, rtol=0.1, atol=0.2)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_channels_last_gives_the_same(attention: str) -> None:
    generator, discriminator = make(attention)
    latent = normal(4, 8)
    images = generator(latent)
    [logits] = discriminator(images)
    for network in (generator, discriminator):
        network.to(memory_format=torch.channels_last)
    others = generator(latent)
    for other, image in zip(others, images, strict=True):
        torch.testing.assert_close(other, image, rtol=0, atol=1e-11)
    torch.testing.assert_close(discriminator(others)[0], logits, rtol=1e-10, atol=1e-10)


def test_pyramid_holds_exact_means() -> None:
    image = normal(2, 3, 16, 8)
    scales = image_pyramid(image, 4)
    assert scales[0] is image
    for index, scale in enumerate(scales):
        side = 2**index
        blocks = image.unflatten(2, (-1, side)).unflatten(4, (-1, side))
        torch.testing.assert_close(scale, blocks.mean(dim=(3, 5)), rtol=0, atol=1e-14)
        torch.testing.assert_close(scale.mean(), image.mean(), rtol=0, atol=1e-14)
    assert len(image_pyramid(image, 1)) == 1


def test_pyramid_refuses_what_it_cannot_halve() -> None:
    with pytest.raises(ValueError, match="12x16 pixels cannot be halved 3 times"):
        image_pyramid(normal(1, 1, 12, 16), 4)
    with pytest.raises(ValueError, match="num_scales is 0"):
        image_pyramid(normal(1, 1, 8, 8), 0)


def test_wrong_settings_and_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="attention is 'cbam', expected 'none', 'se' or 'self'"):
        MultiScaleGenerator(32, 1, attention="cbam")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"self_attention_resolution is 64, .* \[4, 8, 16, 32\]"):
        MultiScaleDiscriminator(32, 1, attention="self", self_attention_resolution=64)
    with pytest.raises(ValueError, match="image_size is 33"):
        MultiScaleGenerator(33, 1)
    generator, discriminator = make()
    with pytest.raises(ValueError, match="does not grow"):
        generator(normal(2, 8), Growth(16))
    images = generator(normal(2, 8))
    with pytest.raises(ValueError, match="does not grow"):
        discriminator(images, Growth(32))
    with pytest.raises(ValueError, match="one tensor per resolution, largest first"):
        discriminator(images[::-1])
    with pytest.raises(ValueError, match=r"are \[\(1, 32, 32\)\]"):
        discriminator(images[:1])
    with pytest.raises(ValueError, match="latent is"):
        generator(normal(2, 9))
