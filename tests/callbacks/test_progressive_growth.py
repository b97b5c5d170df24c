"""Growth as a function of the images seen."""

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from callbacks.progressive_growth import ProgressiveGrowth
from lightning_modules import GAN, GrowingGAN
from networks import DCGANDiscriminator, DCGANGenerator, PGGANDiscriminator, PGGANGenerator
from networks.growth import Growth
from provenance import UserError


def growing(image_size: int = 16) -> GrowingGAN:
    return GrowingGAN(
        generator=partial(PGGANGenerator, latent_size=4, width=4),
        discriminator=partial(PGGANDiscriminator, width=4),
        image_size=image_size,
        loss="wgan_gp",
    )


def trainer(epochs: int | None, steps: int = 10, batch_size: int = 4) -> Any:
    data = SimpleNamespace(batch_size=batch_size)
    return SimpleNamespace(
        max_epochs=epochs,
        num_training_batches=steps,
        datamodule=data,
        world_size=1,
        strategy=None,
    )


@pytest.mark.parametrize(
    ("images_seen", "resolution", "alpha"),
    [
        (0, 4, 1.0),
        (99, 4, 1.0),
        (100, 8, 0.0),
        (120, 8, 0.5),
        (139, 8, 39 / 40),
        (140, 8, 1.0),
        (239, 8, 1.0),
        (240, 16, 0.0),
        (250, 16, 0.25),
        (280, 16, 1.0),
        (380, 32, 0.0),
        (420, 32, 1.0),
        (520, 32, 1.0),  # the final resolution stays
        (10**9, 32, 1.0),
    ],
)
def test_schedule_at_known_places(images_seen: int, resolution: int, alpha: float) -> None:
    schedule = ProgressiveGrowth(stage_images=100, fade_images=40)
    assert schedule.growth_at(images_seen, 32) == Growth(resolution, alpha)


@pytest.mark.parametrize("fade", [1, 7, 40])
@pytest.mark.parametrize("first", [4, 8])
def test_growth_never_jumps_or_falls_back(fade: int, first: int) -> None:
    """Doublings, with alpha as their fraction, rise by no more than 1 / fade an image."""
    schedule = ProgressiveGrowth(stage_images=10, fade_images=fade, first_resolution=first)
    doublings = [
        growth.stage - 1 + growth.alpha
        for growth in (schedule.growth_at(images, 32) for images in range(400))
    ]
    steps = [after - before for before, after in itertools.pairwise(doublings)]
    assert min(steps) >= -1e-12
    assert max(steps) <= 1 / fade + 1e-12
    assert doublings[0] == Growth(first).stage
    assert doublings[-1] == 3


@pytest.mark.parametrize(("stage", "fade"), [(100, 40), (7, 0), (1, 1), (600_000, 600_000)])
@pytest.mark.parametrize(("first", "final"), [(4, 4), (4, 8), (8, 64), (4, 512)])
def test_images_until_grown_is_the_first_image_that_is(
    stage: int, fade: int, first: int, final: int
) -> None:
    schedule = ProgressiveGrowth(stage, fade, first)
    grown = schedule.images_until_grown(final)
    assert schedule.growth_at(grown, final) == Growth(final)
    if grown:
        assert schedule.growth_at(grown - 1, final) != Growth(final)


def test_without_fade_each_stage_begins_whole() -> None:
    schedule = ProgressiveGrowth(stage_images=10, fade_images=0)
    stages = [schedule.growth_at(images, 16) for images in (9, 10, 19, 20)]
    assert stages == [Growth(4), Growth(8), Growth(8), Growth(16)]


@pytest.mark.parametrize(
    "numbers",
    [
        {"stage_images": 0},
        {"fade_images": -1},
        {"first_resolution": 6},
        {"first_resolution": 2},
    ],
)
def test_numbers_that_make_no_schedule_are_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(UserError, match=f"ProgressiveGrowth.*{next(iter(numbers))}"):
        ProgressiveGrowth(**numbers)


def test_module_that_does_not_grow_is_refused() -> None:
    plain = GAN(
        generator=partial(DCGANGenerator, width=2),
        discriminator=partial(DCGANDiscriminator, width=2),
        image_size=32,
    )
    with pytest.raises(UserError, match=r"a GAN does not grow.*GrowingGAN"):
        ProgressiveGrowth().on_fit_start(trainer(1), plain)


def test_first_resolution_beyond_the_data_is_refused() -> None:
    with pytest.raises(UserError, match="64 is beyond the data's 16 pixels"):
        ProgressiveGrowth(first_resolution=64).on_fit_start(trainer(1), growing())


def test_growing_module_without_a_schedule_is_refused() -> None:
    module = growing()
    module._trainer = trainer(1)
    with pytest.raises(UserError, match=r"no ProgressiveGrowth.*stay at 4 px"):
        module.on_fit_start()
    ProgressiveGrowth().on_fit_start(trainer(1), module)
    module.on_fit_start()


def test_training_that_ends_too_soon_is_told_at_the_start(
    capsys: pytest.CaptureFixture[str],
) -> None:
    schedule, module = ProgressiveGrowth(stage_images=100, fade_images=100), growing()
    schedule.on_train_start(trainer(epochs=4), module)  # 160 images, and 400 are needed
    said = capsys.readouterr().err
    assert "16 px will be grown after 400 images" in said
    assert "ends after 160, at 8 px (alpha 0.60)" in said
    assert "--trainer.max_epochs 10 or more" in said
    schedule.on_train_start(trainer(epochs=10), module)
    schedule.on_train_start(trainer(epochs=-1), module)  # without an end it grows at some time
    assert capsys.readouterr().err == ""


def test_step_begins_where_the_images_seen_say() -> None:
    schedule, module = ProgressiveGrowth(stage_images=10, fade_images=10), growing()
    for images, expected in ((0, Growth(4)), (15, Growth(8, 0.5)), (40, Growth(16))):
        module.images_seen = images
        schedule.on_train_batch_start(trainer(1), module, {}, 0)
        assert module.growth == expected
        assert module.schedule_values() == {
            "resolution": expected.resolution,
            "alpha": expected.alpha,
        }


def test_images_have_the_full_size_at_every_stage() -> None:
    module = growing()
    for growth in (Growth(4), Growth(8, 0.5), Growth(16)):
        module.growth = growth
        image = module.synthesise([1, 2])
        assert image.shape == (2, 1, 16, 16)
        factor = 16 // growth.resolution
        assert (
            image[:, :, ::factor, ::factor] == image[:, :, factor - 1 :: factor, ::factor]
        ).all()


def test_train_py_refuses_a_growing_gan_without_schedule(
    film_cache: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import train

    monkeypatch.chdir(Path(__file__).parents[2])
    with pytest.raises(UserError, match="no ProgressiveGrowth"):
        train.fit(
            [
                "fit",
                "--config=configs/chest_xray/pggan.yaml",
                f"--data.root={film_cache(tmp_path / 'films')}",
                "--data.batch_size=4",
                "--data.resolution=16",
                "--model.generator.width=8",
                "--model.discriminator.width=8",
                "--trainer.callbacks=null",
                "--trainer.accelerator=cpu",
                "--trainer.enable_progress_bar=false",
                "--distance.num_images=0",
                "--wandb=disabled",
                f"--run_folder={tmp_path / 'run'}",
            ]
        )
