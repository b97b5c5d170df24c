r"""Compare training scenarios over models and seeds.

    python study.py plan configs/studies/kits19_scenarios.yaml --data.root data/kits19
    python study.py run configs/studies/kits19_scenarios.yaml --data.root data/kits19 \
        --out runs/kits19_study
    python study.py report runs/kits19_study
    python study.py compare runs/films runs/slices --out compared.html
    python study.py augmentations --data.root data/kits19 --out gallery.html
    python study.py list

`plan` estimates the cost and the detectable differences of a study, `run` trains and evaluates,
`report` writes the report.
"""

import importlib
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from command_line import (
    description_of,
    parameters_of,
    parsed,
    run_verb,
    stopped_by_sigterm,
    summary_of,
    verb_parser,
    with_underscores,
)
from gates.judge import exit_status
from provenance import UserError
from studies.run.external_sets import paths_given
from studies.run.outcome import closing_lines
from studies.run.planning.plan import plan_study
from studies.run.runner import run_study
from studies.run.slurm.asked import SlurmJobs
from studies.run.verbs import Verbs
from studies.specification.listing import STUDIES, list_studies
from studies.specification.read import load_specification
from training.configurations import needs_of
from wandb_runs.environment import NOT_LOGGED, Destination
from wandb_runs.run import run_id_of

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

# Said or given by this verb; or added below; all other parameters of `run_study` are flags.
_NO_FLAGS: set[str | int] = {
    "specification", "root", "load_verbs", "report", "say", "placebo", "external"
}  # fmt: skip
# Likewise of `plan_study`; `from` is no name that a parameter may have.
_NO_PLAN_FLAGS: set[str | int] = {
    "specification", "source", "root", "load_verbs", "say", "kept", "placebo", "measure",
    "external",
}  # fmt: skip
# Of `run`: they say how and where trainings run, not which there are.
_NOT_OF_PLAN = re.compile(r"--(shard|executor|wandb|slurm\.\w+)(=|$)")
_REPORT = (
    "Write report.html, report.md and report.json from the finished cells of a study's folder, "
    "also while it is still running."
)
_COMPARE = (
    "Show several studies of methods at several sizes side by side on one page. Each study is "
    "tested separately."
)
_GALLERY = (
    "Show every augmentation at three strengths, and every preset, on your own images. The page "
    "shows patients: keep it with the data."
)
_LIST = "List the studies of a folder: the question, the trainings and the needs of each."


def load_verbs() -> Verbs:
    """The other verbs as functions. Worker processes call this, so it loads only there."""
    from evaluate import audit_and_record, evaluate, evaluate_images, labels_and_record
    from generate import generate
    from train import fit
    from training.rehearsal import rehearse

    return Verbs(
        fit, generate, evaluate, evaluate_images, audit_and_record, rehearse, labels_and_record
    )


def report(out: Path, logged: Destination = NOT_LOGGED) -> None:
    """Write the report of a study's folder, log it to W&B where asked, and say where it is."""
    from studies.report.wandb_report import log_report
    from studies.report.write import build_report

    page = build_report(out)
    log_report(out, logged)
    print(f"Report: {page} (also report.md, report.json)")


def _parser_of(
    verb: str, function: Callable[..., Any], no_flags: set[str | int]
) -> "ArgumentParser":
    """Of a verb that takes a study's YAML and a cache; its flags are a function's parameters."""
    parser = verb_parser(f"study.py {verb}", description_of(function))
    parser.add_argument("spec", type=Path, help="YAML of the study, as in configs/studies/.")
    data: dict[str, Any] = {"type": Path, "required": True, "help": "Cache that prepare.py wrote."}
    if verb == "plan":
        data = {"type": Path | None, "default": None, "help": parameters_of(function)["root"]}
    parser.add_argument("--data.root", **data)
    parser.add_function_arguments(function, as_group=False, skip=no_flags)
    # May stand alone, which a function's bool may not.
    told = parameters_of(function)
    parser.add_argument(
        "--placebo", type=bool, nargs="?", const=True, default=False, help=told["placebo"]
    )
    parser.add_argument(
        "--external", type=str, action="append", default=None, help=told["external"],
        metavar="NAME=CACHE",
    )  # fmt: skip
    return parser


def _refuse_flags_of_a_run(words: Sequence[str]) -> None:
    """Say of a command of `run` that was changed to `plan` which flags `plan` has no use for."""
    for word in words if "plan" in words[:1] else ():
        if found := _NOT_OF_PLAN.match(word):
            raise UserError(
                f"--{found[1]}: says how `run` runs the trainings, and `plan` runs none: it counts "
                "those of the whole study. Leave it out."
            )


