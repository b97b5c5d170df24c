"""Can any file crash what reads it, hang it, or come out as something else?

Small sound files of every kind that prepare.py reads, and every eighth time real DICOM films where
a folder of them is given, are damaged (flipped bits, cut ends, edited headers and cells, bytes put
in and taken out) and read in a child process, so that a decoder which takes the process down is
seen and counted, and one that is busy for too long is ended.

Seconds are those of the processor, so that other work on the machine does not count.
"""

import multiprocessing
import os
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

from byte_changes import Base, mutate
from kinds import DICOM_READER, KINDS, read_damaged

from preparation.films.dicom.film_reader import find_dicom_films
from preparation.films.film import RejectedFilm

SECONDS_ALLOWED, SECONDS_UNTIL_KILLED = 1.0, 10.0
REAL_EVERY = 8
# What may become of a file; everything else must not happen.
_RIGHT = ("read", "rejected ")


@dataclass(frozen=True)
class Outcome:
    """What became of one damaged file.

    `what` is `read`, `rejected <reason>`, or a failure: `uncaught <type>`, `crashed <exit code>`,
    `hung`, or what a kind must not do, such as `wrong shape`.
    """

    kind: str
    number: int
    base: str
    changes: str
    what: str
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether this must not happen."""
        return not self.what.startswith(_RIGHT)


def real_films(folder: Path) -> list[Base]:
    """The films of a folder that can be read as they are."""
    found = []
    for file in find_dicom_films(folder):
        try:
            found.append(Base(file.name, file.path.read_bytes(), DICOM_READER(file).pixels.shape))
        except RejectedFilm:
            continue
    return found


def choose(small: Sequence[Base], real: Sequence[Base], seed: int, number: int) -> Base:
    """The file that a mutation starts from."""
    bases = real if real and number % REAL_EVERY == 0 else small
    return Random(f"{seed}:{number}:base").choice(bases)


def damaged(
    kind: str, small: Sequence[Base], real: Sequence[Base], seed: int, number: int
) -> tuple[Base, bytes, str]:
    """A sound file, its damaged bytes, and what was done to them."""
    base = choose(small, real, seed, number)
    return base, *mutate(base.data, KINDS[kind].changes, seed, number)


def _work(
    connection: Connection, kind: str, real: list[Base], seed: int, numbers: Sequence[int]
) -> None:
    """Run in the child: send an outcome per number, then the peak of memory in MB."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders in C complain there of every file
    small = KINDS[kind].bases()
    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            base, data, changes = damaged(kind, small, real, seed, number)
            started = time.process_time()
            what = read_damaged(kind, base, data, Path(folder, "one"))
            seconds = round(time.process_time() - started, 4)
            connection.send(Outcome(kind, number, base.name, changes, what, seconds))
    connection.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def fuzz(
    kind: str, real: list[Base], seed: int, numbers: Sequence[int]
) -> Iterator[Outcome | float]:
    """Yield the outcome of each number, and each child's peak memory in MB.

    A child that dies or hangs is replaced, and goes on behind the file that killed it.
    """
    context = multiprocessing.get_context("spawn")
    small = KINDS[kind].bases()
    while numbers:
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_work, args=(theirs, kind, real, seed, numbers))
        child.start()
        theirs.close()
        done, what = 0, ""
        try:
            while done <= len(numbers) and not what:
                # The first takes the imports of the child as well.
                if ours.poll(SECONDS_UNTIL_KILLED + (0 if done else 60)):
                    yield ours.recv()
                    done += 1
                else:
                    what = "hung"
        except EOFError:
            child.join()
            what = f"crashed {child.exitcode}"
        finally:  # also where the caller wants no more
            child.kill()
            child.join()
        if not what:
            return
        if done < len(numbers):
            base, _, changes = damaged(kind, small, real, seed, numbers[done])
            yield Outcome(kind, numbers[done], base.name, changes, what, 0.0)
        numbers = numbers[done + 1 :]


def summarise(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Counts of what became of the files, every failure, and the slowest."""
    counts = Counter(outcome.what for outcome in outcomes)
    slowest = sorted(outcomes, key=lambda outcome: -outcome.seconds)
    return {
        "files": len(outcomes),
        "read": counts["read"],
        "rejected": {
            what.removeprefix("rejected "): number
            for what, number in counts.most_common()
            if what.startswith("rejected")
        },
        "uncaught": sum(o.what.startswith("uncaught") for o in outcomes),
        "crashed": sum(o.what.startswith("crashed") for o in outcomes),
        "hung": counts["hung"],
        "over_1_s": sum(o.seconds > SECONDS_ALLOWED for o in outcomes),
        "failures": [asdict(o) for o in outcomes if o.failed],
        "slowest": [asdict(o) for o in slowest[:5]],
    }
