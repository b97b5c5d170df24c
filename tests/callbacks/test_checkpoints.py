"""A run that is killed while the best checkpoint is put away."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch

import callbacks.checkpoints
from callbacks.checkpoints import Checkpoints
from lightning_modules.checkpoint_files import load_checkpoint_file, save_checkpoint_file
from lightning_modules.training_module import TrainingModule


class Killed(BaseException):
    """Stands for SIGKILL."""


def end_of_epoch(kept: Checkpoints, epoch: int, score: float) -> None:
    def save(path: Path) -> None:
        save_checkpoint_file({"epoch": epoch, **kept.state_dict()}, path)

    trainer: Any = SimpleNamespace(
        sanity_checking=False,
        is_last_batch=True,
        is_global_zero=True,
        callback_metrics={"val/score": torch.tensor(score)},
        strategy=SimpleNamespace(broadcast=lambda value: value),
        save_checkpoint=save,
    )
    module = Mock(spec=TrainingModule, monitor=("val/score", "max"), images_seen=8)
    module.state_dict.return_value = {"weight": torch.ones(1)}
    kept.on_validation_end(trainer, module)
    kept.on_train_epoch_end(trainer, module)


def test_last_never_knows_of_a_best_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Checkpoints(tmp_path)
    end_of_epoch(kept, 0, 0.5)
    with monkeypatch.context() as patch:
        patch.setattr(callbacks.checkpoints, "copy_checkpoint_file", Mock(side_effect=Killed))
        with pytest.raises(Killed):
            end_of_epoch(kept, 1, 0.75)

    again = Checkpoints(tmp_path)
    last = load_checkpoint_file(tmp_path / "last.ckpt")
    again.load_state_dict(last)
    # The epoch is not over for last.ckpt, so it comes again, is the best again, and is put away.
    assert last == {"epoch": 0, "best_value": 0.5}
    end_of_epoch(again, 1, 0.75)
    end_of_epoch(again, 2, 0.625)
    assert load_checkpoint_file(tmp_path / "best.ckpt") == {"epoch": 1, "best_value": 0.75}
    assert load_checkpoint_file(tmp_path / "last.ckpt") == {"epoch": 2, "best_value": 0.75}
