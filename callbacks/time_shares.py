"""What an epoch's time goes into: training steps, waiting for data, and all that reports."""

import sys
import time
from typing import Any

import lightning as L
from tqdm import tqdm

from callbacks.record import RunRecord
from lightning_modules.training_module import TrainingModule

SLOW_DATA = 0.1
"""Where waiting for data takes this share of an epoch or more, the sentence says what helps."""


class TimeShares(L.Callback):
    """Logs and prints, after every epoch, which share of its time went where.

    "time_share/loading" is the time between two training steps, in which the next batch is waited
    for; "time_share/reports" is what comes after the last step: validation, distances, pictures and
    checkpoints. The rest are training steps. On a GPU, steps that are still running while the next
    batch is fetched hide some of the waiting, as they should.

    Args:
        printed: Whether a line goes to the terminal, on rank 0.
    """

    def __init__(self, printed: bool = True) -> None:
        self.printed = printed
        self._epoch: int | None = None
        self._images = 0
        self._started = self._mark = self._steps = self._loading = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Report the epoch that is over, checkpoints among it, and start the clock again."""
        assert isinstance(module, TrainingModule)
        self._report(trainer, module)
        self._epoch, self._images = trainer.current_epoch, module.images_seen
        self._started = self._mark = time.perf_counter()
        self._steps = self._loading = 0.0

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, index: int
    ) -> None:
        """What has passed since the last step was waiting for this batch."""
        now = time.perf_counter()
        self._loading += now - self._mark
        self._mark = now

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        """The step is done."""
        now = time.perf_counter()
        self._steps += now - self._mark
        self._mark = now

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Report the last epoch."""
        assert isinstance(module, TrainingModule)
        self._report(trainer, module)
        self._epoch = None

    def _report(self, trainer: L.Trainer, module: TrainingModule) -> None:
        whole = time.perf_counter() - self._started
        images = module.images_seen - self._images
        if self._epoch is None or not images:
            return
        loading = self._loading / whole
        reports = max(0.0, 1 - (self._loading + self._steps) / whole)
        shares = {"time_share/loading": loading, "time_share/reports": reports}
        RunRecord.send(trainer, module, shares, self._epoch)
        if not (self.printed and trainer.is_global_zero):
            return
        text = (
            f"epoch {self._epoch + 1}: {images:,} images in {whole:.1f} s; waiting for data "
            f"{100 * loading:.1f} %, validation, pictures, distances and checkpoints "
            f"{100 * reports:.1f} %"
        )
        if loading > SLOW_DATA:
            text += "; more --data.num_workers may load faster"
        tqdm.write(text, file=sys.stderr)  # above the progress bar
