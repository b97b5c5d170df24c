"""Reads items in processes of their own: a decoder that crashes costs one image, not the batch."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from prediction.items import Item, LeftOut
from worker_pool import InChild, WorkerDiedError, in_processes

# A decoder that is busy for longer will not come back.
_SECONDS = 600

Reader = Callable[[Item], Any]


@dataclass(frozen=True)
class _Watched:
    """Reads under an alarm that ends the process: a decoder in C hears nothing milder."""

    read: Reader

    def __call__(self, item: Item) -> Any:
        watched = multiprocessing.parent_process() is not None
        if watched:
            # Ctrl-C is for the command, which ends its workers.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.alarm(_SECONDS)
        try:
            return self.read(item)
        finally:
            if watched:
                signal.alarm(0)


def read_each(read: Reader, items: Sequence[Item], workers: int) -> Iterator[tuple[Item, Any]]:
    """Yield each item with what was read of it, or with why it is left out, in any order.

    Args:
        read: Reads one item.
        items: In which order to begin them.
        workers: Processes; 0 reads in this one, where a decoder that crashes ends the command.
    """
    left = {item.name: item for item in items}
    work = _Watched(read)
    while left:
        try:
            for item, found in in_processes(work, list(left.values()), workers, workers > 0):
                del left[item.name]
                yield item, found
        except WorkerDiedError:
            # One of those that were being read: all others have not been begun.
            child = InChild(work)
            for item in list(left.values())[: 2 * workers]:
                found = _read_in(child, item)
                del left[item.name]
                yield item, found
            child.close()


def _read_in(child: InChild[Item, Any], item: Item) -> Any:
    try:
        return child(item, _SECONDS)
    except WorkerDiedError:
        return LeftOut("crashed its decoder, or took all memory. Export it again, uncompressed.")
    except TimeoutError:
        return LeftOut(f"kept its decoder busy for {_SECONDS} s. Export it again, uncompressed.")
