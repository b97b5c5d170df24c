"""Rows of measurements that are on disk as soon as they are known, and what stops a slow one.

A part of benchmarks/gpu_day.py is a process that measures rows, in order of importance, until it is
ended. Each row is a line of a file: when it begins, and when it is measured or has failed. So a
process that is ended, hangs or breaks costs the row it was at; the next one goes on behind it.
"""

import gc
import json
import math
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

Row = dict[str, Any]
_MOST_WORDS = 220


class TooSlow(Exception):  # noqa: N818 (said to whoever reads the row)
    """A row that took longer than it may."""


@dataclass(frozen=True)
class Task:
    """One row to measure.

    Attributes:
        row: What it is, as plain values; they name it.
        measure: Gives what was measured.
        seconds: That it may take.
    """

    row: Row
    measure: Callable[[], Row]
    seconds: float

    @property
    def key(self) -> str:
        """By which it is known that it has been tried."""
        return json.dumps(self.row)


def read_rows(path: Path) -> list[Row]:
    """All whole lines of a file; none where there is no file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    rows = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:  # a process was ended while it wrote
            continue
    return rows


def add_row(path: Path, row: Row) -> None:
    """Append a line; what is no number is written as a word, since JSON has none for it."""
    row = {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }
    with open(path, "a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")


def measure_all(part: str, tasks: Iterable[Task], path: Path) -> None:
    """Measure what has not been tried yet, and write down each row as it comes.

    Raises:
        RuntimeError: The GPU is in a state in which nothing more can be measured by this process.
    """
    tasks = list(tasks)
    earlier = [row for row in read_rows(path) if row["part"] == part]
    if not earlier:
        add_row(path, {"part": part, "state": "planned", "rows": [task.row for task in tasks]})
    tried = {row["key"] for row in earlier if "key" in row}
    for task in tasks:
        if task.key in tried:
            continue
        add_row(path, {"part": part, "key": task.key, "state": "begun", **task.row})
        gc.collect()  # a timer and its module hold each other, and memory that is measured here
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        started, broken = time.perf_counter(), None
        try:
            with at_most(task.seconds):
                found: Row = {"state": "measured", **task.measure()}
        except Exception as error:  # whatever goes wrong is this row's result
            found = {"state": "not possible", "reason": reason_of(error, task.seconds, started)}
            broken = error if _breaks_the_process(error) else None
        found["took_s"] = round(time.perf_counter() - started, 2)
        add_row(path, {"part": part, "key": task.key, **task.row, **found})
        print(part, *task.row.values(), _short(found), flush=True)
        if broken is not None:
            raise RuntimeError("the GPU is lost to this process") from broken


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raises `TooSlow` in the block once it has taken so long; a call that never returns hangs."""

    def stop(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def reason_of(error: Exception, seconds: float, started: float) -> str:
    """Why a row was not possible, in a line."""
    if isinstance(error, TooSlow) or time.perf_counter() - started >= seconds:
        return f"took longer than {seconds:g} s"
    if isinstance(error, torch.OutOfMemoryError):
        return "the GPU's memory is too small"
    words = " ".join(str(error).split()) or "no word"
    return f"{type(error).__name__}: {words[:_MOST_WORDS]}"


def _breaks_the_process(error: Exception) -> bool:
    """Whether CUDA says that the context is gone; memory that is full is not."""
    words = str(error)
    return isinstance(error, RuntimeError) and "CUDA error" in words and "memory" not in words


def _short(found: Row) -> str:
    shown = {k: round(v, 3) if isinstance(v, float) else v for k, v in found.items()}
    return ", ".join(f"{name} {value}" for name, value in shown.items() if name != "state")
