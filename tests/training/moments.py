"""Where a training is, told from outside: a line for each part of it that begins."""

import os
import time
from typing import Any

import lightning as L

from lightning_modules.distributed import launched_rank


class Moments(L.Callback):
    """Appends "<time> <part>" to a file, written through at once, so that a kill loses no line.

    Args:
        path: Of rank 0; the other ranks write nothing.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def _tell(self, part: str) -> None:
        if launched_rank() != 0:
            return
        stream = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(stream, f"{time.time():.4f} {part}\n".encode())
        os.close(stream)

    def on_train_batch_start(self, *_: Any) -> None:
        self._tell("step")

    def on_validation_start(self, *_: Any) -> None:
        self._tell("validation")

    def on_save_checkpoint(self, *_: Any) -> None:
        self._tell("checkpoint")

    def on_train_end(self, *_: Any) -> None:
        self._tell("end")
