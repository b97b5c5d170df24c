"""Which checkpoints a run keeps: the last state and the best model."""

import logging
from pathlib import Path
from typing import Any

import lightning as L

from lightning_modules.checkpoint_files import copy_checkpoint_file
from lightning_modules.training_module import TrainingModule

log = logging.getLogger(__name__)


class Checkpoints(L.Callback):
    """Writes `last.ckpt` after every epoch, and `best.ckpt` when the monitored metric improves.

    Every checkpoint is a complete state to resume from. ModelCheckpoint is not used because it
    counts optimiser steps, of which a GAN does two a batch.

    Args:
        folder: Where they are written.
        every_steps: Also write `last.ckpt` after this many training steps, for runs that may be
            killed within a long epoch; None only after epochs.
    """

    def __init__(self, folder: Path, every_steps: int | None = None) -> None:
        self.last = Path(folder) / "last.ckpt"
        self.best = Path(folder) / "best.ckpt"
        self.every_steps = every_steps
        self.best_value: float | None = None
        self._validated = False

    def state_dict(self) -> dict[str, Any]:
        """The best value so far goes into the checkpoint, so that a resumed run can compare."""
        return {"best_value": self.best_value}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See `state_dict`."""
        self.best_value = state_dict["best_value"]

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        """Save within the epoch, at the end of a step: both networks have stepped."""
        assert isinstance(module, TrainingModule)
        if self.every_steps and module.steps_done % self.every_steps == 0:
            trainer.save_checkpoint(self.last)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Remember that this epoch's metrics are fresh."""
        self._validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Save the last state; give it the name `best` too if it is."""
        assert isinstance(module, TrainingModule)
        improved = False
        if self._validated:
            name, mode = module.monitor
            value = float(trainer.callback_metrics.get(name, float("nan")))
            # All processes must agree, since saving is a collective.
            value = trainer.strategy.broadcast(value)
            if value == value:
                sign = 1.0 if mode == "max" else -1.0
                improved = self.best_value is None or sign * (value - self.best_value) > 0
                if improved:
                    self.best_value = value
        self._validated = False
        trainer.save_checkpoint(self.last)
        if trainer.is_global_zero and (improved or not self.best.exists()):
            copy_checkpoint_file(self.last, self.best)
