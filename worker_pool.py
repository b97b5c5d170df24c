"""Work done one piece after the other, or by several processes that hold one piece each."""

import itertools
import multiprocessing
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from provenance import DISK_FULL, UserError, readable_size

J = TypeVar("J")
R = TypeVar("R")

# A fork of a process with threads (torch, a progress bar) may hang.
_START_METHOD = "spawn"
_SHARED_MEMORY = Path("/dev/shm")
_WITHOUT_SHARED_MEMORY = re.compile(
    r"Bus error|unable to (allocate|open|resize|write to file|mmap).*(shared memory|/torch_|shm)"
)
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


def end_with_parent() -> None:
    """End this process once the one that started it is gone, killed or not: no orphan trains on."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def worded_loading(num_workers: int, flag: str) -> Iterator[None]:
    """Around work with torch's loaders: the death of their processes is a sentence.

    Raises:
        WorkerDiedError: See `lost_loader`.
        UserError: One of them found something wrong; see `without_traceback`.
    """
    try:
        yield
    except UserError as error:
        raise without_traceback(error) from error
    except (RuntimeError, OSError) as error:
        lost = lost_loader(error, num_workers, flag)
        if lost is None:
            raise
        raise lost from error


def without_traceback(error: UserError) -> UserError:
    """The sentence of a process that loads images, of which torch makes a traceback as text."""
    first, _, rest = str(error).partition("\n")
    if not re.match(r"Caught \w+ in DataLoader worker", first):
        return error
    return UserError(re.split(r"\n(?:\w+\.)*\w*Error: ", rest)[-1].strip())


def lost_loader(error: BaseException, num_workers: int, flag: str) -> WorkerDiedError | None:
    """What to say where processes that load images for torch died; None of any other error.

    Args:
        error: As torch raised it.
        num_workers: How many there were.
        flag: That sets their number.
    """
    told = str(error)
    if num_workers and (_WITHOUT_SHARED_MEMORY.search(told) or _is_of_a_semaphore(error)):
        size = readable_size(shutil.disk_usage(_SHARED_MEMORY).total)
        return WorkerDiedError(
            f"{flag} {num_workers}: processes that load images hand them on through "
            f"{_SHARED_MEMORY} ({size}), and it is full. Enlarge it (docker run --shm-size 8g, or "
            f"--ipc=host), give fewer processes or smaller batches, or {flag} 0, which needs none "
            "of it."
        )
    if "DataLoader worker" not in told or "Caught" in told:
        return None
    how = re.search(r"killed by signal: (\w+)|exited unexpectedly", told)
    by = f"by signal {how[1]}" if how and how[1] else "from outside"
    return WorkerDiedError(
        f"{flag} {num_workers}: a process that loads images was ended {by}, most likely for lack "
        f"of memory. Give fewer ({flag} {num_workers // 2}), or more memory."
    )


def _is_of_a_semaphore(error: BaseException) -> bool:
    """Queues between processes need a page of shared memory each; its error names no file."""
    full = isinstance(error, OSError) and error.errno in DISK_FULL and error.filename is None
    return full and shutil.disk_usage(_SHARED_MEMORY).free < 2**20


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
