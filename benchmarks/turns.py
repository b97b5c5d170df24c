"""Training loops that take turns in one process, so that a busy machine slows all of them alike."""

import ctypes
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from device import MMAP_THRESHOLD, TRIM_THRESHOLD, keep_freed_memory

_ARENA_MAX = -8  # of malloc.h


class Turns:
    """A training loop in a thread of its own, which goes on only while it is asked to.

    The loop pulls its batches from this object; each pull ends a step and waits. So loops that were
    written without a thought of being timed, a trainer's among them, can be timed step by step.

    Args:
        loop: The whole training; is given this object, iterates over it, and is never asked to end.
        batch: Makes the batch that every step gets.
        keeps_memory: Of freed tensors, as a training of ours does; else glibc has its own way.
    """

    def __init__(
        self,
        loop: Callable[["Turns"], object],
        batch: Callable[[], Any],
        keeps_memory: bool = False,
    ) -> None:
        self._loop, self.batch, self._keeps_memory = loop, batch, keeps_memory
        # A thread's memory would else be in small heaps of its own, and a training's is not.
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)
        self._go, self._there = threading.Semaphore(0), threading.Semaphore(0)
        self._failure: BaseException | None = None
        threading.Thread(target=self._run, daemon=True).start()
        self._arrived()

    def __len__(self) -> int:
        """Longer than any measurement, so that nothing that comes at an epoch's end is in it."""
        return 10**6

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        """The next batch, once the loop may go on."""
        self._there.release()
        self._go.acquire()
        return self.batch()

    def seconds(self, steps: int) -> float:
        """Time of so many steps; raises what the loop raised.

        On one thread the processor's time, which is the wall's on an idle machine, and which other
        programs on a busy one disturb less; else the wall's.
        """
        if self._keeps_memory:
            keep_freed_memory()
        else:  # to where glibc moves its thresholds by itself when large blocks are freed
            ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, 2**25)
            ctypes.CDLL(None).mallopt(TRIM_THRESHOLD, 2**26)
        clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
        started = clock()
        for _ in range(steps):
            self._go.release()
            self._arrived()
        return clock() - started

    def _arrived(self) -> None:
        self._there.acquire()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        torch.set_num_threads(torch.get_num_threads())  # a thread begins with the machine's
        try:
            self._loop(self)
            raise RuntimeError("a training loop ended before it was asked to")
        except BaseException as error:  # is raised where the steps are waited for
            self._failure = error
            self._there.release()
