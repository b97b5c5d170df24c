"""One attempt at a job of a study: claimed, done, and recorded where it failed."""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from display.numbers import duration
from output_folder import plain_values
from provenance import UserError, library_versions, read_json, write_json_atomic
from studies.run.claim import Claim, holder
from studies.run.folder import Study
from studies.run.job import Job, now
from studies.run.kind import KINDS
from studies.run.verbs import Verbs
from studies.specification.generator_names import generator_job
from wandb_runs.run import finish_run

Found = TypeVar("Found")

_POLL_SECONDS = 2.0
_LOG_TAIL_LINES = 40


@dataclass(frozen=True)
class JobOutcome:
    """How a job ended.

    Attributes:
        name: Of the job.
        state: done, failed, or elsewhere (another process has it).
        seconds: What it took.
        message: Why it failed, or what else there is to say.
        score: Of a cell that is done.
    """

    name: str
    state: str
    seconds: float
    message: str = ""
    score: float | None = None


def run_job(name: str, study: Study, load_verbs: Callable[[], Verbs]) -> JobOutcome:
    """Do one job; whatever goes wrong inside becomes a record, never an exception."""
    started = time.monotonic()
    folder = study.folder
    while True:
        claim = Claim.take(folder.claim(name))
        if claim:
            break
        if generator_job(name) is None:
            return JobOutcome(name, "elsewhere", 0.0, f"left to {holder(folder.claim(name))}")
        # Cells here need these images, so wait for whoever makes them.
        time.sleep(_POLL_SECONDS)
    with claim:
        if folder.record(name).is_file():
            return JobOutcome(name, "done", 0.0, "was done by another process", _score(name, study))
        commands: list[str] = []
        try:
            verbs = load_verbs()
            kind = KINDS[study.specification.kind]
            settings = kind.settings(study.specification, name, study.inputs())
            kind.perform(Job(name, study, verbs, plain_values(settings), commands))
        except (Exception, SystemExit) as error:
            finish_run(failed=True)
            message = record_failure(name, study, error, commands)
            return JobOutcome(name, "failed", time.monotonic() - started, message)
        folder.failure(name).unlink(missing_ok=True)
    return JobOutcome(name, "done", time.monotonic() - started, "", _score(name, study))


def do_claimed(
    name: str,
    study: Study,
    say: Callable[[str], None],
    work: Callable[[], Found],
    in_words: Callable[[Found], str],
) -> tuple[Found | None, str | None]:
    """Do in this process what follows the trainings, claimed; its failure becomes a record.

    Args:
        name: Of the job.
        study: The study.
        say: Prints a line.
        work: Does it.
        in_words: What came out, for the line.

    Returns:
        What came out, and why it failed; neither where another process has it.
    """
    claim = Claim.take(study.folder.claim(name))
    if claim is None:
        say(f"{name}: left to {holder(study.folder.claim(name))}")
        return None, None
    started = time.monotonic()
    with claim:
        try:
            found = work()
        except (UserError, OSError, RuntimeError) as error:
            message = record_failure(name, study, error)
            say(f"{name}: FAILED, {message.splitlines()[0]}")
            return None, message
    study.folder.failure(name).unlink(missing_ok=True)
    say(f"{name}: {in_words(found)} ({duration(time.monotonic() - started)})")
    return found, None


def record_failure(
    name: str, study: Study, error: BaseException, commands: list[str] | None = None
) -> str:
    """Write `<name>.failed.json` and return the message in one line."""
    message = str(error).strip() or type(error).__name__
    if isinstance(error, SystemExit):
        message = f"ended itself with status {error.code}; its last lines are in the log"
    elif not isinstance(error, UserError):
        message = f"{type(error).__name__}: {message}"
    log = study.folder.log(name)
    record = {
        "format": "understudy-failure",
        "name": name,
        "status": "failed",
        "message": message,
        "traceback": "".join(traceback.format_exception(error)),
        "commands": commands or [],
        "log": str(log) if log.is_file() else None,
        "log_tail": _tail(log),
        "time": now(),
        "versions": library_versions(),
    }
    try:
        write_json_atomic(study.folder.failure(name), record)
    except OSError as full:
        message += f" (and {study.folder.failure(name)} could not be written: {full})"
    return message


def _score(name: str, study: Study) -> float | None:
    if generator_job(name) is not None:
        return None
    evaluation = read_json(study.folder.record(name))["evaluation"]
    summary = evaluation.get("summary", {}).get(study.specification.metric.name) or {}
    return summary.get("value")


def _tail(path: Path) -> list[str]:
    if not path.is_file():
        return []
    return path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL_LINES:]
