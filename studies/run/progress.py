"""How far a study is, and how long it will still take."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from display.numbers import duration
from studies.run.attempt import JobOutcome
from studies.run.folder import StudyFolder
from studies.specification.generator_names import generator_job


class StudyProgress:
    """One line per finished job, and on a terminal one live line with the time left.

    Args:
        kinds: Job name -> kind; jobs of one kind are expected to take equally long.
        num_workers: How many run at once.
        say: Prints a line.
    """

    def __init__(
        self, kinds: dict[str, str], num_workers: int, say: Callable[[str], None] = print
    ) -> None:
        self._kinds = kinds
        self._num_workers = num_workers
        self._say = say
        self._seconds: dict[str, list[float]] = {}
        self._running: dict[str, float] = {}
        self._ended: set[str] = set()

    def learn(self, folder: StudyFolder) -> None:
        """Take the durations of jobs that were done before."""
        for record in folder.finished() + folder.finished_generators():
            timings = record.get("timings", {})
            if not timings.get("resumed"):
                kind = kind_of(record["name"], record.get("model", ""))
                self._seconds.setdefault(kind, []).append(seconds_of(timings))

    def begin(self, name: str) -> None:
        """A job was handed to a worker."""
        self._running[name] = time.monotonic()

    def end(self, outcome: JobOutcome, shown: str) -> None:
        """A job ended; `shown` is its result in a few words."""
        self._running.pop(outcome.name, None)
        self._ended.add(outcome.name)
        if outcome.state == "done" and outcome.seconds > 0:
            self._seconds.setdefault(self._kinds[outcome.name], []).append(outcome.seconds)
        self._clear()
        done = f"[{len(self._ended)}/{len(self._kinds)}]"
        left = f" · {self.time_left()}" if len(self._ended) < len(self._kinds) else ""
        self._say(f"{done} {outcome.name}: {shown} ({duration(outcome.seconds)}){left}")

    def tick(self) -> None:
        """Refresh the live line."""
        if not sys.stderr.isatty() or not self._running:
            return
        now = time.monotonic()
        running = ", ".join(f"{name} {duration(now - t)}" for name, t in self._running.items())
        done = f"[{len(self._ended)}/{len(self._kinds)}]"
        print(
            f"\r\x1b[K{done} running {running} · {self.time_left()}"[:160],
            end="",
            file=sys.stderr,
            flush=True,
        )

    def time_left(self) -> str:
        """An estimate in words, from the mean duration of each kind so far."""
        known = [seconds for values in self._seconds.values() for seconds in values]
        if not known:
            return "time left is known after the first run"
        now = time.monotonic()
        left, longest = 0.0, 0.0
        for name, kind in self._kinds.items():
            if name in self._ended:
                continue
            values = self._seconds.get(kind, known)
            expected = sum(values) / len(values)
            if name in self._running:
                expected = max(0.0, expected - (now - self._running[name]))
            left += expected
            longest = max(longest, expected)
        return f"about {duration(max(left / self._num_workers, longest))} left"

    def _clear(self) -> None:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def kind_of(name: str, model: str) -> str:
    """What a job trains, whatever its seed: one of the generators, or the model of its cell."""
    made = generator_job(name)
    return model if made is None else f"generator {made.generator}".rstrip()


def seconds_of(timings: Mapping[str, Any]) -> float:
    """What a job took, from the timings of its record: training, evaluation and generation."""
    parts = ("fit_seconds", "evaluate_seconds", "generate_seconds")
    return sum(timings.get(part) or 0.0 for part in parts)
