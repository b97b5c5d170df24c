"""Compare scenarios by many runs: `run` does what is missing, `report` writes the page again.

python study.py run configs/studies/kits19_scenarios.yaml --data.root data/kits19 \
    --out runs/kits19_study
python study.py report runs/kits19_study
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from command_line import parsed, run_verb, verb_parser, with_underscores
from provenance import UserError

if TYPE_CHECKING:
    from studies.run.verbs import Verbs

_RUN = (
    "Train and evaluate every cell (scenario x model x seed) of a study that its folder lacks. "
    "Generators are trained first, on training patients only. An interrupted study goes on when "
    "the same command is given again; failed cells are tried again. Ends with status 1 when a "
    "cell failed, after all others are done."
)
_REPORT = (
    "Write report.html, report.md and report.json from the finished cells of a study's folder, "
    "also while it is still running."
)


def load_verbs() -> "Verbs":
    """The other verbs as functions. Worker processes call this, so it loads only there."""
    from evaluate import evaluate, evaluate_images
    from generate import generate
    from studies.run.verbs import Verbs
    from train import fit

    return Verbs(fit, generate, evaluate, evaluate_images)


def run(settings: Namespace) -> int:
    """Do what is missing, then write the report. Status 1 when something failed."""
    from studies.specification.read import load_specification

    started = time.monotonic()
    if settings.workers < 0:
        raise UserError(f"--workers {settings.workers}: expected 0 or more.")
    specification = load_specification(Path(settings.spec))
    # Only now what loads torch: a misspelt key is answered at once.
    from studies.report.write import build_report
    from studies.run.folder import StudyFolder
    from studies.run.runner import closing_lines, run_study

    outcome = run_study(
        specification,
        Path(settings.data.root),
        Path(settings.out),
        load_verbs,
        workers=settings.workers,
        only=settings.only,
        shard=settings.shard,
        labels=Path(settings.labels) if settings.labels else None,
        weights=Path(settings.weights) if settings.weights else None,
    )
    folder = StudyFolder(Path(settings.out))
    for line in closing_lines(outcome, folder, time.monotonic() - started):
        print(line)
    print(f"Report: {build_report(folder.root)} (also report.md, report.json)")
    return 1 if outcome.failed else 0


def report(settings: Namespace) -> int:
    """Write the report again."""
    from studies.report.write import build_report

    print(f"Report: {build_report(Path(settings.out))} (also report.md, report.json)")
    return 0


def _parse(given: Sequence[str]) -> Namespace:
    running = verb_parser("study.py run", _RUN)
    running.add_argument("spec", type=str, help="YAML of the study, as in configs/studies/.")
    running.add_argument(
        "--data.root", type=str, required=True, help="Cache that prepare.py wrote."
    )
    running.add_argument(
        "--out", type=str, required=True, help="Folder of the study; made, or gone on with."
    )
    running.add_argument(
        "--workers",
        type=int,
        default=1,
        help="Cells at a time, each in a process with its share of the cores and, where there are "
        "several GPUs, one GPU. 0 runs in this process, where all output is seen.",
    )
    running.add_argument(
        "--labels",
        type=str | None,
        default=None,
        help="Cache whose label maps the generator is given. Default: the study's setting, else "
        "the label maps of the training patients.",
    )
    running.add_argument(
        "--weights",
        type=str | None,
        default=None,
        help="Weights of the feature extractor that a study of generators names: a file.",
    )
    running.add_argument(
        "--only",
        type=str | None,
        default=None,
        help="Run only cells whose name matches, such as '*__unet_light__seed0'.",
    )
    running.add_argument(
        "--shard",
        type=str | None,
        default=None,
        help="i/n: run the i-th of n shares of the cells; the n calls share --out, also from "
        "several machines.",
    )
    reporting = verb_parser("study.py report", _REPORT)
    reporting.add_argument("out", type=str, help="Folder that `study.py run` wrote.")
    parser = verb_parser("study.py", __doc__)
    commands = parser.add_subcommands(required=True, dest="command")
    commands.add_subcommand("run", running, help=_RUN)
    commands.add_subcommand("report", reporting, help=_REPORT)
    return parsed(parser, with_underscores(given), (running, reporting))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command line; UserErrors are left to `run_verb`."""
    settings = _parse(sys.argv[1:] if arguments is None else arguments)
    return run(settings.run) if settings.command == "run" else report(settings.report)


if __name__ == "__main__":
    sys.exit(run_verb("study.py", main))
