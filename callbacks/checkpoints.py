"""Which checkpoints a run keeps: the last state, the best model, and snapshots on the way."""

import logging
import re
from pathlib import Path
from typing import Any

import lightning as L

from lightning_modules.checkpoint_files import copy_checkpoint_file
from lightning_modules.step.divergence import TrainingError, when_diverged
from lightning_modules.training_module import TrainingModule

log = logging.getLogger(__name__)


class Checkpoints(L.Callback):
    """Writes `last.ckpt` after every epoch, and `best.ckpt` when the monitored metric improves.

    After a validation within an epoch (`--trainer.val_check_interval`) `best.ckpt` is written at
    once: it holds the weights that were validated.

    Every checkpoint is a complete state to resume from. ModelCheckpoint is not used because it
    counts optimiser steps, of which a GAN does two a batch.

    Args:
        folder: Where they are written.
        every_steps: Also write `last.ckpt` after this many training steps, for runs that may be
            killed within a long epoch; None only after epochs.
        keep_every_images: Also keep `images_00012000.ckpt` and so on, at the end of the first step
            that reaches a multiple of so many images seen; None keeps none.
        keep_at_most: Of these, how many; the oldest goes when another comes. None keeps all.
    """

    def __init__(
        self,
        folder: Path,
        every_steps: int | None = None,
        keep_every_images: int | None = None,
        keep_at_most: int | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.last = Path(folder) / "last.ckpt"
        self.best = Path(folder) / "best.ckpt"
        self.every_steps = every_steps
        self.keep_every_images = keep_every_images
        self.keep_at_most = keep_at_most
        self._multiples = 0
        self.best_value: float | None = None
        self._validated = False
        self._due = False

    def state_dict(self) -> dict[str, Any]:
        """The best value so far goes into the checkpoint, so that a resumed run can compare."""
        return {"best_value": self.best_value}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See `state_dict`."""
        self.best_value = state_dict["best_value"]

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Count multiples from where the run stands, which another run's images may have begun."""
        assert isinstance(module, TrainingModule)
        if self.keep_every_images:
            self._multiples = module.images_seen // self.keep_every_images

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        """Save within the epoch, at the end of a step: both networks have stepped."""
        assert isinstance(module, TrainingModule)
        # Before last.ckpt: a run that is killed between the two makes the snapshot again.
        if self.keep_every_images:
            multiples = module.images_seen // self.keep_every_images
            if multiples > self._multiples:
                self._multiples = multiples
                self._save(trainer, module, snapshot_path(self.folder, module.images_seen))
                self._remove_oldest(trainer, module.images_seen)
        # After an epoch's last step its own checkpoint comes behind the validation. From one before
        # that, Lightning would go on without the validation, and with an epoch too many; and
        # likewise without a validation that follows within the epoch.
        self._due = bool(self.every_steps) and module.steps_done % (self.every_steps or 1) == 0
        if self._due and not trainer.is_last_batch and not validation_follows(trainer):
            self._save(trainer, module, self.last)

    def save_last(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Write `last.ckpt` of the state between two steps."""
        assert isinstance(module, TrainingModule)
        self._save(trainer, module, self.last)

    @staticmethod
    def _save(trainer: L.Trainer, module: TrainingModule, path: Path) -> None:
        """Write a checkpoint that one can go on from.

        Raises:
            TrainingError: A weight is no number. Losses are looked at when a report is due, and a
                checkpoint may come before; the earlier file stays.
        """
        for name, value in module.state_dict().items():
            # The sum alone, which is quick, tells nearly always; one that overflows is looked into.
            finite = not value.is_floating_point() or value.sum().isfinite()
            if not finite and not value.isfinite().all():
                raise TrainingError(
                    f"Training diverged by {module.images_seen} images: {name} is not finite. "
                    f"{path.name} was not written; earlier checkpoints are kept. "
                    f"{when_diverged(str(trainer.precision))}"
                )
        trainer.save_checkpoint(path)

    def _remove_oldest(self, trainer: L.Trainer, images_seen: int) -> None:
        if self.keep_at_most is None or not trainer.is_global_zero:
            return
        # Of a course that was rolled back, those that lie ahead are written again when their turn
        # comes, and are no older ones.
        kept = [path for images, path in snapshots(self.folder) if images <= images_seen]
        for path in kept[: -self.keep_at_most]:
            trainer.strategy.remove_checkpoint(path)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Remember that this epoch's metrics are fresh; within an epoch, save what is due."""
        assert isinstance(module, TrainingModule)
        if trainer.sanity_checking:
            return
        if trainer.is_last_batch:
            self._validated = True
        elif self._improved(trainer, module):
            self._save_best(trainer, module)
        elif self._due:
            self._save(trainer, module, self.last)

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Save the state as the last, and as the best too if it is."""
        assert isinstance(module, TrainingModule)
        improved = self._validated and self._improved(trainer, module)
        self._validated = False
        if trainer.strategy.broadcast(improved or not self.best.exists()):
            self._save_best(trainer, module)
        else:
            self._save(trainer, module, self.last)

    def _improved(self, trainer: L.Trainer, module: TrainingModule) -> bool:
        """Whether a validation that has just ended is the best, which is noted; a collective."""
        name, mode = module.monitor
        value = float(trainer.callback_metrics.get(name, float("nan")))
        # All processes must agree, since saving is a collective.
        value = trainer.strategy.broadcast(value)
        sign = 1.0 if mode == "max" else -1.0
        if value != value or (
            self.best_value is not None and sign * (value - self.best_value) <= 0
        ):
            return False
        self.best_value = value
        return True

    def _save_best(self, trainer: L.Trainer, module: TrainingModule) -> None:
        # best.ckpt first: last.ckpt says what is best, so a run that is killed between the two must
        # come by here again.
        self._save(trainer, module, self.best)
        if trainer.is_global_zero:
            copy_checkpoint_file(self.best, self.last)


def validation_follows(trainer: L.Trainer) -> bool:
    """Whether a validation comes before the next step, in all processes alike.

    Lightning's own rule, which has no public name.
    """
    fit = trainer.fit_loop
    assert fit._data_fetcher is not None
    return fit.epoch_loop._should_check_val_fx(fit._data_fetcher)


def snapshot_path(folder: Path, images_seen: int) -> Path:
    """Where a snapshot lies that was kept after so many images."""
    return Path(folder) / f"images_{images_seen:08d}.ckpt"


def snapshots(folder: Path) -> list[tuple[int, Path]]:
    """Images seen and file of each snapshot in a folder of checkpoints, the earliest first."""
    named = [(re.fullmatch(r"images_(\d{8,})\.ckpt", path.name), path) for path in folder.iterdir()]
    return sorted((int(name[1]), path) for name, path in named if name)
