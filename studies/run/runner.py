"""Runs what a study still lacks: generators, then the cells that need them, resumably."""

import fnmatch
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from display.numbers import count
from provenance import UserError, read_json
from studies.run.audits import audit_sets, check_audit
from studies.run.decisions import changes_told
from studies.run.external import evaluate_external
from studies.run.external_sets import check_external, described, external_roots
from studies.run.folder import Study, StudyFolder, open_study
from studies.run.hand_out import do_jobs
from studies.run.kind import KINDS
from studies.run.label_checks import check_labels
from studies.run.linear_baseline import measure_linear_baseline
from studies.run.logged import told_where, where_logged
from studies.run.outcome import StudyOutcome
from studies.run.planning.refusals import refuse_wrong_trainings
from studies.run.slurm.asked import NOT_ASKED, SlurmJobs, refuse_no_cluster
from studies.run.slurm.submit import submit_study
from studies.run.verbs import Verbs
from studies.specification.arms import with_placebo
from studies.specification.generator_names import generator_job
from studies.specification.specification import Specification
from wandb_runs.environment import Destination, WandbMode


def run_study(
    specification: Specification,
    root: Path,
    out: Path,
    load_verbs: Callable[[], Verbs],
    *,
    workers: int = 1,
    executor: Literal["local", "slurm"] = "local",
    slurm: SlurmJobs = NOT_ASKED,
    report: Callable[[Path, Destination], None] | None = None,
    labels: Path | None = None,
    weights: Path | None = None,
    only: str | None = None,
    shard: str | None = None,
    placebo: bool = False,
    wandb: WandbMode = "auto",
    external: Mapping[str, Path] | None = None,
    say: Callable[[str], None] = print,
) -> StudyOutcome:
    """Train and evaluate the cells (scenario x model x seed) of a study that are not finished yet.

    Generators are trained first, on training patients only. After an interruption, give the same
    command again; failed cells are tried again. The exit status is 1 if a cell failed; the others
    are still run. Flags, data and metric are checked before the first training.

    Args:
        specification: The study.
        root: Prepared cache.
        out: Folder of the study; a new one, or one to continue.
        load_verbs: Gives the verbs; called in worker processes too, so it must be importable there.
        workers: Cells at a time, each in a process with its share of the cores and, if there are
            several GPUs, one GPU. 0: run in this process and show all output.
        executor: Where cells run: local, on this machine; or slurm, each as a job of a SLURM
            cluster that shares the file system of --out. The command then ends when they are
            submitted.
        slurm: Resources of each SLURM job.
        report: Writes the report of a study's folder. A cluster's last job imports and calls it;
            None: no report. On this machine it is left to the caller.
        labels: Cache with label maps for the generator. None: the study's setting, else the label
            maps of the training patients.
        weights: File with the weights of the feature extractor, for a study of generators.
        only: Run only cells whose name matches, such as '*__unet_light__seed0'.
        shard: i/n: run the i-th of n shares of the cells; the n calls share --out, also from
            several machines.
        placebo: Add the baseline once more with other seeds, as `placebo: true` in the YAML. The
            report then shows the difference that arises without any cause. A study that has one
            keeps it.
        wandb: Where trainings, test scores and the report are logged in Weights & Biases; values as
            for train.py. All runs have the study's name as group.
        external: Folder of an external test set of the YAML's `external`, as NAME=CACHE; give the
            flag once per set. Every finished cell is tested on all images of the set that were used
            neither in its training nor in its validation. A set may be added to a finished study;
            nothing is trained again.
        say: Prints a line.

    Raises:
        UserError: The folder holds cells of other settings or data, the data is missing, no cell
            matches, or a training would be refused for its flags, its synthetic images or an
            unknown metric: before anything is trained.
    """
    if workers < 0:
        raise UserError(f"--workers {workers}: expected 0 or more.")
    _refuse_executor(executor, slurm, workers, shard)
    specification = _as_begun(specification, StudyFolder(Path(out)), placebo)
    check_audit(specification)
    chosen = chosen_cells(specification, only, shard)
    kind = KINDS[specification.kind]
    roots = external_roots(specification, StudyFolder(Path(out)), external or {})
    study = Study(specification, Path(root), Path(out), labels, weights, external=roots)
    check_external(study)
    study = replace(kind.ready(study), logged=where_logged(specification, wandb))
    open_study(study, kind.settings, described(study))
    folder = study.folder
    for change in changes_told(read_json(folder.study)["decisions"]):
        say(change)

    outcome = StudyOutcome(logged=study.logged)
    needs: dict[str, str | None] = {}
    for cell in specification.cells():
        if cell.name not in chosen:
            continue
        if folder.record(cell.name).is_file():
            outcome.already_done.append(cell.name)
            continue
        generator = specification.generator_of(cell)
        if generator and folder.record(generator).is_file():
            generator = None
        if generator:
            needs.setdefault(generator, None)
        needs[cell.name] = generator
    _say_plan(say, study, needs, outcome)
    say(f"W&B: {told_where(study)}")
    if needs:
        refuse_wrong_trainings(study, needs, load_verbs, say)
    if executor == "slurm":
        outcome.submitted = submit_study(study, chosen, needs, slurm, load_verbs, report, say)
        return outcome
    if needs:
        do_jobs(needs, study, load_verbs, workers, say, outcome)
    outcome.failed += evaluate_external(study, chosen, load_verbs, say)
    outcome.failed += check_labels(study, load_verbs, say)
    outcome.required, failed = audit_sets(study, load_verbs, say)
    outcome.failed += failed
    lacking = measure_linear_baseline(study)
    if lacking is not None:
        say(lacking)
    return outcome


