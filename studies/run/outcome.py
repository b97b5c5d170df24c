"""What a call of `run_study` did, and the lines with which it ends."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from display.numbers import count, duration
from gates.judge import printed_lines
from studies.run.slurm.submit import submission_lines
from wandb_runs.environment import NOT_LOGGED, Destination


@dataclass
class StudyOutcome:
    """What a call of `run_study` did.

    Attributes:
        done: Jobs finished in this call.
        already_done: Cells that were finished before.
        elsewhere: Cells that another process was working on.
        failed: (name, message) of the jobs that failed in this call.
        required: What the rules of its audits came to, of every synthetic set.
        logged: Where its runs were logged in Weights & Biases.
        submitted: Jobs that were given to a cluster, each with its number in the queue.
    """

    done: list[str] = field(default_factory=list)
    already_done: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    required: list[dict[str, Any]] = field(default_factory=list)
    logged: Destination = NOT_LOGGED
    submitted: dict[str, str] | None = None


def closing_lines(outcome: StudyOutcome, out: Path, seconds: float) -> list[str]:
    """What a person reads at the end: counts, what failed and what to do about it."""
    if outcome.submitted is not None:
        return submission_lines(outcome.submitted, out)
    lines = [
        f"{count(len(outcome.done), 'run')} done in {duration(seconds)}, "
        f"{count(len(outcome.already_done), 'cell')} done before."
    ]
    if outcome.elsewhere:
        lines.append(f"Another process works on: {', '.join(outcome.elsewhere)}")
    lines += printed_lines(outcome.required)
    if outcome.failed:
        lines.append(f"{len(outcome.failed)} failed; the same command tries them again:")
        for name, message in outcome.failed:
            lines.append(f"  {name}: {message.splitlines()[0]}")
        lines.append(f"Details: {out}/**/<name>.failed.json, logs in {out}/logs")
    return lines
