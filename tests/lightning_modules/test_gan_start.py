"""A GAN that starts with another one's networks, at its resolution or a higher one."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import train
from callbacks.progressive_growth import ProgressiveGrowth
from lightning_modules.checkpoint_files import load_checkpoint_file
from lightning_modules.gan_start import take_over
from lightning_modules.growing_gan import Growth
from lightning_modules.loading import load_module, seen_by
from networks import (
    DCGANGenerator,
    MultiScaleDiscriminator,
    MultiScaleGenerator,
    PGGANDiscriminator,
    PGGANGenerator,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
    StyleGANDiscriminator,
    StyleGANGenerator,
)
from networks.style_layers import enlarge_image
from provenance import UserError

ROOT = Path(__file__).parents[2]


def enlarged(network: Any, **settings: Any) -> tuple[Any, Any]:
    """A network at 16 px, and one at 32 px that has taken it over."""
    torch.manual_seed(0)
    small = network(image_size=16, image_channels=1, width=4, **settings).eval()
    torch.manual_seed(1)
    large = network(image_size=32, image_channels=1, width=4, **settings).eval()
    take_over(large, small.state_dict(), False, "its network")
    return small, large


def test_pggan_at_its_earlier_stage_is_the_network_that_was() -> None:
    generator, larger = enlarged(PGGANGenerator, latent_size=8)
    latent = generator.draw_latent(3)
    images = generator(latent)
    assert torch.equal(larger(latent, Growth(16))[0], images[0])
    for network in (PGGANDiscriminator, StyleGANDiscriminator):
        discriminator, larger = enlarged(network)
        assert torch.equal(larger(images, Growth(16))[0], discriminator(images)[0])


def test_the_first_stylegan_at_its_earlier_stage_is_the_network_that_was() -> None:
    generator, larger = enlarged(StyleGANGenerator, style_size=8, mapping_layers=2)
    styles = generator.mapping(generator.draw_latent(2))[:, :1]
    small = generator.synthesis(styles.expand(-1, generator.num_layers, -1), None)
    large = larger.synthesis(styles.expand(-1, larger.num_layers, -1), None, Growth(16))
    assert torch.equal(large, small)


def test_the_multi_scale_gan_makes_the_smaller_images_that_it_made() -> None:
    generator, larger = enlarged(MultiScaleGenerator, latent_size=8)
    latent = generator.draw_latent(3)
    before, after = generator(latent), larger(latent)
    assert len(after) == len(before) + 1
    assert all(map(torch.equal, before, after[1:]))
    # The block of 16 px now gets half of its channels from above, so that layer alone is new.
    discriminator, larger = enlarged(MultiScaleDiscriminator)
    kept = {
        name: value
        for name, value in discriminator.state_dict().items()
        if not name.startswith("from_images.2.")
    }
    assert all(torch.equal(larger.state_dict()[name], value) for name, value in kept.items())


def test_stylegan2_starts_with_the_enlarged_images() -> None:
    generator, larger = enlarged(StyleGAN2Generator, style_size=8, mapping_layers=2)
    latent = generator.draw_latent(2)
    styles = generator.mapping(latent)[:, :1]
    small = generator.synthesis(styles.expand(-1, generator.num_layers, -1), None)
    large = larger.synthesis(styles.expand(-1, larger.num_layers, -1), None)
    torch.testing.assert_close(large, enlarge_image(small))
    # Yet the new layers learn: their gradient is not 0.
    larger.synthesis(styles.expand(-1, larger.num_layers, -1), None).square().mean().backward()
    assert larger.to_images[-1].conv.weight.grad.abs().max() > 0


def test_stylegan2_s_discriminator_judges_features_of_16_px_as_before() -> None:
    small, large = enlarged(StyleGAN2Discriminator)

    def judged(network: Any, features: Tensor) -> Tensor:
        """From the features of 16 px on."""
        inner: list[nn.Module] = list(network.blocks)[-2:]
        network.blocks = nn.ModuleList(inner)
        network.from_image = nn.Identity()
        network.image_size, network.image_channels = 16, features.shape[1]
        scores: Tensor = network([features])[0]
        return scores

    features = torch.randn(4, small.blocks[0].first.weight.shape[1], 16, 16)
    assert torch.equal(judged(small, features), judged(large, features))


@pytest.mark.parametrize(
    ("network", "here", "message"),
    [
        (partial(PGGANGenerator, latent_size=8), {"width": 8}, r"stem.first.weight is .*, here"),
        (partial(MultiScaleGenerator, attention="none"), {"attention": "se"}, "there is no stem.m"),
        (partial(MultiScaleGenerator, attention="se"), {"attention": "none"}, "no such layer"),
        (partial(StyleGAN2Generator, mapping_layers=1), {"mapping_layers": 2}, "there is no mapp"),
    ],
)
def test_other_settings_are_refused(network: Any, here: dict[str, Any], message: str) -> None:
    small = network(image_size=16, image_channels=1, **{"width": 4})
    large = network(image_size=32, image_channels=1, **{"width": 4, **here})
    with pytest.raises(UserError, match=message):
        take_over(large, small.state_dict(), False, "its network")


def test_dcgan_has_other_layers_at_another_resolution() -> None:
    small, large = (DCGANGenerator(image_size=size, image_channels=1, width=2) for size in (32, 64))
    with pytest.raises(UserError, match=r"a DCGANGenerator, has other layers .* take PGGAN"):
        take_over(large, small.state_dict(), False, "its generator")
    again = DCGANGenerator(image_size=32, image_channels=1, width=2)
    take_over(again, small.state_dict(), True, "its generator")
    assert all(map(torch.equal, again.state_dict().values(), small.state_dict().values()))


# ---- growth ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "stands", "counted"),
    [
        (100, Growth(8), 30),  # trained on at 8 px for long: 16 px fade in next
        (26, Growth(8), 26),  # amid that stage: it is trained to its end
        (1000, Growth(4), 10),
        (3, Growth(4), 3),
        (500, Growth(8, 0.25), 12.5),  # amid a fade, it goes on there
        (5, Growth(16), 40),  # grown on a faster schedule than this one
    ],
)
def test_the_schedule_goes_on_from_where_networks_stand(
    images: int, stands: Growth, counted: float
) -> None:
    schedule = ProgressiveGrowth(stage_images=10, fade_images=10)
    offset = schedule.offset_of(images, 0, stands)
    assert images - offset == round(counted)
    now = schedule.growth_at(images - offset, 64)
    if now.alpha == 0:  # the next stage, of which nothing shows yet
        now = Growth(now.resolution // 2)
    assert now.resolution == stands.resolution
    assert now.alpha == pytest.approx(stands.alpha, abs=0.06)


# ---- through train.py ------------------------------------------------------------------------


@pytest.fixture
def films(film_cache: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(ROOT)
    return film_cache(tmp_path / "films")


def fit(films: Path, config: str, folder: Path, size: int, *more: str) -> Path:
    words = [
        "fit",
        f"--config=configs/chest_xray/{config}.yaml",
        f"--data.root={films}",
        f"--data.resolution={size}",
        "--data.batch_size=4",
        "--data.images_per_epoch=8",
        "--model.generator.width=2",
        "--model.discriminator.width=2",
        "--trainer.accelerator=cpu",
        "--trainer.max_epochs=1",
        "--trainer.enable_progress_bar=false",
        "--samples_every_epochs=0",
        "--distance.num_images=0",
        "--wandb=disabled",
        f"--run_folder={folder}",
    ]
    return train.fit([*words, *more]).last_checkpoint


def test_images_are_counted_on_at_another_batch_size(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = fit(films, "dcgan", tmp_path / "first", 32)
    still = ["--model.learning_rate=1e-12", f"--model.start_from={first}", "--data.batch_size=8"]
    second = fit(films, "dcgan", tmp_path / "second", 32, *still)
    assert "goes on from 8 images at 32 px, now at 32 px" in capsys.readouterr().err
    before, after = load_checkpoint_file(first), load_checkpoint_file(second)
    assert after["progress"]["images_seen"] == 16
    assert after["progress"]["steps_done"] == 1
    for name, value in before["state_dict"].items():
        if value.is_floating_point() and "running" not in name and name.count("."):
            torch.testing.assert_close(after["state_dict"][name], value, atol=1e-6, rtol=0)
    module, record = load_module(second)
    assert record["images_seen"] == module.averaged.images_averaged == 16
    rows = (tmp_path / "second/metrics.csv").read_text().splitlines()[1:]
    assert {int(row.split(",")[0]) for row in rows} == {16}
    # A resumed run has its own count, and does not start again.
    third = fit(
        films, "dcgan", tmp_path / "second", 32, *still, "--resume", "--trainer.max_epochs=2"
    )
    assert load_checkpoint_file(third)["progress"]["images_seen"] == 24


@pytest.mark.parametrize("config", ["stylegan", "se_msg_pggan"])
def test_a_higher_resolution_trains_on(config: str, films: Path, tmp_path: Path) -> None:
    first = fit(films, config, tmp_path / "first", 16)
    second = fit(films, config, tmp_path / "second", 32, f"--model.start_from={first}")
    module, record = load_module(second)
    assert (record["image_size"], record["images_seen"]) == (32, 16)
    assert module.synthesise([0, 1]).shape == (2, 1, 32, 32)
    with pytest.raises(UserError, match=r"makes images of 32 px, and this run's are 16 px"):
        fit(films, config, tmp_path / "third", 16, f"--model.start_from={second}")


def test_a_growing_gan_fades_the_next_resolution_in(films: Path, tmp_path: Path) -> None:
    growth = ["--trainer.callbacks=callbacks.progressive_growth.ProgressiveGrowth"]
    growth += ["--trainer.callbacks.stage_images=4", "--trainer.callbacks.fade_images=0"]
    first = fit(films, "pggan", tmp_path / "first", 8, *growth, "--trainer.max_epochs=3")
    assert load_checkpoint_file(first)["progress"]["growth"] == [8, 1.0]
    slow = [*growth, "--trainer.callbacks.fade_images=16", f"--model.start_from={first}"]
    second = load_checkpoint_file(fit(films, "pggan", tmp_path / "second", 16, *slow))
    # 24 images before; of the fade's 16 images, 4 are over at the start of the second step.
    assert second["progress"]["growth"] == [16, 0.25]
    assert second["progress"]["images_seen"] == 32
    third = fit(
        films, "pggan", tmp_path / "second", 16, *slow, "--resume", "--trainer.max_epochs=2"
    )
    assert load_checkpoint_file(third)["progress"]["growth"] == [16, 0.75]


def test_whom_it_knew_is_kept_and_held_out_patients_are_refused(
    films: Path, film_cache: Callable[..., Path], tmp_path: Path
) -> None:
    first = fit(films, "dcgan", tmp_path / "first", 32)
    (tmp_path / "elsewhere").mkdir()
    names = [f"patient_{number:012x}" for number in range(100, 108)]
    splits = ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    strangers = dict(zip(names, splits, strict=True))
    others = film_cache(tmp_path / "elsewhere" / "films", patients=strangers)
    start = f"--model.start_from={first}"
    _, record = load_module(fit(others, "dcgan", tmp_path / "second", 32, start))
    knows = seen_by(record)
    both = {*load_module(first)[1]["split"]["train"], *names[:4]}
    assert both <= {*knows.patients}

    one = load_module(first)[1]["split"]["train"][0]
    patients = {one: "test", **strangers}
    mixed = film_cache(tmp_path / "elsewhere" / "mixed", patients=patients)
    with pytest.raises(UserError, match=r"start_from .*: has learnt from 1 patients of the valid"):
        fit(mixed, "dcgan", tmp_path / "third", 32, start)


def test_another_method_is_refused(films: Path, tmp_path: Path) -> None:
    first = fit(films, "dcgan", tmp_path / "first", 32)
    with pytest.raises(UserError, match=r"is a checkpoint of .*GAN, expected one of a GrowingGAN"):
        fit(films, "pggan", tmp_path / "second", 32, f"--model.start_from={first}")
    wider = ["--model.generator.width=4", f"--model.start_from={first}"]
    with pytest.raises(UserError, match=r"its generator does not fit this run's \(layers.0"):
        fit(films, "dcgan", tmp_path / "third", 32, *wider)
