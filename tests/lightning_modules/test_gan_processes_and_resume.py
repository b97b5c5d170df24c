"""Two processes train a GAN as one, and a killed run ends with the bits of one that was not.

Through train.py, in float64, with small networks. One pair of processes trains all cases in turn.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import train
from callbacks.checkpoints import Checkpoints
from lightning_modules import GAN
from lightning_modules.loading import load_module
from tests.training_runs import train_and_die, train_as_a_pair

pytestmark = pytest.mark.usefixtures("one_thread")
Arguments = list[str]
Cache = Callable[..., Path]


def method(config: str, resolution: int, *settings: str) -> Arguments:
    return [
        f"--config=configs/chest_xray/{config}.yaml",
        f"--data.resolution={resolution}",
        "--model.generator.width=8",
        "--model.discriminator.width=8",
        *settings,
    ]


LATENT = "--model.generator.latent_size=8"
METHODS = {
    "se_msg_pggan": method("se_msg_pggan", 16, LATENT, "--model.penalties.r1_every=2"),
    # Of 8 images a step: 4 px, then 8 px at a third and in full, then 16 px alike.
    "pggan": method(
        "pggan",
        16,
        LATENT,
        "--trainer.callbacks.init_args.stage_images=4",
        "--trainer.callbacks.init_args.fade_images=12",
    ),
    # From 8 pixels: 8 px, then 16 px at a third, at two thirds and in full.
    "stylegan1": method(
        "stylegan1",
        16,
        "--model.generator.style_size=8",
        "--model.generator.mapping_layers=2",
        "--trainer.callbacks.init_args.stage_images=8",
        "--trainer.callbacks.init_args.fade_images=24",
    ),
    "stylegan": method(
        "stylegan",
        16,
        "--model.generator.style_size=8",
        "--model.generator.mapping_layers=2",
        "--model.penalties.r1_every=2",
        "--model.penalties.path_length_every=2",
        "--model.augmentation.probability=0.5",
        "--model.augmentation.ramp_images=200",
    ),
    "dcgan": method(
        "dcgan",
        32,
        *(f"--model.{net}.normalization=group" for net in ("generator", "discriminator")),
    ),
}
# Both classes of one cache; a pool that is full after the first of five steps.
CYCLEGAN = [
    "--config=configs/chest_xray/cyclegan.yaml",
    "--data.source=null",
    "--data.source_label=normal",
    "--data.target_label=abnormal",
    *("--model.generator.width=4", "--model.generator.num_blocks=1"),
    *("--model.discriminator.width=4", "--model.discriminator.num_layers=2"),
    "--model.pool_size=6",
    "--model.gradient_clip_norm=1.0",
]
BATCH_NORMALISED = ["--model.generator.normalization=batch"]
LOSSES = {
    "minmax": [],
    "non_saturating": ["--model.penalties.r1=1.0"],
    "wgan_gp": ["--model.penalties.drift=0.001"],
    "hinge": ["--model.gradient_clip_norm=1.0"],
    "ra_hinge": ["--model.penalties.r1=1.0"],
}
ONE_OF_EACH = [
    ("se_msg_pggan", "ra_hinge"),
    ("pggan", "wgan_gp"),
    ("stylegan1", "non_saturating"),
    ("stylegan", "non_saturating"),
    ("dcgan", "hinge"),
]
TRANSLATED = ("cyclegan", "lsgan")
OTHERS = [pair for m in METHODS for k in LOSSES if (pair := (m, k)) not in ONE_OF_EACH]


# StyleGAN's constant is flat until noise has a strength, and its instance norm makes 0 of flat
# maps: the gradient of what comes before is a rounding error, which Adam enlarges.
FLAT_AT_FIRST = ("stylegan1", ["first", "0"])


def arguments(name: str, loss: str, cache: Path, run_folder: Path, *extra: str) -> Arguments:
    own = [*METHODS[name], f"--model.loss={loss}", *LOSSES[loss]] if name in METHODS else CYCLEGAN
    return [
        "fit",
        *own,
        f"--data.root={cache}",
        "--data.batch_size=8",  # each of two processes has a group of minibatch deviation
        "--data.images_per_epoch=40",
        "--trainer.accelerator=cpu",
        "--trainer.precision=64-true",
        "--trainer.max_epochs=1",
        "--trainer.log_every_n_steps=2",
        "--trainer.enable_progress_bar=false",
        f"--distance.num_images={6 if name in METHODS else 0}",
        "--wandb=disabled",
        "--samples_every_epochs=0",
        f"--run_folder={run_folder}",
        *extra,
    ]


def saved(run_folder: Path, name: str = "last") -> dict[str, Any]:
    return torch.load(run_folder / f"checkpoints/{name}.ckpt", weights_only=True)


def rows(run_folder: Path) -> list[str]:
    """What was logged, but for time and memory."""
    lines = (run_folder / "metrics.csv").read_text().splitlines()
    return [line for line in lines if "images_per_second" not in line and "memory" not in line]


@pytest.mark.ddp
@pytest.mark.parametrize(
    "cases",
    [[*ONE_OF_EACH, TRANSLATED], pytest.param(OTHERS, marks=pytest.mark.slow)],
    ids=["some", "others"],
)
def test_two_processes_equal_one(
    cases: list[tuple[str, str]], film_cache: Cache, tmp_path: Path
) -> None:
    cache = film_cache(tmp_path / "films")
    for name, loss in cases:
        train.fit(arguments(name, loss, cache, tmp_path / f"one_{name}_{loss}"))
    (cache / "features").rename(tmp_path / "features")  # the pair measures the films itself
    # A batch-normalised generator trains by each process's own share of the batch, so it is not
    # compared with one process. The statistics of its average are.
    batches = arguments("dcgan", "hinge", cache, tmp_path / "batches", *BATCH_NORMALISED)
    train_as_a_pair(
        [
            batches,
            *(
                arguments(name, loss, cache, tmp_path / f"two_{name}_{loss}")
                for name, loss in cases
            ),
        ],
        tmp_path,
    )
    module, _ = load_module(tmp_path / "batches/checkpoints/last.ckpt")
    assert isinstance(module, GAN)
    of_two = {name: value.clone() for name, value in module.averaged.named_buffers()}
    module.averaged.statistics_at = None
    module.averaged_generator()
    for name, value in module.averaged.named_buffers():
        torch.testing.assert_close(of_two[name], value, rtol=0, atol=1e-12)
    for name, loss in cases:
        one, two = (saved(tmp_path / f"{count}_{name}_{loss}") for count in ("one", "two"))
        assert two["progress"] == one["progress"], (name, loss)
        assert two["progress"]["steps_done"] == 5
        for key, value in one["state_dict"].items():
            difference = (two["state_dict"][key] - value).abs().max()
            most = 1e-6 if (name, key.split(".")[-3:-1]) == FLAT_AT_FIRST else 1e-10
            assert difference < most, (name, loss, key, float(difference))
        assert_same_rows(
            rows(tmp_path / f"one_{name}_{loss}"), rows(tmp_path / f"two_{name}_{loss}")
        )


def assert_same_rows(one: list[str], two: list[str]) -> None:
    """Losses, gradient norms and distances; the held-out score knows how its batches were cut."""
    assert [line.rpartition(",")[0] for line in one] == [line.rpartition(",")[0] for line in two]
    for before, after in zip(one[1:], two[1:], strict=True):
        if "val/score_real" not in before:
            value = float(before.rpartition(",")[2])
            assert float(after.rpartition(",")[2]) == pytest.approx(value, rel=1e-4, abs=1e-6), (
                before
            )


def assert_same_bits(whole: Path, resumed: Path) -> None:
    before, after = saved(whole), saved(resumed)
    assert after["progress"] == before["progress"]
    for name, value in before["state_dict"].items():  # both networks, the average, and buffers
        assert torch.equal(after["state_dict"][name], value), name
    for one, other in zip(before["optimizer_states"], after["optimizer_states"], strict=True):
        assert one["state"].keys() == other["state"].keys()
        for key, state in one["state"].items():
            for part, value in state.items():
                assert torch.equal(other["state"][key][part], value), (key, part)
    assert before["callbacks"] == after["callbacks"]
    assert rows(whole) == rows(resumed)
    assert saved(whole, "best")["progress"] == saved(resumed, "best")["progress"]


LONGER = ["--trainer.max_epochs=2", "--data.images_per_epoch=32", "--checkpoint_every_steps=2"]


def test_run_killed_in_the_middle_of_a_fade_resumes_to_the_same_bits(
    film_cache: Cache, tmp_path: Path
) -> None:
    """SIGKILL in the seventh step, after a checkpoint with 8 px at an alpha of 40 / 48."""
    cache = film_cache(tmp_path / "films")
    growth = "--trainer.callbacks.init_args"
    schedule = [f"{growth}.stage_images=8", f"{growth}.fade_images=48"]

    def of(folder: str) -> Arguments:
        run = tmp_path / folder
        return arguments("pggan", "wgan_gp", cache, run, *LONGER, *schedule)

    train.fit(of("whole"))
    train_and_die(of("cut"), 7, tmp_path / "errors.log")
    at_kill = saved(tmp_path / "cut")["progress"]
    assert at_kill["steps_done"] == 6
    assert at_kill["growth"] == [8, pytest.approx((5 * 8 - 8) / 48)]  # of the step that was done

    train.fit([*of("cut"), "--resume=true"])
    assert_same_bits(tmp_path / "whole", tmp_path / "cut")


class PulledPlugError(BaseException):
    """Nothing catches it."""


def train_until_the_plug_is_pulled(run: Arguments, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the seventh step; the last checkpoint is of the sixth."""
    save = Checkpoints.on_train_batch_end

    def save_then_fail(self: Checkpoints, trainer: Any, module: Any, *rest: Any) -> None:
        save(self, trainer, module, *rest)
        if module.steps_done == 7:
            raise PulledPlugError

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "on_train_batch_end", save_then_fail)
        with pytest.raises(PulledPlugError):
            train.fit(run)


