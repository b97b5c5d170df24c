"""One progress bar for the whole run, with the time left until its end."""

import sys
from typing import Any

import lightning as L
from lightning.pytorch.callbacks.progress.progress_bar import ProgressBar
from tqdm import tqdm

from lightning_modules.training_module import TrainingModule


class RunProgress(ProgressBar):
    """Epochs, images per second, time left and the latest scalars, on rank 0's terminal.

    Lightning's bar starts anew every epoch, so it cannot say when a run ends.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bar: tqdm[Any] | None = None
        self._enabled = True

    @property
    def is_enabled(self) -> bool:
        """Whether `LightningModule.print` goes through the bar, so that its lines stay whole."""
        return self._enabled

    def print(self, *args: Any, sep: str = " ", **kwargs: Any) -> None:
        """Print above the bar; `file` and `end` are as for the built-in function."""
        tqdm.write(sep.join(map(str, args)), **kwargs)

    def disable(self) -> None:
        """Called by Lightning on all ranks but 0."""
        self._enabled = False

    def enable(self) -> None:
        """Called by Lightning on rank 0."""
        self._enabled = True

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Open the bar where a resumed run stands."""
        assert isinstance(module, TrainingModule)
        if not self._enabled:
            return
        epochs = trainer.max_epochs
        steps = None if epochs is None or epochs < 0 else epochs * int(trainer.num_training_batches)
        self._bar = tqdm(
            total=steps,
            initial=module.steps_done,
            unit="step",
            desc=type(module).__name__,
            dynamic_ncols=True,
            file=sys.stderr,
            mininterval=0.5,
        )

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        """Move on, with the latest losses and scores."""
        if self._bar is None:
            return
        self._bar.update(1)
        assert isinstance(module, TrainingModule)
        if module.report_due:
            shown = {
                name.removeprefix("train/"): f"{float(value):.3g}"
                for name, value in trainer.callback_metrics.items()
                if name.startswith("train/") or name == module.monitor[0]
            }
            self._bar.set_postfix({"epoch": trainer.current_epoch + 1, **shown}, refresh=False)

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Leave the finished line standing."""
        if self._bar is not None:
            self._bar.close()

    def on_exception(
        self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException
    ) -> None:
        """Release the terminal so that the message stands on a line of its own."""
        if self._bar is not None:
            self._bar.close()
