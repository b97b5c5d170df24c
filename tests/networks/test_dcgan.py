from typing import Literal

import pytest
import torch
from torch import Tensor

from networks.dcgan import DCGANDiscriminator, DCGANGenerator


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def num_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def films(count: int, size: int, channels: int = 1) -> Tensor:
    return torch.rand(count, channels, size, size, generator=seeded()) * 2 - 1


@pytest.mark.parametrize(("size", "channels"), [(32, 1), (64, 3), (128, 1), (256, 1), (512, 1)])
def test_shapes(size: int, channels: int) -> None:
    generator = DCGANGenerator(size, channels, latent_size=5, width=2)
    discriminator = DCGANDiscriminator(size, channels, width=2)
    with torch.no_grad():
        [image] = generator(generator.draw_latent(2, seeded()))
        [logits] = discriminator([image])
    assert image.shape == (2, channels, size, size)
    assert image.abs().max() <= 1
    assert logits.shape == (2, 1)


def test_parameter_counts_are_those_of_torch_s_own_example() -> None:
    # The DCGAN of pytorch/examples, nz 100, ngf and ndf 64, nc 3.
    assert num_parameters(DCGANGenerator(64, 3)) == 3_576_704
    assert num_parameters(DCGANDiscriminator(64, 3)) == 2_765_568


def test_width_128_has_the_paper_s_channels() -> None:
    layers = [
        m for m in DCGANGenerator(64, 3, width=128).modules() if type(m) is torch.nn.ConvTranspose2d
    ]
    assert [layer.out_channels for layer in layers] == [1024, 512, 256, 128, 3]


@pytest.mark.parametrize("network", [DCGANGenerator, DCGANDiscriminator])
def test_initial_weights(network: type[torch.nn.Module]) -> None:
    torch.manual_seed(0)
    for name, parameter in network(64, 1).named_parameters():
        spread, mean = parameter.std().item(), parameter.mean().item()
        if parameter.dim() == 4:
            assert spread == pytest.approx(0.02, rel=0.03), name
            assert abs(mean) < 0.001, name
        elif name.endswith("weight"):
            assert mean == pytest.approx(1.0, abs=0.01), name
            assert spread == pytest.approx(0.02, rel=0.3), name
        else:
            assert parameter.abs().max() == 0, name


def test_rows_are_drawn_one_by_one() -> None:
    generator = DCGANGenerator(32, 1, width=2)
    latent = generator.draw_latent(5, seeded(3))
    assert latent.shape == (5, generator.latent_size)
    assert latent.dtype == torch.float32
    assert torch.equal(latent[:2], generator.draw_latent(2, seeded(3)))


@pytest.mark.parametrize(("normalization", "independent"), [("group", True), ("batch", False)])
def test_group_norm_makes_images_independent_of_their_batch_and_batch_norm_does_not(
    normalization: Literal["group", "batch"], independent: bool
) -> None:
    generator = DCGANGenerator(32, 1, width=8, normalization=normalization).double()
    latent = generator.draw_latent(4, seeded()).double()
    halves = torch.cat([generator(latent[:2])[0], generator(latent[2:])[0]])
    assert ((generator(latent)[0] - halves).abs().max() < 1e-12) == independent

    discriminator = DCGANDiscriminator(32, 1, width=8, normalization=normalization).double()
    images = films(4, 32).double()
    halves = torch.cat([discriminator([images[:2]])[0], discriminator([images[2:]])[0]])
    assert ((discriminator([images])[0] - halves).abs().max() < 1e-12) == independent


def test_running_statistics_make_images_independent_in_evaluation() -> None:
    generator = DCGANGenerator(32, 1, width=4).double()
    latent = generator.draw_latent(4, seeded()).double()
    generator(latent)
    generator.eval()
    assert (generator(latent)[0][:1] - generator(latent[:1])[0]).abs().max() < 1e-12


@pytest.mark.parametrize("normalization", ["batch", "group"])
def test_gradient_reaches_every_parameter(normalization: Literal["group", "batch"]) -> None:
    torch.manual_seed(0)
    generator = DCGANGenerator(32, 1, width=4, normalization=normalization)
    discriminator = DCGANDiscriminator(32, 1, width=4, normalization=normalization)
    (discriminator(generator(generator.draw_latent(4, seeded())))[0] ** 2).sum().backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("normalization", ["batch", "group"])
def test_gradient_penalty_reaches_the_weights(normalization: Literal["group", "batch"]) -> None:
    torch.manual_seed(0)
    discriminator = DCGANDiscriminator(32, 1, width=4, normalization=normalization)
    images = films(4, 32).requires_grad_()
    [gradient] = torch.autograd.grad(discriminator([images])[0].sum(), images, create_graph=True)
    gradient.square().sum().backward()
    first = next(discriminator.parameters())
    assert first.grad is not None
    assert first.grad.abs().max() > 0


def test_bfloat16_autocast_leaves_images_and_logits_in_float32() -> None:
    generator, discriminator = DCGANGenerator(32, 1, width=4), DCGANDiscriminator(32, 1, width=4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        images = generator(generator.draw_latent(4, seeded()))
        [logits] = discriminator(images)
    assert images[0].dtype == logits.dtype == torch.float32


def test_wrong_settings_and_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"DCGANGenerator: image_size is 16, .*from 32 up"):
        DCGANGenerator(16, 1)
    with pytest.raises(ValueError, match=r"image_size is 96"):
        DCGANDiscriminator(96, 1)
    with pytest.raises(ValueError, match=r"width is 0"):
        DCGANGenerator(32, 1, width=0)
    with pytest.raises(ValueError, match=r"'instance', expected 'batch' or 'group'"):
        DCGANGenerator(32, 1, normalization="instance")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\(2, 7\), expected \(N, 100\)"):
        DCGANGenerator(32, 1, width=2)(torch.zeros(2, 7))
    with pytest.raises(ValueError, match=r"\(1, 64, 64\)"):
        DCGANDiscriminator(32, 1, width=2)([films(2, 64)])
