"""A GAN whose training is killed or interrupted ends with the bits of one that was not.

Through train.py, in float64, with small networks.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import train
from callbacks.checkpoints import Checkpoints
from tests.methods import BATCH_NORMALISED, CYCLEGAN, gan, in_float64
from tests.training_runs import rows, train_and_die

pytestmark = pytest.mark.usefixtures("one_thread")
Cache = Callable[..., Path]


# What the runs of these tests share: two epochs of four steps.
LONGER = ["--trainer.max_epochs=2", "--data.images_per_epoch=32", "--checkpoint_every_steps=2"]


def saved(run_folder: Path, name: str = "last") -> dict[str, Any]:
    return torch.load(run_folder / f"checkpoints/{name}.ckpt", weights_only=True)


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


def test_run_killed_in_the_middle_of_a_fade_resumes_to_the_same_bits(
    film_cache: Cache, tmp_path: Path
) -> None:
    """SIGKILL in the seventh step, after a checkpoint with 8 px at an alpha of 40 / 48."""
    cache = film_cache(tmp_path / "films")
    growth = "--trainer.callbacks.init_args"
    schedule = [f"{growth}.stage_images=8", f"{growth}.fade_images=48"]

    def of(folder: str) -> list[str]:
        run = tmp_path / folder
        return in_float64(gan("pggan", "wgan_gp"), cache, run, *LONGER, *schedule)

    train.fit(of("whole"))
    train_and_die(of("cut"), 7, tmp_path / "errors.log")
    at_kill = saved(tmp_path / "cut")["progress"]
    assert at_kill["steps_done"] == 6
    assert at_kill["growth"] == [8, pytest.approx((5 * 8 - 8) / 48)]  # of the step that was done

    train.fit([*of("cut"), "--resume=true"])
    assert_same_bits(tmp_path / "whole", tmp_path / "cut")


class PulledPlugError(BaseException):
    """Nothing catches it."""


def train_until_the_plug_is_pulled(run: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
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

    def of(folder: str, *more: str) -> list[str]:
        run = tmp_path / folder
        return in_float64(gan("dcgan", "hinge"), cache, run, *LONGER, *BATCH_NORMALISED, *more)

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

    def of(folder: str) -> list[str]:
        return in_float64(gan("stylegan", "non_saturating"), cache, tmp_path / folder, *LONGER)

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

    def of(folder: str) -> list[str]:
        few = ["--data.batch_size=2", "--data.images_per_epoch=8"]
        return in_float64(CYCLEGAN, cache, tmp_path / folder, *LONGER, *few)

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
    run = in_float64(gan("pggan", "wgan_gp"), cache, tmp_path / "run", *first)
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
