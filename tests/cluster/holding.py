"""A training that waits for its time limit, so that a test knows how often it is requeued."""

import os
import time
from typing import Any

import lightning as L

REQUEUES = 5


class HoldsForTheTimeLimit(L.Callback):
    """In its first lives a job does one more step than before, and then hangs.

    Args:
        requeues: How many lives.
    """

    def __init__(self, requeues: int = REQUEUES) -> None:
        self.requeues = requeues

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, *rest: Any) -> None:
        life = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
        if life < self.requeues and module.steps_done == life + 2:
            time.sleep(600)
