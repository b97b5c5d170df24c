"""How do time and memory grow with a data set? Everything that meets it whole, at several sizes.

    python benchmarks/growth.py --out runs/growth [--parts films slices ...] [--sizes 1000 10000]

Every figure is of a process of its own: it does the work once with a few items, so that libraries
are loaded, and then once with as many as asked for. Time is the processor's, of the process and its
children, beside that of the clock; memory is the most that a process of it held, and how much of it
came with the items. The exponent says how time, or memory that came with the items, grew over the
last step of the sizes: 1 is in proportion, 2 quadratic. Inputs are drawn, small, and made first, by
another process. A size may be made smaller with --most.
"""

import argparse
import json
import math
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.growth_parts import PARTS, Part
from provenance import write_json_atomic

ROOT = Path(__file__).parents[1]
_FEW = 40
"""Items with which a part is done before it is measured."""

_LEAST_SECONDS, _LEAST_BYTES = 0.02, 4 * 2**20
"""Of less nobody can say how it grows."""


@dataclass(frozen=True)
class Cost:
    """Of one part at one size.

    Attributes:
        part: Its name.
        size: Items.
        processor: Seconds, of the process and its children.
        clock: Seconds.
        before: Bytes that the process held before.
        most: The most that it held, or a child of it.
    """

    part: str
    size: int
    processor: float
    clock: float
    before: int
    most: int

    @property
    def came(self) -> int:
        """Bytes that came with the items."""
        return max(0, self.most - self.before)


def exponent(sizes: Sequence[int], values: Sequence[float], least: float) -> float | None:
    """By how much the last two values grew, as the power of their sizes; None of too small ones.

    Args:
        sizes: Rising, two or more.
        values: Of each.
        least: What the value before the last must reach to say anything.
    """
    if len(sizes) < 2 or values[-2] < least or values[-1] <= 0:
        return None
    return math.log(values[-1] / values[-2]) / math.log(sizes[-1] / sizes[-2])


def table(costs: Sequence[Cost]) -> str:
    """Markdown: a row per part and size; the exponent stands in the last row of each part."""
    lines = [
        "| what | items | processor, s | clock, s | memory, MiB | came with the items, MiB | "
        "exponent of time | of memory |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name in dict.fromkeys(cost.part for cost in costs):
        rows = sorted((one for one in costs if one.part == name), key=lambda one: one.size)
        sizes = [one.size for one in rows]
        grown = (
            exponent(sizes, [one.processor for one in rows], _LEAST_SECONDS),
            exponent(sizes, [one.came for one in rows], _LEAST_BYTES),
        )
        for place, one in enumerate(rows):
            last = place == len(rows) - 1
            shown = ["" if not last else "-" if e is None else f"{e:.2f}" for e in grown]
            what = PARTS[name].what if place == 0 else ""
            lines.append(
                f"| {what} | {one.size:,} | {one.processor:.2f} | {one.clock:.2f} | "
                f"{one.most / 2**20:,.0f} | {one.came / 2**20:,.0f} | {' | '.join(shown)} |"
            )
    return "\n".join(lines)


def measured(name: str, size: int, folder: Path, profile: Path | None) -> Cost:
    """Make the inputs of a part, do it in a process of its own, and remove everything."""
    words = [sys.executable, str(Path(__file__).resolve())]
    inputs = folder / f"{name}_{size}"
    shutil.rmtree(inputs, ignore_errors=True)
    inputs.mkdir(parents=True)
    try:
        _run([*words, "--make", name, str(size), str(inputs)])
        more = ["--profile", str(profile / f"{name}_{size}.prof")] if profile else []
        return Cost(**json.loads(_run([*words, "--do", name, str(size), str(inputs), *more])))
    finally:
        shutil.rmtree(inputs, ignore_errors=True)


def _run(words: list[str]) -> str:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words[2:])} failed:\n{done.stderr[-3000:]}")
    return done.stdout.splitlines()[-1] if done.stdout.strip() else ""


def do(name: str, size: int, inputs: Path, profile: Path | None) -> Cost:
    """Do a part in this process, with a few items and then with all, and say what that took."""
    part = PARTS[name]
    few = inputs / "few"
    few.mkdir()
    part.make(few, _FEW)
    part.do(few, _FEW)
    work: Callable[[], object] = lambda: part.do(inputs, size)  # noqa: E731
    if profile is not None:
        import cProfile

        profiler = cProfile.Profile()
        work = lambda: profiler.runcall(part.do, inputs, size)  # noqa: E731
    before = _memory("VmRSS")
    processor, clock = _processor(), time.perf_counter()
    work()
    taken = _processor() - processor, time.perf_counter() - clock
    if profile is not None:
        profiler.dump_stats(profile)
    child = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return Cost(name, size, *taken, before, max(_memory("VmHWM"), child))


def _processor() -> float:
    """Seconds of the process and of its children that have ended."""
    both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, both))


def _memory(field: str) -> int:
    """Bytes by a field of Linux's own account; getrusage's begins with what the parent held."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.split(f"{field}:")[1].split()[0])


def sizes_of(part: Part, asked: Sequence[int] | None, most: int | None) -> list[int]:
    """The sizes at which a part is measured, rising."""
    return sorted({min(size, most or size) for size in asked or part.sizes})


def main() -> None:
    """Measure, print the table and save every figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="Folder for inputs, while needed, and results.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--sizes", type=int, nargs="+", help="In place of each part's own.")
    parser.add_argument("--most", type=int, help="No size above this one.")
    parser.add_argument("--profile", type=Path, help="Folder for a cProfile of each; slower.")
    parser.add_argument("--make", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--do", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make or options.do:
        name, size, inputs = options.make or options.do
        if options.make:
            PARTS[name].make(Path(inputs), int(size))
        else:
            print(json.dumps(asdict(do(name, int(size), Path(inputs), options.profile))))
        return
    if options.out is None:
        parser.error("--out is needed")
    if options.profile is not None:
        options.profile.mkdir(parents=True, exist_ok=True)
    kept = options.out / "growth.json"
    found = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else []
    costs = {(one["part"], one["size"]): Cost(**one) for one in found}
    for name in options.parts:
        for size in sizes_of(PARTS[name], options.sizes, options.most):
            cost = measured(name, size, options.out.resolve(), options.profile)
            print(cost, flush=True)
            if options.profile is None:
                costs[name, size] = cost
                write_json_atomic(kept, [asdict(one) for one in costs.values()])
    print(table([one for one in costs.values() if one.part in options.parts]))


if __name__ == "__main__":
    main()
