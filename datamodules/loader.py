"""Batches of a data set, made by this process or by others beside it."""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, Dataset


def loader_of(data: Any, dataset: Dataset[Any], **batching: Any) -> DataLoader[Any]:
    """Batches of a data set, with the workers and the collate function of a datamodule.

    Args:
        data: The datamodule, with `collate` and `num_workers`.
        dataset: What is loaded.
        batching: Of `DataLoader`: batch_size, or batch_sampler, and so on.
    """
    beside = data.num_workers > 0
    return DataLoader(
        dataset,
        **batching,
        collate_fn=_InSharedMemory(data.collate) if beside else data.collate,
        worker_init_fn=_leave_sigterm_to_the_parent if beside else None,
        num_workers=data.num_workers,
        persistent_workers=beside,
        pin_memory=data.trainer is not None and data.trainer.strategy.root_device.type == "cuda",
    )


@dataclass(frozen=True)
class _InSharedMemory:
    """Stacks a batch where the parent finds it, in the thread whose errors reach the parent.

    Left to torch, another thread of the worker does it, and where the shared memory is full the
    parent waits for ever for a batch that never comes.
    """

    collate: Callable[[list[Any]], dict[str, Any]]

    def __call__(self, samples: list[Any]) -> dict[str, Any]:
        batch = self.collate(samples)
        for value in batch.values():
            if isinstance(value, Tensor):
                value.share_memory_()
        return batch


def _leave_sigterm_to_the_parent(_: int) -> None:
    """Let a worker end at a SIGTERM of its parent, and at no other one.

    Schedulers send SIGTERM to every process of a job, and a training that was told to stop still
    needs its workers: it finishes its step, writes a checkpoint, and ends them itself.
    """
    if not hasattr(signal, "sigwaitinfo"):
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
