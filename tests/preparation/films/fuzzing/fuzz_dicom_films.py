"""Can any DICOM file crash the film reader, hang it, or come out as a picture of another shape?

Small films in the encodings that hospitals use, and of a folder of real films where one is given
every eighth, are damaged (flipped bits, cut ends, edited tags, bytes put in and taken out) and read
in a child process, so that a decoder which takes the process down is seen and counted.

Seconds are those of the processor, so that other work on the machine does not count.
"""

import multiprocessing
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

import numpy as np
from dicom_mutations import IDENTIFIERS, Base, mutate

from preparation.films.dicom.film_reader import DicomFilmReader, find_dicom_films
from preparation.films.dicom.header import DicomOptions
from preparation.films.film import FilmFile, RejectedFilm

# As permissive as can be, so that damage gets as far as it can.
READER = DicomFilmReader(
    DicomOptions(view=("any",), view_from_text=True, without_body_part="keep", orientation="ignore")
)
SECONDS_ALLOWED, SECONDS_UNTIL_KILLED = 1.0, 60.0
REAL_EVERY = 8
# What must not happen, besides what begins with `uncaught` and `crashed`.
FAILURES = ("wrong shape", "wrong values", "identifier in sentence", "hung")


@dataclass(frozen=True)
class Outcome:
    """What became of one damaged film.

    `what` is `read`, `rejected <reason>`, or a failure: `uncaught <type>`, `crashed <exit code>`,
    or one of FAILURES.
    """

    number: int
    base: str
    changes: str
    what: str
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether this must not happen."""
        return self.what in FAILURES or self.what.startswith(("uncaught", "crashed"))


def real_films(folder: Path) -> list[Base]:
    """The films of a folder that can be read as they are."""
    found = []
    for file in find_dicom_films(folder):
        try:
            found.append(Base(file.name, file.path.read_bytes(), READER(file).pixels.shape))
        except RejectedFilm:
            continue
    return found


def choose(small: Sequence[Base], real: Sequence[Base], seed: int, number: int) -> Base:
    """The film that a mutation starts from."""
    bases = real if real and number % REAL_EVERY == 0 else small
    return Random(f"{seed}:{number}:base").choice(bases)


def read_damaged(base: Base, seed: int, number: int, folder: Path) -> Outcome:
    """Damage a film, read it, and compare with what may come out."""
    data, changes = mutate(base.data, seed, number)
    path = folder / "film.dcm"
    path.write_bytes(data)
    started = time.process_time()
    try:
        pixels = READER(FilmFile(path.name, path, len(data))).pixels
        what = "read"
        if pixels.shape != base.shape or pixels.dtype != np.float32:
            what = "wrong shape"
        elif not (pixels.min() >= 0 and pixels.max() <= 1):  # false for NaN
            what = "wrong values"
    except RejectedFilm as refusal:
        what = f"rejected {refusal.reason}"
        if any(identifier in refusal.sentence for identifier in IDENTIFIERS):
            what = "identifier in sentence"
    except Exception as error:
        what = f"uncaught {type(error).__name__}"
    return Outcome(number, base.name, changes, what, round(time.process_time() - started, 4))


def _work(
    connection: Connection,
    small: list[Base],
    real: list[Base],
    seed: int,
    numbers: Sequence[int],
) -> None:
    """Run in the child: send an outcome per number, then the peak of memory in MB."""
    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            base = choose(small, real, seed, number)
            connection.send(read_damaged(base, seed, number, Path(folder)))
    connection.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def fuzz(
    small: list[Base], real: list[Base], seed: int, numbers: Sequence[int]
) -> Iterator[Outcome | float]:
    """Yield the outcome of each number, and each child's peak memory in MB.

    A child that dies or hangs is replaced, and goes on behind the film that killed it.
    """
    context = multiprocessing.get_context("spawn")
    while numbers:
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_work, args=(theirs, small, real, seed, numbers))
        child.start()
        theirs.close()
        done, what = 0, ""
        try:
            while done <= len(numbers) and not what:
                if ours.poll(SECONDS_UNTIL_KILLED):
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
            base = choose(small, real, seed, numbers[done])
            changes = mutate(base.data, seed, numbers[done])[1]
            yield Outcome(numbers[done], base.name, changes, what, 0.0)
        numbers = numbers[done + 1 :]


def summarise(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Counts of what became of the films, every failure, and the slowest."""
    counts = Counter(outcome.what for outcome in outcomes)
    slowest = sorted(outcomes, key=lambda outcome: -outcome.seconds)
    return {
        "films": len(outcomes),
        "read": counts["read"],
        "rejected": {
            what.removeprefix("rejected "): number
            for what, number in counts.most_common()
            if what.startswith("rejected")
        },
        "uncaught": sum(o.what.startswith("uncaught") for o in outcomes),
        "crashed": sum(o.what.startswith("crashed") for o in outcomes),
        **{what.replace(" ", "_"): counts[what] for what in FAILURES},
        "over_1_s": sum(o.seconds > SECONDS_ALLOWED for o in outcomes),
        "failures": [asdict(o) for o in outcomes if o.failed],
        "slowest": [asdict(o) for o in slowest[:5]],
    }
