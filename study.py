"""Compare scenarios by many runs: `run` does what is missing, `report` writes the page again.

python study.py run configs/studies/kits19_scenarios.yaml --data.root data/kits19 \
    --out runs/kits19_study
python study.py report runs/kits19_study
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from docstring_parser import parse

from command_line import parsed, run_verb, verb_parser, with_underscores
from studies.run.runner import closing_lines, run_study
from studies.run.verbs import Verbs
from studies.specification.read import load_specification

# Said or given by this verb; or added below; all other parameters of `run_study` are flags.
_NO_FLAGS: set[str | int] = {"specification", "root", "load_verbs", "say", "placebo"}
_REPORT = (
    "Write report.html, report.md and report.json from the finished cells of a study's folder, "
    "also while it is still running."
)


def load_verbs() -> Verbs:
    """The other verbs as functions. Worker processes call this, so it loads only there."""
    from evaluate import evaluate, evaluate_images
    from generate import generate
    from train import fit

    return Verbs(fit, generate, evaluate, evaluate_images)


def report(out: Path) -> None:
    """Write the report of a study's folder, and say where it is."""
    from studies.report.write import build_report

    print(f"Report: {build_report(out)} (also report.md, report.json)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run or report a study; 1 when a cell failed. UserErrors are left to `run_verb`."""
    description = parse(run_study.__doc__ or "").description
    running = verb_parser("study.py run", description)
    running.add_argument("spec", type=Path, help="YAML of the study, as in configs/studies/.")
    running.add_argument(
        "--data.root", type=Path, required=True, help="Cache that prepare.py wrote."
    )
    running.add_function_arguments(run_study, as_group=False, skip=_NO_FLAGS)
    told = {entry.arg_name: entry.description for entry in parse(run_study.__doc__ or "").params}
    # May stand alone, which a function's bool may not.
    running.add_argument(
        "--placebo", type=bool, nargs="?", const=True, default=False, help=told["placebo"]
    )
    reporting = verb_parser("study.py report", _REPORT)
    reporting.add_argument("out", type=Path, help="Folder that `study.py run` wrote.")
    parser = verb_parser("study.py", __doc__)
    commands = parser.add_subcommands(required=True, dest="command")
    commands.add_subcommand("run", running, help=description)
    commands.add_subcommand("report", reporting, help=_REPORT)
    words = with_underscores(sys.argv[1:] if arguments is None else arguments)
    given = parsed(parser, words, (running, reporting))
    if given.command == "report":
        report(given.report.out)
        return 0
    flags = vars(given.run)
    flags.pop("config")
    specification, root = load_specification(flags.pop("spec")), flags.pop("data").root
    started = time.monotonic()
    outcome = run_study(specification, root, load_verbs=load_verbs, **flags)
    for line in closing_lines(outcome, flags["out"], time.monotonic() - started):
        print(line)
    report(flags["out"])
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(run_verb("study.py", main))
