"""Does a verdict of this software survive a placebo? Simulated studies, judged by its functions.

    python benchmarks/placebo.py [--studies 5000] [--workers 2] [--out FILE.json] [--page FILE.md]
    python benchmarks/placebo.py --real --data.root CACHE [CACHE ...] [--imbalanced CACHE ...] \
        --out FOLDER [--procedure STUDY.yaml] [--workers 2] [--page FILE.md]

Every cell is one kind of study: patients, seeds, how much trainings vary, how much the arms'
difference varies from patient to patient. Thousands of studies of it are drawn, in which the arms
are equal, and judged by `studies.statistics.estimates`, which is what `study.py report` calls.
Measured are the share that shows a difference at 0.05 although nothing differs, how many intervals
hold the truth, and how many studies find a true difference, beside a test that knows all variances.
A study here is a sweep of three ratios, each with its control, the baseline and a placebo: 8 arms
(4 for AUROC), of which the placebo lends the others nothing; the same pair is also judged alone, as
in a study of two arms. Ends with status 1 where a figure misses its bar. What the tests do where
arms are not alike: `placebo_unlike.py`. With --real, networks are trained on real films:
`placebo_real`.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.placebo_drawn import AUROC, Cell, cells
from benchmarks.placebo_judged import measure
from benchmarks.placebo_page import PAGE, missed, summary, table

PROCEDURE = Path(__file__).parents[1] / "configs" / "studies" / "placebo_cpu.yaml"


def studies_of(cell: Cell, least: int) -> int:
    """How many are drawn: twice as many where they cost little."""
    return least if cell.patients >= 100 else 2 * least


def run(studies: int, workers: int) -> list[dict[str, Any]]:
    """Every cell, measured by so many processes, in the order of the table."""
    every = cells()
    numbers = [studies_of(cell, studies) for cell in every]
    with ProcessPoolExecutor(workers) as pool:
        rows = list(pool.map(measure, every, numbers))
    order = ("patients", "seeds", "positives", "arm_sd", "humps", "training_sd")
    return sorted(rows, key=lambda row: [row["cell"][key] for key in order])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, help="of each cell, at least (5000); simulated only")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, help="JSON with all figures; with --real a folder")
    parser.add_argument("--page", type=Path, help="Markdown with the tables")
    parser.add_argument("--real", action="store_true", help="train on real films")
    real = parser.add_argument_group("with --real")
    real.add_argument("--data.root", type=Path, nargs="+", default=[], help="film caches")
    real.add_argument(
        "--imbalanced", type=Path, nargs="+", default=[], help="film caches to make 20 to 1"
    )
    real.add_argument("--procedure", type=Path, help="a study of one scenario, model, many seeds")
    options = parser.parse_args()
    roots = vars(options)["data.root"]
    given = (*roots, *options.imbalanced, options.procedure)
    if options.real and not (options.out and (roots or options.imbalanced)):
        parser.error("--real needs --out FOLDER and caches: --data.root CACHE [CACHE ...]")
    if options.real and options.studies is not None:
        parser.error("--studies is of simulated studies; leave it out beside --real")
    if not options.real and any(given):
        parser.error("--data.root, --imbalanced and --procedure need --real")
    if options.real:
        sys.exit(real_films(options, roots))
    sys.exit(simulated(options))


def real_films(options: argparse.Namespace, roots: Sequence[Path]) -> int:
    """Train and judge the real sets; 1 where a share misses its bar, 2 where one cannot be had."""
    # It loads torch, which thousands of simulated studies do without.
    from benchmarks import placebo_real, placebo_real_page
    from provenance import UserError, write_json_atomic, write_text_atomic
    from studies.specification.read import load_specification

    source = options.procedure or PROCEDURE
    try:
        specification = load_specification(source)
        placebo_real.check_procedure(specification, source)
        sets = placebo_real.sets_of(roots, options.imbalanced)
        rows = [
            placebo_real.measure(specification, films, options.out, options.workers)
            for films in sets
        ]
    except UserError as error:
        print(f"placebo.py: {error}", file=sys.stderr)
        return 2
    command = placebo_real_page.command(sets, options.procedure)
    page = placebo_real_page.page(specification, rows, command)
    print(page)
    write_json_atomic(options.out / "placebo.json", rows)
    if options.page is not None:
        write_text_atomic(options.page, page)
    return int(bool(placebo_real.missed(rows)))


def simulated(options: argparse.Namespace) -> int:
    """Draw and judge every cell; 1 where a figure misses its bar."""
    studies = 5000 if options.studies is None else options.studies
    start = time.monotonic()
    rows = run(studies, options.workers)
    lines = [
        "Means over patients, in points:", "", *table(rows, "mean"), "",
        f"AUROC ({AUROC} in truth), standard deviations and differences in hundredths:", "",
        *table(rows, "auroc"), "", *(f"- {line}" for line in summary(rows)),
    ]  # fmt: skip
    print("\n".join(lines))
    print(f"{time.monotonic() - start:.0f} s with {options.workers} processes")
    if options.out is not None:
        options.out.write_text(json.dumps(rows, indent=1))
    if options.page is not None:
        options.page.write_text("\n".join([PAGE.format(studies), *lines]) + "\n")
    return int(any(missed(row) for row in rows))


if __name__ == "__main__":
    main()
