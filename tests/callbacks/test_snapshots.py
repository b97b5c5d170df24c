"""Snapshots every so many images, and how many of them stay."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import train
from callbacks.checkpoints import snapshots
from lightning_modules import GAN
from lightning_modules.checkpoint_files import hash_file_of, load_checkpoint_file
from lightning_modules.loading import load_module
from provenance import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def films(film_cache: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(ROOT)
    return film_cache(tmp_path / "films")


def arguments(films: Path, folder: Path, *extra: str) -> list[str]:
    return [
        "fit",
        "--config=configs/chest_xray/dcgan.yaml",
        f"--data.root={films}",
        "--data.batch_size=4",
        "--data.images_per_epoch=12",
        "--model.generator.width=2",
        "--model.discriminator.width=2",
        "--trainer.accelerator=cpu",
        "--trainer.max_epochs=2",
        "--trainer.enable_progress_bar=false",
        "--samples_every_epochs=0",
        "--distance.num_images=0",
        "--wandb=disabled",
        f"--run_folder={folder}",
        *extra,
    ]


def kept(run: Path) -> list[int]:
    return [images for images, _ in snapshots(run / "checkpoints")]


def test_a_snapshot_is_the_first_step_that_reaches_a_multiple(films: Path, tmp_path: Path) -> None:
    run = train.fit(arguments(films, tmp_path / "run", "--keep_every_images=10")).run_folder
    assert kept(run) == [12, 20]  # steps of 4 images: 10 is reached at 12
    for images, path in snapshots(run / "checkpoints"):
        assert re.fullmatch(r"images_000000\d\d\.ckpt", path.name)
        assert hash_file_of(path).exists()
        module, record = load_module(path)
        assert isinstance(module, GAN)
        assert record["images_seen"] == module.averaged.images_averaged == images
    # A whole state: another run can start from it.
    more = ["--model.start_from", str(path), "--keep_every_images=10", "--trainer.max_epochs=1"]
    assert kept(train.fit(arguments(films, tmp_path / "next", *more)).run_folder) == [32]


def test_the_oldest_go_and_resume_makes_no_difference(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--keep_every_images=4", "--keep_at_most=2"]
    whole = train.fit(arguments(films, tmp_path / "whole", *flags)).run_folder
    assert kept(whole) == [20, 24]
    assert len(list((whole / "checkpoints").iterdir())) == 2 * (2 + 2)  # hashes go with them

    end_step = GAN.end_step

    def struck(self: GAN, size: int, values: dict[str, torch.Tensor]) -> None:
        if self.steps_done == 4:
            raise KeyboardInterrupt
        end_step(self, size, values)

    cut = arguments(films, tmp_path / "cut", *flags)
    monkeypatch.setattr(GAN, "end_step", struck)
    with pytest.raises(KeyboardInterrupt):
        train.fit(cut)
    assert kept(tmp_path / "cut") == [12, 16]
    monkeypatch.setattr(GAN, "end_step", end_step)
    train.fit([*cut, "--resume"])
    assert kept(tmp_path / "cut") == [20, 24]
    for images in (20, 24):
        states = [
            load_checkpoint_file(run / f"checkpoints/images_{images:08d}.ckpt")["state_dict"]
            for run in (whole, tmp_path / "cut")
        ]
        assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--keep_every_images=0"], r"--keep_every_images 0: expected 1 or more"),
        (["--keep_every_images=4", "--keep_at_most=0"], r"--keep_at_most 0: expected 1 or more"),
        (["--keep_at_most=3"], r"--keep_at_most 3: .* without --keep_every_images there are none"),
    ],
)
def test_numbers_without_sense_are_refused(
    flags: list[str], message: str, films: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        train.fit(arguments(films, tmp_path / "run", *flags))


def test_other_files_are_no_snapshots(tmp_path: Path) -> None:
    for name in ("last.ckpt", "images_00000012.ckpt.sha256", "images_best.ckpt", "images_12.ckpt"):
        (tmp_path / name).touch()
    (tmp_path / "images_00000012.ckpt").touch()
    (tmp_path / "images_123456789.ckpt").touch()
    assert [images for images, _ in snapshots(tmp_path)] == [12, 123456789]
