"""A killed run ends with the bits of one that was not.

Through train.py, as a person runs it: float64, small networks, the data of `small_cache`.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

import train
from lightning_modules import Segmenter
from provenance import UserError
from tests.methods import LESIONS, PIX2PIX, SEGMENTER
from tests.training.kills import differing
from tests.training_runs import rows, train_and_die

pytestmark = pytest.mark.usefixtures("one_thread")

METHODS = [
    pytest.param(PIX2PIX, id="pix2pix"),
    pytest.param(SEGMENTER, id="segmenter"),
    pytest.param(LESIONS, id="lesions", marks=pytest.mark.slow),
]


def arguments(method: list[str], cache: Path, run_folder: Path, *extra: str) -> list[str]:
    return [
        "fit",
        *method,
        f"--data.root={cache}",
        "--data.batch_size=4",
        "--data.augmentation=geometric",
        "--trainer.accelerator=cpu",
        "--trainer.precision=64-true",
        "--trainer.max_epochs=3",  # 3 steps an epoch
        "--trainer.enable_progress_bar=false",
        "--wandb=disabled",
        "--samples_every_epochs=0",
        f"--run_folder={run_folder}",
        *extra,
    ]


def last(run_folder: Path) -> dict[str, Any]:
    return torch.load(run_folder / "checkpoints/last.ckpt", weights_only=True)


@pytest.mark.parametrize("method", METHODS)
def test_killed_run_resumes_to_the_same_bits(
    method: list[str], small_cache: Path, tmp_path: Path
) -> None:
    """SIGKILL in the middle of the second epoch, one step after a checkpoint."""
    train.fit(arguments(method, small_cache, tmp_path / "whole"))
    cut = arguments(method, small_cache, tmp_path / "cut", "--checkpoint_every_steps=2")
    train_and_die(cut, 5, tmp_path / "errors.log")
    assert last(tmp_path / "cut")["progress"]["steps_done"] == 4

    train.fit([*cut, "--resume=true"])
    whole, resumed = last(tmp_path / "whole"), last(tmp_path / "cut")
    assert resumed["progress"] == whole["progress"]
    for name, value in whole["state_dict"].items():
        assert torch.equal(resumed["state_dict"][name], value), name
    for before, after in zip(whole["optimizer_states"], resumed["optimizer_states"], strict=True):
        for key, state in before["state"].items():
            assert torch.equal(after["state"][key]["exp_avg"], state["exp_avg"])
            assert torch.equal(after["state"][key]["exp_avg_sq"], state["exp_avg_sq"])
    assert rows(tmp_path / "whole") == rows(tmp_path / "cut")


@pytest.mark.parametrize(
    ("every", "validations", "cuts", "validated"),
    [
        pytest.param(3, [], [("on_validation_epoch_start", 6, 3)], 0, id="an epoch's last"),
        # After the second of an epoch's three steps. A cut before the validation, and one behind.
        pytest.param(
            5,
            ["--trainer.val_check_interval=2"],
            [("on_validation_epoch_start", 5, 3), ("begin_step", 5, 5)],
            2,
            id="within an epoch",
        ),
    ],
)
def test_run_killed_in_a_validation_resumes_to_the_same_bits(
    every: int,
    validations: list[str],
    cuts: list[tuple[str, int, int]],
    validated: int,
    small_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where a checkpoint is due after the very step that a validation follows."""
    train.fit(arguments(SEGMENTER, small_cache, tmp_path / "whole", *validations))
    kept = torch.load(tmp_path / "whole/checkpoints/best.ckpt", weights_only=True)
    assert kept["progress"]["steps_done"] % 3 == validated  # the weights that were validated
    due = [f"--checkpoint_every_steps={every}", "--resume=true"]
    cut = arguments(SEGMENTER, small_cache, tmp_path / "cut", *due, *validations)
    for name, step, steps_kept in cuts:
        hook = getattr(Segmenter, name)

        def killed(self: Segmenter, hook: Any = hook, step: int = step) -> None:
            hook(self)
            if self.steps_done == step:
                raise ConnectionResetError("cut")

        with monkeypatch.context() as patch:
            patch.setattr(Segmenter, name, killed)
            with pytest.raises(UserError, match="cut"):
                train.fit(cut)
        assert last(tmp_path / "cut")["progress"]["steps_done"] == steps_kept
    train.fit(cut)
    assert not differing(tmp_path / "whole", tmp_path / "cut")


def test_run_that_stopped_after_an_epoch_continues_with_the_next(
    small_cache: Path, tmp_path: Path
) -> None:
    constant = [part for part in SEGMENTER if "decay" not in part]
    train.fit(arguments(constant, small_cache, tmp_path / "whole"))
    short = arguments(constant, small_cache, tmp_path / "cut", "--trainer.max_epochs=1")
    train.fit(short)
    longer = arguments(constant, small_cache, tmp_path / "cut", "--resume=true")
    result = train.fit(longer)
    assert result.images_seen == 36
    for name, value in last(tmp_path / "whole")["state_dict"].items():
        assert torch.equal(last(tmp_path / "cut")["state_dict"][name], value), name