def test_batch_statistics_of_the_average_survive_an_interruption_and_disturb_nothing(
    film_cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = film_cache(tmp_path / "films")

    def of(folder: str, *more: str) -> Arguments:
        run = tmp_path / folder
        return arguments("dcgan", "hinge", cache, run, *LONGER, *BATCH_NORMALISED, *more)

    train.fit(of("whole"))
    train_until_the_plug_is_pulled(of("cut"), monkeypatch)
    train.fit([*of("cut"), "--resume=true"])
    assert_same_bits(tmp_path / "whole", tmp_path / "cut")
    # Estimated after every second step, or only after epochs: the training is the same.
    train.fit(of("seldom", "--checkpoint_every_steps=null"))
    assert_same_bits(tmp_path / "whole", tmp_path / "seldom")
    state = saved(tmp_path / "whole")["state_dict"]
    own = state["averaged.network.layers.1.running_mean"]
    assert not torch.equal(own, state["generator.layers.1.running_mean"])
    assert state["averaged._extra_state"].tolist() == [64, 64]


def test_augmentation_probability_path_length_and_best_survive_an_interruption(
    film_cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = film_cache(tmp_path / "films")

    def of(folder: str) -> Arguments:
        return arguments("stylegan", "non_saturating", cache, tmp_path / folder, *LONGER)

    train.fit(of("whole"))
    train_until_the_plug_is_pulled(of("cut"), monkeypatch)
    cut = saved(tmp_path / "cut")
    assert cut["progress"]["steps_done"] == 6
    assert cut["progress"]["augmentation_probability"] != 0.5
    assert cut["state_dict"]["mean_path_length"] > 0
    assert cut["state_dict"]["real_signs"] != 0  # between two moves of the probability
    train.fit([*of("cut"), "--resume=true"])
    assert_same_bits(tmp_path / "whole", tmp_path / "cut")


def test_the_pool_of_a_translator_survives_an_interruption(
    film_cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = film_cache(tmp_path / "films")

    def of(folder: str) -> Arguments:
        few = ["--data.batch_size=2", "--data.images_per_epoch=8"]
        return arguments(*TRANSLATED, cache, tmp_path / folder, *LONGER, *few)

    train.fit(of("whole"))
    train_until_the_plug_is_pulled(of("cut"), monkeypatch)
    held = saved(tmp_path / "cut")["state_dict"]["pools.target.images"]
    assert (held.flatten(1).abs().max(dim=1).values > 0).all()  # all six places
    train.fit([*of("cut"), "--resume=true"])
    assert_same_bits(tmp_path / "whole", tmp_path / "cut")


def test_adam_keeps_its_state_of_older_stages_when_one_is_added(
    film_cache: Cache, tmp_path: Path
) -> None:
    cache = film_cache(tmp_path / "films")
    schedule = [f"--trainer.callbacks.init_args.{name}_images=8" for name in ("stage", "fade")]
    first = ["--data.images_per_epoch=8", *schedule]
    run = arguments("pggan", "wgan_gp", cache, tmp_path / "run", *first)
    train.fit(run)  # one step, at 4 px
    at_4 = saved(tmp_path / "run")["optimizer_states"][0]["state"]
    train.fit([*run, "--trainer.max_epochs=2", "--resume=true"])  # and one at 8 px, alpha 0
    at_8 = saved(tmp_path / "run")["optimizer_states"][0]["state"]
    assert set(at_4) < set(at_8)  # layers that have not grown have no state
    for key, before in at_4.items():
        # A state begun anew would hold (1 - 0.99) g^2 alone, after one step and not two.
        assert at_8[key]["step"] == 2
        assert (at_8[key]["exp_avg_sq"] >= 0.99 * before["exp_avg_sq"] - 1e-18).all()
    assert all(at_8[key]["step"] == 1 for key in set(at_8) - set(at_4))
