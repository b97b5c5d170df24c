"""Work done one piece after the other, or by several processes that hold one piece each."""

import itertools
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Generic, TypeVar

from provenance import UserError

J = TypeVar("J")
R = TypeVar("R")

# A fork of a process with threads (torch, a progress bar) may hang.
_START_METHOD = "spawn"
_work: Callable[[Any], Any] | None = None


class WorkerDiedError(UserError):
    """A worker was killed, or crashed."""


def in_processes(
    work: Callable[[J], R], todo: Sequence[J], workers: int, isolated: bool = False
) -> Iterator[tuple[J, R]]:
    """Yield (job, result) as jobs are finished, in any order.

    Args:
        work: Sent to every worker once, so it may be large.
        todo: The jobs, each small.
        workers: Processes. One, or one job, is done in this process: a new one imports anew.
        isolated: Use a process of its own even then: where `work` may crash it.

    Raises:
        WorkerDiedError: A worker was killed, or crashed. Jobs not yielded have no result.
    """
    if not isolated and (workers <= 1 or len(todo) <= 1):
        for job in todo:
            yield job, work(job)
        return
    with _executor(work, max(1, min(workers, len(todo)))) as pool:
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
        except BrokenProcessPool:
            raise WorkerDiedError(
                f"--workers {workers}: a worker was killed, most likely for lack of memory. What "
                "was finished is kept. Run the same command again with --workers "
                f"{max(1, workers // 2)}; it goes on where it stopped."
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class InChild(Generic[J, R]):
    """Calls a function in one process of its own, which may die of it and is then replaced."""

    def __init__(self, work: Callable[[J], R]) -> None:
        self._work = work
        self._pool: ProcessPoolExecutor | None = None

    def __call__(self, job: J, seconds: float) -> R:
        """Return `work(job)`, or raise what it raised.

        Raises:
            WorkerDiedError: The process died.
            TimeoutError: It took longer than `seconds` and was ended.
        """
        if self._pool is None:
            self._pool = _executor(self._work, 1)
        future = self._pool.submit(_do, job)
        try:
            result: R = future.result(timeout=seconds)
            return result
        except BrokenProcessPool as error:
            self.close()
            raise WorkerDiedError("A process died.") from error
        except TimeoutError:
            for process in list((self._pool._processes or {}).values()):
                process.kill()
            self.close()
            raise

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _executor(work: Callable[[Any], Any], processes: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context(_START_METHOD)
    return ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(work,))


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
