"""What of a study goes to Weights & Biases: where its runs are logged, under which labels."""

import itertools
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, cast

from provenance import UserError
from studies.run.folder import Study
from studies.specification.generator_names import generator_job
from studies.specification.specification import Specification
from wandb_runs.environment import Destination, WandbMode, resolve
from wandb_runs.run import Labels


def where_logged(specification: Specification, asked: WandbMode) -> Destination:
    """Where a study's runs are logged: by the flag, else by its `arguments`, else as `auto` says.

    Raises:
        UserError: Flag and YAML disagree, or every run would get one id; see also `resolve`.
    """
    flags = [tuple(specification.flags_of(cell)) for cell in specification.cells()]
    flags += [plan.arguments for plan in specification.plans.values()]
    stated = {mode for each in flags for mode in _stated(each)}
    if asked != "auto" and stated - {asked}:
        raise UserError(
            f"--wandb {asked}: the study's YAML has --wandb {', '.join(sorted(stated))} among its "
            "arguments. Leave one of them out."
        )
    destination = resolve((_stated(specification.arguments) or [asked])[-1])
    if destination.mode != "disabled" and os.environ.get("WANDB_RUN_ID"):
        raise UserError("WANDB_RUN_ID: would make one run of all that a study trains. Unset it.")
    return destination


def _stated(flags: Sequence[str]) -> list[WandbMode]:
    words = [part for word in flags for part in word.split("=", 1)]
    return [cast(WandbMode, v) for flag, v in itertools.pairwise(words) if flag == "--wandb"]


def told_where(study: Study) -> str:
    """In one line, where its runs are logged."""
    mode, group = study.logged.mode, study.specification.name
    if mode == "disabled":
        return f"{study.logged}: nothing is logged there."
    if mode == "online":
        return f"{study.logged}, group {group}. Images of the validation split are sent."
    send = f"cd {study.out} && wandb sync */*/wandb/offline-run-* wandb/offline-run-*"
    return f"{study.logged}, group {group}. Nothing is sent until you do: {send}"


def labels_of(study: Study, name: str, part: str) -> Labels:
    """Labels of the W&B run of a job's training: where it stands in the study.

    Args:
        study: The study.
        name: Of the job, a cell's or a generator's.
        part: Which of the job's trainings, if there are several.
    """
    specification, made = study.specification, generator_job(name)
    place: dict[str, str | int] = {}
    if made is None:
        place = specification.cell(name).as_dict()
    else:
        place = {**({"generator": made.generator} if made.generator else {}), "seed": made.seed}
    return Labels(
        name=f"{name}__{part}" if part else name,
        group=specification.name,
        job_type="generator" if made is not None else part or "training",
        tags=(specification.name,),
        config={"study": {"name": specification.name, "folder": study.out.name, **place}},
        stays_open=made is None and not part,  # its scores come after it
    )


def logged_scores(evaluation: Mapping[str, Any], of: str = "test") -> dict[str, float]:
    """The scores of an evaluation as a run's summary shows them: `test/iou_mean` and so on.

    Args:
        evaluation: What evaluate.py gave.
        of: Which images they are of: "test", or "external/NAME".
    """
    values = {name: (one or {}).get("value") for name, one in evaluation.get("summary", {}).items()}
    return {
        f"{of}/{name}": float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
