"""Jobs done one after the other, or by several processes that hold one each."""

import itertools
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Any, TypeVar

J = TypeVar("J")
R = TypeVar("R")

_work: Callable[[Any], Any] | None = None


def in_processes(
    work: Callable[[J], R], todo: Sequence[J], workers: int, isolated: bool = False
) -> Iterator[tuple[J, R]]:
    """Yield (job, result) as jobs are finished, in any order.

    Args:
        work: Sent to every worker once, so it may be large.
        todo: The jobs, each small.
        workers: Processes.
        isolated: Use a process of its own even for one worker: where `work` may crash it.

    Raises:
        BrokenProcessPool: A worker was killed, or crashed. Jobs not yielded have no result.
    """
    if not isolated and (workers <= 1 or len(todo) <= 1):
        for job in todo:
            yield job, work(job)
        return
    # spawn: a fork of a process with threads (the progress bar has one) may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        max(1, min(workers, len(todo))), context, initializer=_begin, initargs=(work,)
    ) as pool:
        queue = iter(todo)
        running: dict[Future[R], J] = {}
        try:
            while True:
                # Only as many as can run soon: the parent's memory must not grow with the source.
                for job in itertools.islice(queue, 2 * workers - len(running)):
                    running[pool.submit(_do, job)] = job
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin(work: Callable[[Any], Any]) -> None:
    """Keep the work, and leave when the parent is gone: workers would wait for ever."""
    global _work
    _work = work
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _do(job: Any) -> Any:
    assert _work is not None
    return _work(job)