def _gallery_parser() -> "ArgumentParser":
    """Of `study.py augmentations`; the page's own room is loaded only to write it."""
    parser = verb_parser("study.py augmentations", _GALLERY)
    parser.add_argument(
        "--data.root",
        type=Path,
        required=True,
        help="Cache that prepare.py wrote. Images of its training split are shown.",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="The HTML file to write; an existing file is not overwritten.",
    )
    parser.add_argument(
        "--images",
        type=int,
        default=2,
        help="How many images to show, spread evenly over the split.",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="Random seed; the same seed gives the same page."
    )
    parser.add_argument(
        "--augmentation",
        type=list[Any] | str | None,
        default=None,
        help="A policy of your own, shown beside the presets: a list of operations or a YAML file "
        "with one, as in --data.augmentation of train.py.",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run or report a study. Exit status: 1 if a cell failed; 3 or 4 as its `audit` requires.

    UserErrors are left to `run_verb`.
    """
    running = _parser_of("run", run_study, _NO_FLAGS)
    planning = _parser_of("plan", plan_study, _NO_PLAN_FLAGS)
    told = parameters_of(plan_study)
    planning.add_argument("--from", type=Path | None, default=None, help=told["kept"])
    planning.add_argument(
        "--no_measure", type=bool, nargs="?", const=True, default=False,
        help="Do not time training steps: only count trainings and their steps.",
    )  # fmt: skip
    showing = _gallery_parser()
    listing = verb_parser("study.py list", _LIST)
    listing.add_argument("folder", type=Path, nargs="?", default=STUDIES, help="Where to look.")
    reporting = verb_parser("study.py report", _REPORT)
    reporting.add_argument("out", type=Path, help="Folder that `study.py run` wrote.")
    comparing = verb_parser("study.py compare", _COMPARE)
    comparing.add_argument(
        "folders", type=Path, nargs="+", help="Folders that `study.py run` wrote, two or more."
    )
    comparing.add_argument("--out", type=Path, required=True, help="The HTML file to write.")
    parser = verb_parser("study.py", __doc__)
    commands = parser.add_subcommands(required=True, dest="command")
    commands.add_subcommand("run", running, help=summary_of(run_study))
    commands.add_subcommand("plan", planning, help=summary_of(plan_study))
    commands.add_subcommand("report", reporting, help=_REPORT)
    commands.add_subcommand("compare", comparing, help=_COMPARE)
    commands.add_subcommand("augmentations", showing, help=_GALLERY)
    commands.add_subcommand("list", listing, help=_LIST)
    words = with_underscores(sys.argv[1:] if arguments is None else arguments)
    _refuse_flags_of_a_run(words)
    given = parsed(parser, words, (running, planning, reporting, comparing, showing, listing))
    if given.command == "report":
        report(given.report.out)
        return 0
    if given.command == "compare":
        from studies.report.side_by_side import write_side_by_side

        print(f"Page: {write_side_by_side(given.compare.folders, given.compare.out)}")
        return 0
    if given.command == "augmentations":
        from studies.report.gallery.page import write_gallery

        flags = vars(given.augmentations)
        flags.pop("config")
        page = write_gallery(flags.pop("data").root, **flags)
        print(f"Gallery: {page} (it shows patients: keep it with the data)")
        return 0
    if given.command == "list":
        for line in list_studies(given.list.folder, needs_of):
            print(line)
        return 0
    flags = vars(given[given.command])
    flags.pop("config")
    source, root = flags.pop("spec"), flags.pop("data").root
    flags["external"] = paths_given(flags["external"] or [])
    specification = load_specification(source)
    if given.command == "plan":
        kept, measure = flags.pop("from"), not flags.pop("no_measure")
        plan_study(specification, source, root, load_verbs, kept=kept, measure=measure, **flags)
        return 0
    started = time.monotonic()
    flags["slurm"] = SlurmJobs(**vars(flags["slurm"]))
    # Jobs of a cluster import these, which of a `__main__` they could not.
    ours = importlib.import_module(Path(__file__).stem)
    with stopped_by_sigterm("What is finished is kept; the same command goes on with the rest."):
        outcome = run_study(
            specification, root, load_verbs=ours.load_verbs, report=ours.report, **flags
        )
    for line in closing_lines(outcome, flags["out"], time.monotonic() - started):
        print(line)
    if outcome.submitted is not None:
        return 0
    news = outcome.done or not run_id_of(flags["out"])
    report(flags["out"], outcome.logged if news else NOT_LOGGED)
    return 1 if outcome.failed else exit_status(outcome.required)


if __name__ == "__main__":
    sys.exit(run_verb("study.py", main))
