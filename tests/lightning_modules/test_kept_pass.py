"""A step that keeps the generator's pass, fuses its optimisers and lays features out by pixel.

It trains as the plain step does: a pass for each network, Adam in single operations, features by
channel.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import networks
from lightning_modules import GAN, GrowingGAN, Pix2Pix
from lightning_modules.gan_settings import Augmentation, Penalties
from lightning_modules.step.seeds import derived_seed
from lightning_modules.training_module import TrainingModule
from losses.adversarial import discriminator_loss, generator_loss
from losses.reconstruction import feature_matching_loss
from networks.equalised import by_pixel
from networks.growth import Growth
from tests.training_runs import cpu_trainer

SIZE, STEPS = 32, 3


def gan(kind: type[GAN], generator: Any, discriminator: Any, **settings: Any) -> GAN:
    torch.manual_seed(0)
    module = kind(generator=generator, discriminator=discriminator, image_size=SIZE, **settings)
    if isinstance(module, GrowingGAN):
        module.has_schedule, module.growth = True, Growth(SIZE, 0.5)
    return module


STYLE = {"style_size": 8, "width": 8, "mapping_layers": 1}
MODULES: dict[str, Callable[[], GAN]] = {
    "multi_scale": lambda: gan(
        GAN,
        partial(networks.MultiScaleGenerator, latent_size=8, width=8),
        partial(networks.MultiScaleDiscriminator, width=8),
        penalties=Penalties(r1=1.0, r1_every=2),
        augmentation=Augmentation(probability=0.5),
    ),
    "stylegan2": lambda: gan(
        GAN,
        partial(networks.StyleGAN2Generator, **STYLE),
        partial(networks.StyleGAN2Discriminator, width=8),
        loss="non_saturating",
        penalties=Penalties(r1=10.0, r1_every=2, path_length=2.0, path_length_every=2),
    ),
    "stylegan": lambda: gan(
        GrowingGAN,
        partial(networks.StyleGANGenerator, **STYLE),
        partial(networks.StyleGANDiscriminator, width=8),
        loss="non_saturating",
        penalties=Penalties(r1=10.0),
    ),
    "pggan": lambda: gan(
        GrowingGAN,
        partial(networks.PGGANGenerator, latent_size=8, width=8),
        partial(networks.PGGANDiscriminator, width=8),
        loss="wgan_gp",
        penalties=Penalties(drift=0.001),
    ),
    "dcgan": lambda: gan(
        GAN,
        partial(networks.DCGANGenerator, width=8),
        partial(networks.DCGANDiscriminator, width=8),
        loss="non_saturating",
    ),
}


def batches(labels: int = 0) -> list[dict[str, Tensor]]:
    torch.manual_seed(1)
    made = [{"image": torch.rand(4, 1, SIZE, SIZE) * 2 - 1} for _ in range(STEPS)]
    if labels:
        for batch in made:
            batch["mask"] = torch.randint(0, labels, (4, SIZE, SIZE))
    return [{k: v.double() if k == "image" else v for k, v in one.items()} for one in made]


def fitted(module: TrainingModule, given: Any) -> dict[str, float]:
    """The losses of the last step.

    In float64, in which another order of sums shows at digit 15. Adam makes more of that where a
    gradient is 0 but for rounding.
    """
    trainer = cpu_trainer(STEPS, precision="64-true", log_every_n_steps=1)
    trainer.fit(module, train_dataloaders=DataLoader(given, batch_size=None))
    return module.reported


def plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass for each network's step, unfused optimisers, features by channel."""
    monkeypatch.setattr(TrainingModule, "keeps_pass", False)
    for place in ("progressive_blocks", "se_msg_pggan", "pggan", "stylegan", "stylegan2"):
        monkeypatch.setattr(f"networks.{place}.by_pixel", lambda features: features)
    adam = torch.optim.Adam
    monkeypatch.setattr(torch.optim, "Adam", lambda *a, **k: adam(*a, **{**k, "fused": False}))


def difference(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


@pytest.mark.parametrize("name", MODULES)
def test_weights_and_losses_are_those_of_the_plain_step(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast, start = MODULES[name](), MODULES[name]()
    losses = fitted(fast, batches())
    with monkeypatch.context() as patch:
        plainly(patch)
        plain = MODULES[name]()
        expected = fitted(plain, batches())
    assert difference(fast, plain) < 1e-6
    assert losses == pytest.approx(expected, rel=1e-8)
    for network in ("generator", "discriminator"):
        assert difference(getattr(fast, network), getattr(start.double(), network)) > 1e-4


def pix2pix(micro_batches: int = 1) -> Pix2Pix:
    torch.manual_seed(0)
    return Pix2Pix(
        generator=partial(networks.Pix2PixGenerator, width=4, noise_channels=2, pixel_noise=True),
        discriminator=partial(networks.MultiScalePatchDiscriminator, width=4, num_layers=2),
        image_size=SIZE,
        num_classes=3,
        feature_matching_weight=10.0,
        decay_from=1.0,
        micro_batches=micro_batches,
    )


def test_pix2pix_trains_as_a_loop_written_out_does() -> None:
    module = pix2pix()
    reference = copy.deepcopy(module).double()
    fitted(module, batches(labels=3))
    judge, paint = reference.discriminator, reference.generator
    adams = [torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (paint, judge)]
    for step, batch in enumerate(batches(labels=3)):
        seeds = [derived_seed(module.seed, "noise", step, row) for row in range(4)]
        condition = reference.one_hot(batch["mask"])
        torch.set_default_dtype(torch.float64)  # in which the trainer's step draws
        noise = reference.noise_rows(seeds)
        torch.set_default_dtype(torch.float32)

        def scores(image: Tensor, condition: Tensor = condition) -> Any:
            return judge(torch.cat([condition, image], dim=1))

        with torch.no_grad():
            fake = paint(condition, noise)
        real_scores, fake_scores = scores(batch["image"]), scores(fake)
        loss = discriminator_loss(
            [one for one, _ in real_scores], [one for one, _ in fake_scores], "vanilla"
        )
        judge.zero_grad()
        loss.backward()
        adams[1].step()
        fake = paint(condition, noise)
        real_scores, fake_scores = scores(batch["image"]), scores(fake)
        loss = generator_loss([one for one, _ in fake_scores], "vanilla")
        loss = loss + 100 * (fake - batch["image"]).abs().mean()
        loss = loss + 10 * feature_matching_loss(
            [features for _, features in real_scores], [features for _, features in fake_scores]
        )
        paint.zero_grad()
        loss.backward()
        adams[0].step()
    assert difference(module, reference) < 1e-10


@pytest.mark.parametrize(("micro_batches", "passes"), [(1, 1), (2, 4)])
def test_generator_passes_once_unless_micro_batches_shall_save_memory(
    micro_batches: int, passes: int
) -> None:
    module = pix2pix(micro_batches)
    counted = []
    module.generator.register_forward_hook(lambda *_: counted.append(1))
    fitted(module, batches(labels=3)[:1])
    assert len(counted) == passes


def test_features_are_laid_out_by_pixel_whatever_their_channels() -> None:
    """A single channel too, of which torch cannot tell the layout; the numbers stay."""
    image = torch.rand(2, 1, 8, 8)
    weight = torch.rand(4, 1, 1, 1)
    made = nn.functional.conv2d(by_pixel(image), weight)
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(by_pixel(image), image)
