"""Exact resume under fire: killed at 20 random moments, each method ends with the same bits.

On a CPU in float32, with one process and with two, each call with another number of loading
processes than the one before. `-s` prints where the kills fell; docs/results/exact.md has them.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.kills import differing, half_written, killed_often, left_alone

Cache = Callable[..., Path]

COMMON = [
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.log_every_n_steps=3",
    "--checkpoint_every_steps=2",
    "--wandb=disabled",
]
SLICES = ["--data.batch_size=4", "--data.images_per_epoch=24", "--data.augmentation=geometric"]
FILMS = ["--data.batch_size=8", "--data.images_per_epoch=40"]
SMALL_GAN = [
    "--data.resolution=16",
    "--model.generator.width=8",
    "--model.discriminator.width=8",
    "--model.generator.latent_size=8",
    "--distance.num_images=6",
]
METHODS = {
    "segmenter": [
        "--config=configs/kits19/unet_light.yaml",
        "--model.network.width=8",
        "--model.network.depth=2",
        "--model.decay_from=0.5",
        "--trainer.max_epochs=9",
        *SLICES,
    ],
    "pix2pix": [
        "--config=configs/kits19/pix2pix.yaml",
        "--model.generator.width=4",
        "--model.generator.noise_channels=3",
        "--model.discriminator.width=4",
        "--model.discriminator.num_layers=2",
        "--trainer.max_epochs=9",
        *SLICES,
    ],
    "multi-scale": [
        "--config=configs/chest_xray/se_msg_pggan.yaml",
        "--model.penalties.r1_every=2",
        "--trainer.max_epochs=10",
        *SMALL_GAN,
        *FILMS,
    ],
    # 8 images a step, 5 steps an epoch: all but the first two steps are in a fade.
    "pggan mid-fade": [
        "--config=configs/chest_xray/pggan.yaml",
        "--trainer.callbacks.init_args.stage_images=8",
        "--trainer.callbacks.init_args.fade_images=200",
        "--trainer.max_epochs=10",
        *SMALL_GAN,
        *FILMS,
    ],
    "classifier": [
        "--config=configs/chest_xray/vgg16.yaml",
        "--model.network.width=4",
        "--model.network.hidden=8",
        "--model.network.pooled_size=1",
        "--model.learning_rate=0.001",
        "--trainer.max_epochs=9",
        *FILMS,
    ],
}
KILLS = 10  # of each method with so many processes


@pytest.mark.slow
@pytest.mark.ddp
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("name", METHODS)
def test_killed_at_random_moments_it_ends_with_the_same_bits(
    name: str, processes: int, small_cache: Path, film_cache: Cache, tmp_path: Path
) -> None:
    slices = "kits19" in METHODS[name][0]
    cache = small_cache if slices else film_cache(tmp_path / "films")
    words = ["fit", *METHODS[name], *COMMON, f"--data.root={cache}"]
    words.append(f"--trainer.devices={processes}")
    whole = tmp_path / "whole"
    left_alone(words, whole, processes)
    seed = 100 * processes + [*METHODS].index(name)
    kills, folders = killed_often(words, tmp_path / "cut", KILLS, processes, seed)
    found = {folder.name: differing(whole, folder) for folder in folders}
    row = {
        "method": name,
        "processes": processes,
        "trainings": len(folders),
        "kills": [dataclasses.asdict(kill) for kill in kills],
        "differs": found,
    }
    print(f"\n{json.dumps(row)}\n{name}, {processes}: {Counter(kill.fell for kill in kills)}")
    assert not any(found.values()), found
    for folder in folders:
        assert not half_written(folder), folder  # what a kill had left is gone
