"""SIGTERM, as schedulers send it before they kill: the run ends between two steps."""

import signal
import sys
import threading
import time
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from lightning.pytorch.utilities.exceptions import SIGTERMException

from callbacks.checkpoints import Checkpoints, validation_follows
from lightning_modules.distributed import end_before_launched, process_count
from lightning_modules.training_module import TrainingModule

# Several processes tell one another of the signal about so often, and at least every so many steps.
_SECONDS = 1.0
_MOST_STEPS = 50


class StopSignal(L.Callback):
    """After a SIGTERM writes `last.ckpt` at the end of a step and stops, in all processes alike.

    Lightning's own handler stops without a checkpoint, and with several processes sends a message
    to the others from inside the handler, which may stand between the halves of another one. Here
    the handler sets a flag. One process looks at it after every step. Several tell one another of
    it, which waits for the GPU, so not at every step but about once a second, at steps that they
    have agreed on: after the slowest one's last steps they count how many a second holds, 50 at
    most. A validation is finished first: the checkpoint is written behind it.

    Args:
        checkpoints: Writes the checkpoint; it comes before this one among the callbacks.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints
        self.received = False
        self._asked_at = 0  # step
        self._asked = 0.0  # clock
        self._next = 0  # step

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Take the place of Lightning's handler; at the training's end it restores the first."""
        assert isinstance(module, TrainingModule)
        self.received = trainer.received_sigterm
        self._asked_at, self._asked, self._next = module.steps_done, time.monotonic(), 0
        if threading.current_thread() is threading.main_thread() and sys.platform != "win32":
            signal.signal(signal.SIGTERM, self._note)
        # Asks at every step for what its handler noted, which nothing notes any more.
        loop: Any = trainer.fit_loop.epoch_loop
        loop._broadcast_sigterm_tensor = _nothing

    def _note(self, *_: Any) -> None:
        self.received = True

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        """Save and stop, if any process was told to; after an epoch's last step, behind its end."""
        assert isinstance(module, TrainingModule)
        due = module.steps_done >= self._next and not trainer.is_last_batch
        if due and not validation_follows(trainer):
            self._stop_if_told(trainer, module)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Save and stop behind a validation within an epoch."""
        if not trainer.sanity_checking and not trainer.is_last_batch:
            self._stop_if_told(trainer, module)

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Stop behind the checkpoint of the epoch's end."""
        if self._told(module):
            raise SIGTERMException

    def on_exception(
        self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException
    ) -> None:
        """All processes stop alike, each in its own time."""
        if isinstance(exception, SIGTERMException):
            end_before_launched(trainer.strategy)

    def _stop_if_told(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if self._told(module):
            self._checkpoints.save_last(trainer, module)
            raise SIGTERMException

    def _told(self, module: L.LightningModule) -> bool:
        """Whether any process received the signal; a collective, which says when the next one is.

        How long a step takes is the slowest process's, so that all count alike.
        """
        if process_count() == 1:
            return self.received
        assert isinstance(module, TrainingModule)
        steps = max(1, module.steps_done - self._asked_at)
        own = [float(self.received), (time.monotonic() - self._asked) / steps]
        most = torch.tensor(own, dtype=torch.float64, device=module.device)
        dist.all_reduce(most, op=dist.ReduceOp.MAX)
        received, seconds = most.tolist()
        # A signal that comes during the question is kept for the next one: its answer is this
        # process's alone, and clearing it would lose it.
        if received:
            self.received = True
        self._asked_at, self._asked = module.steps_done, time.monotonic()
        self._next = module.steps_done + steps_until_asked(seconds)
        return bool(received)


def steps_until_asked(seconds: float) -> int:
    """Steps until processes ask one another again, when one takes so many seconds."""
    return max(1, min(_MOST_STEPS, int(_SECONDS / max(seconds, 1e-9))))


def _nothing() -> None:
    pass
