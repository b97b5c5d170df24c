"""A GAN that goes on on other films with some of its layers kept: nothing moves these."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import train
from callbacks.checkpoints import Checkpoints
from datamodules import ChestXrayDataModule
from lightning_modules import GAN
from lightning_modules.checkpoint_files import load_checkpoint_file
from lightning_modules.gan_start import freeze_stages
from lightning_modules.loading import load_module
from networks import DCGANGenerator
from networks.enlargement import stages_of
from provenance import UserError
from tests.conftest import write_film_cache
from tests.training_runs import train_together

pytestmark = pytest.mark.usefixtures("one_thread")
STYLEGAN = [
    "--config=configs/chest_xray/stylegan.yaml",
    "--data.resolution=16",
    "--model.generator.width=8",
    "--model.discriminator.width=8",
    "--model.generator.style_size=8",
    "--model.generator.mapping_layers=2",
    "--model.penalties.r1_every=2",
    "--model.penalties.path_length_every=2",
]
FROZEN = ["--model.freeze.discriminator=1", "--model.freeze.generator=1"]


def arguments(films: Path, folder: Path, *more: str) -> list[str]:
    return [
        "fit",
        *STYLEGAN,
        f"--data.root={films}",
        "--data.batch_size=8",
        "--data.images_per_epoch=24",
        "--trainer.accelerator=cpu",
        "--trainer.precision=64-true",
        "--trainer.max_epochs=1",
        "--trainer.enable_progress_bar=false",
        "--samples_every_epochs=0",
        "--distance.num_images=0",
        "--wandb=disabled",
        f"--run_folder={folder}",
        *more,
    ]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film_cache(tmp_path_factory.mktemp("cache") / "films")


@pytest.fixture(scope="module")
def first(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GAN before, whose average differs from its weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(Path(__file__).parents[2])
        folder = tmp_path_factory.mktemp("runs") / "first"
        return train.fit(arguments(films, folder)).last_checkpoint


def state(checkpoint: Path) -> dict[str, Any]:
    return load_checkpoint_file(checkpoint)["state_dict"]


def kept_names(checkpoint: Path) -> list[str]:
    """Parameters that one stage of each network froze, by the networks as they are built."""
    module, _ = load_module(checkpoint)
    assert isinstance(module, GAN)
    lowest = [f"generator.{name}" for name in stages_of(module.generator)[0]]
    return lowest + [f"discriminator.{name}" for name in stages_of(module.discriminator)[-1]]


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_nothing_moves_what_is_kept_and_all_else_learns(
    precision: str, films: Path, first: Path, tmp_path: Path
) -> None:
    start = f"--model.start_from={first}"
    more = [start, *FROZEN, f"--trainer.precision={precision}"]
    second = train.fit(arguments(films, tmp_path / "second", *more)).last_checkpoint
    content = load_checkpoint_file(second)
    before, after = state(first), content["state_dict"]
    names = kept_names(second)
    assert any(name.startswith("generator.mapping_network") for name in names)
    for name in names:
        own, _, rest = name.partition(".")
        # The generator's take the weights of the average, which makes the images.
        source = f"averaged.network.{rest}" if own == "generator" else name
        kept = before[source].to(after[name].dtype)
        assert torch.equal(after[name], kept), name
        assert torch.equal(after[source], kept), source
    both = [n for n in after if n.startswith(("generator.", "discriminator.")) and n not in names]
    moved = [name for name in both if not torch.equal(after[name], before[name].to(after[name]))]
    assert len(moved) > 0.8 * len(both)
    # The optimisers know nothing of them.
    for optimizer, network in zip(content["optimizer_states"], ("generator", "discriminator"),
                                  strict=True):  # fmt: skip
        own_names = [name for name in names if name.startswith(f"{network}.")]
        every = [name for name in before if name.startswith(f"{network}.")]
        assert 0 < len(optimizer["param_groups"][0]["params"]) <= len(every) - len(own_names)
    record = content["understudy"]["model"]["init_args"]
    assert record["freeze"] == {"discriminator": 1, "generator": 1}


class PulledPlugError(BaseException):
    """Nothing catches it."""


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_same_bits(
    films: Path, first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = [f"--model.start_from={first}", *FROZEN, "--checkpoint_every_steps=1"]
    whole = train.fit(arguments(films, tmp_path / "whole", *more)).last_checkpoint
    save = Checkpoints.on_train_batch_end

    def save_then_fail(self: Checkpoints, trainer: Any, module: Any, *rest: Any) -> None:
        save(self, trainer, module, *rest)
        if module.steps_done == 2:
            raise PulledPlugError

    cut = arguments(films, tmp_path / "cut", *more)
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "on_train_batch_end", save_then_fail)
        with pytest.raises(PulledPlugError):
            train.fit(cut)
    resumed = train.fit([*cut, "--resume=true"]).last_checkpoint
    one, other = load_checkpoint_file(whole), load_checkpoint_file(resumed)
    assert one["progress"] == other["progress"]
    for name, value in one["state_dict"].items():
        assert torch.equal(other["state_dict"][name], value), name
    for before, after in zip(one["optimizer_states"], other["optimizer_states"], strict=True):
        assert before["state"].keys() == after["state"].keys()
        for key, values in before["state"].items():
            assert all(torch.equal(after["state"][key][part], v) for part, v in values.items())


@pytest.mark.ddp
@pytest.mark.slow
def test_two_processes_equal_one(films: Path, first: Path, tmp_path: Path) -> None:
    more = [f"--model.start_from={first}", *FROZEN]
    one = state(train.fit(arguments(films, tmp_path / "one", *more)).last_checkpoint)
    train_together([arguments(films, tmp_path / "two", *more)], tmp_path)
    two = state(tmp_path / "two/checkpoints/last.ckpt")
    for name, value in one.items():
        assert (two[name] - value).abs().max() < 1e-10, name


def test_settings_that_cannot_be_are_named(films: Path, tmp_path: Path) -> None:
    network = DCGANGenerator(32, 1, width=2)
    with pytest.raises(UserError, match=r"has 4 stages, and one must train\. Give at most 3"):
        freeze_stages(network, 4, "generator")
    with pytest.raises(UserError, match=r"--model.freeze.generator 1: a Linear has neither"):
        freeze_stages(torch.nn.Linear(2, 2), 1, "generator")
    with pytest.raises(UserError, match=r"--model\.freeze: keeps layers of another run's networks"):
        train.fit(arguments(films, tmp_path / "run", *FROZEN))


def test_films_are_counted_by_whole_patients(
    film_cache: Callable[..., Path], tmp_path: Path
) -> None:
    root = str(film_cache(tmp_path / "films"))  # four training patients of three films
    data = {n: ChestXrayDataModule(root, num_images=n, seed=1) for n in (3, 8, 9, 100)}
    ids = {n: set(one.cache.ids[one.items("train")]) for n, one in data.items()}
    assert [len(one) for one in ids.values()] == [3, 6, 9, 12]
    assert ids[3] < ids[8] < ids[9] < ids[100]
    normal = ChestXrayDataModule(root, num_images=3, seed=1, only_label="normal")
    assert len(normal.items("train")) in (2, 3)  # patients of one or two normal films
    with pytest.raises(UserError, match="the first one by this seed has 3 images"):
        ChestXrayDataModule(root, num_images=2).items("train")
    with pytest.raises(UserError, match="Leave one of the two out"):
        ChestXrayDataModule(root, num_images=3, fraction_of_patients=0.5)
    with pytest.raises(UserError, match="num_images is 0; it must be 1 or more"):
        ChestXrayDataModule(root, num_images=0)
