"""Shards made one after the other, or by several processes that hold one volume each."""

import errno
import itertools
import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

from datamodules.sources.shards import Layout, make_shard
from datamodules.sources.volumes import Job, Reader, SkipVolume

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

Result = dict[str, Any] | SkipVolume


def _make(out: Path, job: Job, reader: Reader, layout: Layout) -> Result:
    """Make one shard; what is wrong with a volume is a result, what is wrong with us raises."""
    try:
        return make_shard(out, job, reader, layout)
    except SkipVolume as skip:
        return skip
    except MemoryError:
        return SkipVolume(job.names[0], "does not fit into memory. Left out; use fewer --workers.")
    except OSError as error:
        if error.errno in DISK_FULL or str(error.filename or out).startswith(str(out)):
            raise
        return SkipVolume(job.names[0], f"cannot be read ({error.strerror}). Left out.")


def make_shards(
    out: Path, todo: list[Job], reader: Reader, layout: Layout, workers: int
) -> Iterator[tuple[Job, Result]]:
    """Yield (job, record or why it was skipped) as shards are finished, in any order.

    Raises:
        OSError: The disk is full or `out` cannot be written.
        BrokenProcessPool: A worker was killed.
    """
    if workers <= 1 or len(todo) <= 1:
        for job in todo:
            yield job, _make(out, job, reader, layout)
        return
    # spawn: a fork of a process with threads (the progress bar has one) may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        min(workers, len(todo)), context, initializer=_end_with_parent
    ) as pool:
        queue = iter(todo)
        running: dict[Future[Result], Job] = {}
        try:
            while True:
                # Only as many as can run soon: the parent's memory must not grow with the source.
                for job in itertools.islice(queue, 2 * workers - len(running)):
                    running[pool.submit(_make, out, job, reader, layout)] = job
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _end_with_parent() -> None:
    """Leave when the parent is gone: workers of a killed prepare would wait for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
