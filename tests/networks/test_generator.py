"""Every generator and discriminator has the methods that training and generation call."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import networks
from networks.generator import (
    ConditionalGenerator,
    ImageDiscriminator,
    ImageGenerator,
    StyleGenerator,
    missing_methods,
)

# These assignments are checked by mypy: names, arguments and types.
IMAGE_GENERATORS: list[Callable[[int, int], ImageGenerator]] = [
    networks.DCGANGenerator,
    networks.PGGANGenerator,
    networks.MultiScaleGenerator,
    networks.StyleGANGenerator,
    networks.StyleGAN2Generator,
]
DISCRIMINATORS: list[Callable[[int, int], ImageDiscriminator]] = [
    networks.DCGANDiscriminator,
    networks.PGGANDiscriminator,
    networks.MultiScaleDiscriminator,
    networks.StyleGANDiscriminator,
    networks.StyleGAN2Discriminator,
]
STYLE_GENERATORS: list[Callable[[int, int], StyleGenerator]] = [
    networks.StyleGANGenerator,
    networks.StyleGAN2Generator,
]
CONDITIONAL_GENERATOR: Callable[[int, int, int], ConditionalGenerator] = networks.Pix2PixGenerator


def test_no_generator_is_forgotten() -> None:
    named = {name for name in networks.__all__ if name.endswith("Generator")}
    assert named - {"ResNetGenerator"} == {  # which translates images
        made.__name__  # type: ignore[attr-defined]
        for made in (*IMAGE_GENERATORS, CONDITIONAL_GENERATOR)
    }


@pytest.mark.parametrize("make", IMAGE_GENERATORS)
def test_images_of_latents_come_largest_first(
    make: Callable[[int, int], ImageGenerator],
) -> None:
    network = make(32, 1)
    assert isinstance(network, ImageGenerator)
    latent = network.draw_latent(2, torch.Generator().manual_seed(0))
    assert latent.dim() == 2
    assert torch.equal(network.draw_latent(1, torch.Generator().manual_seed(0)), latent[:1])
    images = network.forward(latent, None)
    sides = [image.shape[-1] for image in images]
    assert sides == sorted(sides, reverse=True)
    assert [image.shape for image in images] == [(2, 1, side, side) for side in sides]
    assert sides[0] == 32


@pytest.mark.parametrize(("make", "judge"), zip(IMAGE_GENERATORS, DISCRIMINATORS, strict=True))
def test_discriminators_judge_what_their_generators_make(
    make: Callable[[int, int], ImageGenerator], judge: Callable[[int, int], ImageDiscriminator]
) -> None:
    generator, discriminator = make(32, 1), judge(32, 1)
    assert isinstance(discriminator, ImageDiscriminator)
    images = generator.forward(generator.draw_latent(2), None)
    assert all(len(logits) == 2 for logits in discriminator.forward(images, None))


@pytest.mark.parametrize("make", STYLE_GENERATORS)
def test_style_generators_image_lies_beyond_its_styles(
    make: Callable[[int, int], StyleGenerator],
) -> None:
    network = make(16, 1)
    assert isinstance(network, nn.Module)
    network.eval()
    latent = network.draw_latent(2, torch.Generator().manual_seed(0))
    [image] = network.forward(latent)
    made = network.synthesis(network.mapping(latent), network.noise_of(latent))
    assert torch.equal(made, image)
    [usual] = network.forward(latent, None, 0.0)
    assert torch.equal(
        usual, network.synthesis(network.mapping(latent, 0.0), network.noise_of(latent))
    )


def test_conditional_generator_paints_label_maps() -> None:
    network = CONDITIONAL_GENERATOR(3, 1, 32)
    assert isinstance(network, ConditionalGenerator)
    labels = nn.functional.one_hot(torch.zeros(2, 32, 32).long(), 3).permute(0, 3, 1, 2).float()
    noise = network.draw_noise(2, torch.Generator().manual_seed(0))
    assert network.forward(labels, noise, dropout=False).shape == (2, 1, 32, 32)


class Halfway(nn.Module):
    """Has styles, but nothing that makes images of them."""

    def draw_latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(count, 4, generator=generator)

    def forward(self, latent: Tensor, growth: object = None) -> list[Tensor]:
        return [latent[:, :, None, None]]

    def mapping(self, latent: Tensor, truncation: float = 1.0) -> Tensor:
        return latent[:, None]


def test_missing_methods_are_named() -> None:
    assert missing_methods(Halfway(), ImageGenerator) == ""
    assert not isinstance(Halfway(), StyleGenerator)
    assert missing_methods(Halfway(), StyleGenerator) == "noise_of, synthesis"
    assert missing_methods(nn.Linear(1, 1), ImageGenerator) == "draw_latent"
    assert missing_methods(nn.Linear(1, 1), ConditionalGenerator) == "draw_noise"
