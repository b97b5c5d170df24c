"""A training that fails: what stops it, what it says, and how it goes on from its best checkpoint.

Through train.py, as a person runs it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import train
from callbacks.checkpoints import Checkpoints
from lightning_modules import GAN
from lightning_modules.step.divergence import TrainingError
from provenance import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def films(film_cache: Callable[..., Path], tmp_path: Path) -> Path:
    return film_cache(tmp_path / "films")


def arguments(films: Path, folder: Path, *extra: str) -> list[str]:
    return [
        "fit",
        "--config=configs/chest_xray/dcgan.yaml",
        f"--data.root={films}",
        "--data.batch_size=4",
        "--data.images_per_epoch=8",
        "--model.generator.width=2",
        "--model.discriminator.width=2",
        "--trainer.accelerator=cpu",
        "--trainer.max_epochs=3",
        "--trainer.enable_progress_bar=false",
        "--samples_every_epochs=0",
        "--distance.num_images=0",
        "--wandb=disabled",
        f"--run_folder={folder}",
        *extra,
    ]


@pytest.fixture
def diverging(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[tuple[int, float]]]:
    """Make the third step's generator turn to NaN, so many times; tells (step, rate) of each."""
    monkeypatch.chdir(ROOT)

    def begin_to_diverge(times: int) -> list[tuple[int, float]]:
        steps: list[tuple[int, float]] = []
        begin = GAN.begin_step

        def begin_step(self: GAN) -> None:
            begin(self)
            steps.append((self.steps_done, self._optimizer_list()[0].param_groups[0]["lr"]))
            if self.steps_done == 3 and self.rollbacks < times:
                with torch.no_grad():
                    next(self.generator.parameters()).fill_(float("nan"))

        monkeypatch.setattr(GAN, "begin_step", begin_step)
        return steps

    return begin_to_diverge


def test_divergence_stops_and_names_the_way_on(films: Path, tmp_path: Path, diverging: Any) -> None:
    diverging(9)
    with pytest.raises(TrainingError, match=r"not finite.*learning_rate.*--on_failure roll_back"):
        train.fit(arguments(films, tmp_path / "run"))


def test_roll_back_goes_on_from_the_best_at_half_the_rate(
    films: Path, tmp_path: Path, diverging: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = diverging(1)
    result = train.fit(arguments(films, tmp_path / "run", "--on_failure=roll_back"))
    rate = 2e-4
    assert [step for step, _ in steps] == [0, 1, 2, 3, 2, 3, 4, 5]
    assert [r for _, r in steps] == [rate] * 4 + [rate / 2] * 4
    last = torch.load(result.last_checkpoint, weights_only=True)
    assert last["progress"]["rollbacks"] == 1
    assert last["progress"]["images_seen"] == 24
    assert all(value.isfinite().all() for value in last["state_dict"].values())
    said = [line for line in capsys.readouterr().err.splitlines() if "Rolled back" in line]
    assert len(said) == 1
    assert "not finite. Rolled back to best.ckpt (1 of at most 3)" in said[0]
    assert "learning rate 0.0001" in said[0]
    written = (result.run_folder / "metrics.csv").read_text()
    assert written.count("8,0,train/loss_generator") == 1  # the rows of one course only


def test_roll_back_stays_after_a_resume(films: Path, tmp_path: Path, diverging: Any) -> None:
    steps = diverging(1)
    rolled = arguments(films, tmp_path / "run", "--on_failure=roll_back")
    train.fit([*rolled, "--trainer.max_epochs=2"])
    train.fit([*rolled, "--resume=true"])
    assert steps[-1] == (5, 1e-4)


def test_roll_backs_end(films: Path, tmp_path: Path, diverging: Any) -> None:
    steps = diverging(9)
    with pytest.raises(TrainingError, match=r"rolled back 3 times in vain"):
        train.fit(arguments(films, tmp_path / "run", "--on_failure=roll_back"))
    assert [r for _, r in steps[-2:]] == [2e-4 / 8] * 2


def test_roll_back_needs_a_checkpoint(films: Path, tmp_path: Path, diverging: Any) -> None:
    diverging(9)
    with pytest.raises(TrainingError, match=r"no best.ckpt yet"):
        train.fit(
            arguments(
                films, tmp_path / "run", "--on_failure=roll_back", "--data.images_per_epoch=16"
            )
        )


@pytest.mark.parametrize(
    ("loss", "advice"),
    [
        ("ra_hinge", r"Lower --data.batch_size, or --model.generator.width"),
        ("hinge", "micro_batch"),
    ],
)
def test_full_memory_names_what_helps(
    loss: str, advice: str, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)

    def fail(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore.")

    monkeypatch.setattr(Checkpoints, "on_train_batch_end", fail)
    with pytest.raises(UserError, match=rf"memory is full \(CUDA out of memory.*\)\. .*{advice}"):
        train.fit(arguments(films, tmp_path / "run", f"--model.loss={loss}"))


def test_a_resume_says_what_it_goes_on_from(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From last.ckpt, without it from best.ckpt; a damaged one is refused with the way on."""
    monkeypatch.chdir(ROOT)
    checkpoints = tmp_path / "run/checkpoints"
    run = arguments(films, tmp_path / "run", "--resume=true", "--trainer.max_epochs=1")

    def said(epochs: int) -> tuple[str, str]:
        assert train.main([*run, f"--trainer.max_epochs={epochs}"]) == 0
        captured = capsys.readouterr()
        return captured.out, captured.err

    assert f"No checkpoint yet in {checkpoints}: starting from the beg" in said(1)[1]
    out, err = said(2)
    assert f"Going on from {checkpoints}/last.ckpt: 8 images seen." in err
    assert "8 images seen in" in out
    assert "16 in all" in out
    assert "This run was finished before, with 16 images seen; nothing was trained" in said(2)[0]

    last = checkpoints / "last.ckpt"
    damaged = last.read_bytes()[:-10]
    last.unlink()  # it may be one file with best.ckpt
    last.write_bytes(damaged)
    rows = (tmp_path / "run/metrics.csv").read_bytes()
    with pytest.raises(UserError, match=r"Copy best\.ckpt and best\.ckpt\.sha256 over last\.ckpt"):
        train.fit(run)
    assert (tmp_path / "run/metrics.csv").read_bytes() == rows
    last.unlink()
    best = torch.load(checkpoints / "best.ckpt", weights_only=True)["progress"]["images_seen"]
    told = f"There is no last.ckpt in {checkpoints}. Going on from {checkpoints}/best.ckpt: {best}"
    assert told in said(3)[1]
    assert torch.load(last, weights_only=True)["progress"]["images_seen"] == 24

    last.rename(checkpoints / "images_00000024.ckpt")
    (checkpoints / "best.ckpt").unlink()
    with pytest.raises(UserError, match=r"neither last\.ckpt nor best\.ckpt, but images_00000024"):
        train.fit(run)