def _as_begun(specification: Specification, folder: StudyFolder, placebo: bool) -> Specification:
    """The study with what one that was begun there keeps: its placebo, and seeds that are shared.

    An earlier version gave the trainings of all scenarios the same seeds, without a word of it.
    """
    begun = read_json(folder.study)["specification"] if folder.study.is_file() else {}
    shared = specification.shared_seeds or begun.get("shared_seeds", bool(begun))
    specification = replace(specification, shared_seeds=shared)
    return with_placebo(specification) if placebo or begun.get("placebo") else specification


def _refuse_executor(executor: str, slurm: SlurmJobs, workers: int, shard: str | None) -> None:
    """Refuse flags that the other executor would follow."""
    if executor == "local" and slurm != NOT_ASKED:
        raise UserError(
            "--slurm.*: is asked of a cluster, and this study would run on this machine. Nothing "
            "was run. Add --executor slurm, or leave it out."
        )
    if executor == "slurm":
        for flag, given in (("--workers", workers != 1), ("--shard", shard is not None)):
            if given:
                raise UserError(
                    f"{flag}: with --executor slurm every cell is a job of its own. Nothing was "
                    "submitted. Leave it out; --slurm.at_once is how many run at a time."
                )
        slurm.settings("study")
        refuse_no_cluster()


def chosen_cells(
    specification: Specification, only: str | None, shard: str | None = None
) -> set[str]:
    """Names of the cells that are asked for.

    Args:
        specification: The study.
        only: A pattern of names; None: all.
        shard: i/n: the i-th of n shares; None: all.

    Raises:
        UserError: No share of this form, or no cell that matches.
    """
    cells = [cell.name for cell in specification.cells()]
    if shard:
        index, _, number = shard.partition("/")
        if not (index.isdigit() and number.isdigit() and 1 <= int(index) <= int(number)):
            raise UserError(f"--shard is {shard!r}, expected i/n such as 1/3, counted from 1.")
        cells = cells[int(index) - 1 :: int(number)]
    if only:
        chosen = [cell for cell in cells if fnmatch.fnmatchcase(cell, only)]
        if not chosen:
            raise UserError(
                f"--only {only!r} matches no cell. Cells are named like {cells[0]}; quote the "
                "pattern so that the shell leaves its stars alone."
            )
        cells = chosen
    return set(cells)


def _say_plan(
    say: Callable[[str], None],
    study: Study,
    needs: dict[str, str | None],
    outcome: StudyOutcome,
) -> None:
    generators = sum(generator_job(name) is not None for name in needs)
    say(
        f"{study.specification.title}: {count(len(needs) - generators, 'cell')} to run, "
        f"{count(generators, 'generator')} to train, {len(outcome.already_done)} already done. "
        f"Logs: {study.out / 'logs'}"
    )
    again = [name for name in needs if study.folder.failure(name).is_file()]
    if again:
        say(f"Tried again after an earlier failure: {', '.join(again)}")
