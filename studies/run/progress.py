"""How far a study is, and how long it will still take."""

import sys
import time
from collections import Counter
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
        # Of each kind: jobs that have not begun, and number and seconds of those that were timed.
        # Going through all jobs after each one would take jobs x jobs.
        self._waiting = Counter(kinds.values())
        self._timed: Counter[str] = Counter()
        self._seconds: dict[str, float] = {}
        self._running: dict[str, float] = {}
        self._num_ended = 0

    def learn(self, folder: StudyFolder) -> None:
        """Take the durations of jobs that were done before."""
        for record in folder.finished() + folder.finished_generators():
            timings = record.get("timings", {})
            if not timings.get("resumed"):
                self._took(kind_of(record["name"], record.get("model", "")), seconds_of(timings))

    def begin(self, name: str) -> None:
        """A job was handed to a worker."""
        self._waiting[self._kinds[name]] -= 1
        self._running[name] = time.monotonic()

    def end(self, outcome: JobOutcome, shown: str) -> None:
        """A job ended, perhaps without having begun; `shown` is its result in a few words."""
        kind = self._kinds[outcome.name]
        if self._running.pop(outcome.name, None) is None:
            self._waiting[kind] -= 1
        self._num_ended += 1
        if outcome.state == "done" and outcome.seconds > 0:
            self._took(kind, outcome.seconds)
        self._clear()
        done = f"[{self._num_ended}/{len(self._kinds)}]"
        left = f" · {self.time_left()}" if self._num_ended < len(self._kinds) else ""
        self._say(f"{done} {outcome.name}: {shown} ({duration(outcome.seconds)}){left}")

    def tick(self) -> None:
        """Refresh the live line."""
        if not sys.stderr.isatty() or not self._running:
            return
        now = time.monotonic()
        running = ", ".join(f"{name} {duration(now - t)}" for name, t in self._running.items())
        done = f"[{self._num_ended}/{len(self._kinds)}]"
        print(
            f"\r\x1b[K{done} running {running} · {self.time_left()}"[:160],
            end="",
            file=sys.stderr,
            flush=True,
        )

    def time_left(self) -> str:
        """An estimate in words, from the mean duration of each kind so far."""
        num_timed = sum(self._timed.values())
        if not num_timed:
            return "time left is known after the first run"
        of_all = sum(self._seconds.values()) / num_timed

        def expected(kind: str) -> float:
            return self._seconds[kind] / self._timed[kind] if self._timed[kind] else of_all

        now = time.monotonic()
        begun = [
            max(0.0, expected(self._kinds[name]) - (now - since))
            for name, since in self._running.items()
        ]
        waiting = {kind: expected(kind) for kind, number in self._waiting.items() if number}
        left = sum(begun) + sum(self._waiting[kind] * each for kind, each in waiting.items())
        longest = max([*begun, *waiting.values()], default=0.0)
        return f"about {duration(max(left / self._num_workers, longest))} left"

    def _took(self, kind: str, seconds: float) -> None:
        self._timed[kind] += 1
        self._seconds[kind] = self._seconds.get(kind, 0.0) + seconds

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
