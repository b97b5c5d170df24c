import copy

import torch
from torch import Tensor

from networks.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator
from tests.networks.small_stylegan2 import normal, rows, seeded, small_generator


def test_gradients_of_the_generator_to_second_order() -> None:
    network = small_generator(8)
    noise = network.split_latent(rows(network, 1)).noise
    directions = normal(4, 1, 8, 8, seed=2)

    def image(styles: Tensor) -> Tensor:
        return (network.synthesis(styles, noise) * directions).sum(dim=(2, 3))

    styles = network.mapping(rows(network, 1)).detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(image, (styles,))
    assert torch.autograd.gradgradcheck(image, (styles,), fast_mode=True)


def test_gradients_of_the_discriminator_to_second_order() -> None:
    torch.manual_seed(0)
    network = StyleGAN2Discriminator(8, 1, width=3).double()
    images = normal(2, 1, 8, 8).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: network([x])[0], (images,))
    assert torch.autograd.gradgradcheck(lambda x: network([x])[0], (images,), fast_mode=True)


def test_gradient_reaches_every_parameter() -> None:
    generator = small_generator(16).train()
    discriminator = StyleGAN2Discriminator(16, 1, width=8).double()
    (discriminator(generator(rows(generator, 4)))[0] ** 2).sum().backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


def test_path_length_and_gradient_penalty_reach_the_weights() -> None:
    generator = small_generator(16).train()
    latent = rows(generator, 2)
    styles = generator.mapping(latent)
    image = generator.synthesis(styles, generator.split_latent(latent).noise)
    [gradient] = torch.autograd.grad(
        (image * normal(*image.shape)).sum(), styles, create_graph=True
    )
    gradient.square().sum(dim=2).mean(dim=1).sqrt().var().backward()
    for name in ("constant", "first.conv.weight", "mapping_network.layers.0.weight"):
        found = generator.get_parameter(name).grad
        assert found is not None, name
        assert found.abs().max() > 0, name

    discriminator = StyleGAN2Discriminator(16, 1, width=8).double()
    images = normal(4, 1, 16, 16).requires_grad_()
    [gradient] = torch.autograd.grad(discriminator([images])[0].sum(), images, create_graph=True)
    gradient.square().sum().backward()
    for name in ("from_image.weight", "blocks.0.straight.weight", "to_logit.weight"):
        found = discriminator.get_parameter(name).grad
        assert found is not None, name
        assert found.abs().max() > 0, name


def test_bfloat16_autocast_stays_near_float32_and_images_stay_in_it() -> None:
    torch.manual_seed(0)
    generator, discriminator = StyleGAN2Generator(32, 1, 32, 32), StyleGAN2Discriminator(32, 1, 32)
    latent = generator.eval().draw_latent(4, seeded())
    [image] = generator(latent)
    [logits] = discriminator([image])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        [rough_image] = generator(latent)
        [rough_logits] = discriminator([image])
        exact_styles = generator.mapping(latent)
    assert torch.equal(exact_styles, generator.mapping(latent))
    assert rough_image.dtype == rough_logits.dtype == torch.float32
    assert (rough_image - image).abs().max() < 0.05 * image.abs().max()
    assert (rough_logits - logits).abs().max() < 0.1
    rough_logits.sum().backward()


def test_channels_last_changes_no_value() -> None:
    generator = small_generator()
    discriminator = StyleGAN2Discriminator(16, 1, width=8).double()
    other_generator, other_discriminator = (
        copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for network in (generator, discriminator)
    )
    latent = rows(generator, 4)
    [image], [other_image] = generator(latent), other_generator(latent)
    assert torch.allclose(image, other_image, atol=1e-12)
    assert torch.allclose(discriminator([image])[0], other_discriminator([other_image])[0])
