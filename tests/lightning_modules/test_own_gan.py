"""A GAN of networks that are written here: ten lines each, and nothing that inherits from ours."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from datamodules import ChestXrayDataModule
from generation.interpolation import frames_between
from lightning_modules import GAN, Pix2Pix
from lightning_modules.gan_settings import Penalties
from networks import MultiScalePatchDiscriminator
from networks.growth import Growth
from provenance import UserError
from tests.training_runs import cpu_trainer


class ToyGenerator(nn.Module):
    def __init__(self, image_size: int, image_channels: int) -> None:
        super().__init__()
        self.shape = (image_channels, image_size, image_size)
        self.layer = nn.Linear(6, image_channels * image_size**2)

    def draw_latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(count, 6, generator=generator)

    def forward(self, latent: Tensor, growth: Growth | None = None) -> list[Tensor]:
        return [self.layer(latent).tanh().unflatten(1, self.shape)]


class ToyDiscriminator(nn.Module):
    def __init__(self, image_size: int, image_channels: int) -> None:
        super().__init__()
        self.layer = nn.Linear(image_channels * image_size**2, 1)

    def forward(self, images: list[Tensor], growth: Growth | None = None) -> list[Tensor]:
        return [self.layer(image.flatten(1)) for image in images]


class WithoutDraws(nn.Module):
    def __init__(self, *settings: int) -> None:
        super().__init__()


def networks_of(module: GAN) -> tuple[nn.Module, ...]:
    return module.generator, module.discriminator, module.averaged.network


def test_own_networks_train_and_make_images(
    film_cache: Callable[..., Path], tmp_path: Path
) -> None:
    module = GAN(ToyGenerator, ToyDiscriminator, image_size=32, penalties=Penalties(r1=1.0))
    weights = [net.get_parameter("layer.weight") for net in networks_of(module)]
    start = [weight.detach().clone() for weight in weights]
    data = ChestXrayDataModule(str(film_cache(tmp_path / "films")), batch_size=4)
    trainer = cpu_trainer()
    trainer.fit(module, datamodule=data)
    assert module.steps_done == 2
    assert module.images_seen == 8
    assert trainer.callback_metrics["train/r1"] > 0
    for before, after in zip(start, weights, strict=True):
        assert not torch.equal(before, after)

    images = module.synthesise([1, 2, 3])
    assert images.shape == (3, 1, 32, 32)
    torch.testing.assert_close(module.synthesise([2]), images[1:2])
    frames = list(frames_between(module, seed=0, stops=2, frames_per_stop=2))
    assert [frame.shape for frame in frames] == [(32, 32)] * 4


def test_what_own_networks_lack_is_named() -> None:
    with pytest.raises(UserError, match="a WithoutDraws lacks draw_latent, which a GAN calls"):
        GAN(WithoutDraws, ToyDiscriminator, image_size=32)
    with pytest.raises(UserError, match=r"a ToyGenerator lacks mapping, noise_of, synthesis\. Set"):
        GAN(ToyGenerator, ToyDiscriminator, image_size=32, penalties=Penalties(path_length=2.0))
    module = GAN(ToyGenerator, ToyDiscriminator, image_size=32)
    with pytest.raises(UserError, match=r"styles.* lacks mapping, noise_of, synthesis\)\. Leave"):
        module.synthesise([0], truncation=0.5)
    with pytest.raises(UserError, match="a WithoutDraws lacks draw_noise, which Pix2Pix calls"):
        Pix2Pix(WithoutDraws, MultiScalePatchDiscriminator, image_size=32, num_classes=3)
