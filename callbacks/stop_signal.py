"""SIGTERM, as schedulers send it before they kill: the run ends between two steps."""

import signal
import sys
import threading
from typing import Any

import lightning as L
from lightning.pytorch.utilities.exceptions import SIGTERMException

from callbacks.checkpoints import Checkpoints


class StopSignal(L.Callback):
    """After a SIGTERM writes `last.ckpt` at the end of the step and stops, in all processes alike.

    Lightning's own handler stops without a checkpoint, and with several processes sends a message
    to the others from inside the handler, which may stand between the halves of another one. Here
    the handler sets a flag; at the end of every step the processes tell one another of it. A
    validation is finished first: its epoch's end then writes the checkpoint.

    Args:
        checkpoints: Writes the checkpoint.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints
        self.received = False

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Take the place of Lightning's handler; at the training's end it restores the first."""
        self.received = trainer.received_sigterm
        if threading.current_thread() is threading.main_thread() and sys.platform != "win32":
            signal.signal(signal.SIGTERM, self._note)

    def _note(self, *_: Any) -> None:
        self.received = True

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        """Save and stop, if any process was told to; after an epoch's last step, behind its end."""
        if not trainer.is_last_batch and self._told(trainer):
            self._checkpoints.save_last(trainer, module)
            raise SIGTERMException

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Stop behind the checkpoint of the epoch's end."""
        if self._told(trainer):
            raise SIGTERMException

    def _told(self, trainer: L.Trainer) -> bool:
        self.received = trainer.strategy.reduce_boolean_decision(self.received, all=False)
        return self.received
