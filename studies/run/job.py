"""One job of a study, from its claim to its JSON: a generator's, or a cell's."""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from provenance import UserError, library_versions, read_json, write_json_atomic
from studies.run.claim import Claim, holder
from studies.run.commands import JobContext, Verbs
from studies.run.perform import now, perform_of

_POLL_SECONDS = 2.0
_LOG_TAIL_LINES = 40


@dataclass(frozen=True)
class JobOutcome:
    """How a job ended. `state` is done, failed, or elsewhere (another process has it)."""

    name: str
    state: str
    seconds: float
    message: str = ""
    score: float | None = None


def run_job(name: str, context: JobContext, load_verbs: Callable[[], Verbs]) -> JobOutcome:
    """Do one job; whatever goes wrong inside becomes a record, never an exception."""
    started = time.monotonic()
    folder = context.folder
    while True:
        claim = Claim.take(folder.claim(name))
        if claim:
            break
        if not name.startswith("generator__"):
            return JobOutcome(name, "elsewhere", 0.0, f"left to {holder(folder.claim(name))}")
        # Cells here need these images, so wait for whoever makes them.
        time.sleep(_POLL_SECONDS)
    with claim:
        if folder.record(name).is_file():
            return JobOutcome(
                name, "done", 0.0, "was done by another process", _score(name, context)
            )
        commands: list[str] = []
        try:
            verbs = load_verbs()
            perform_of(name, context)(name, context, verbs, commands)
        except (Exception, SystemExit) as error:
            message = record_failure(name, context, error, commands)
            return JobOutcome(name, "failed", time.monotonic() - started, message)
        folder.failure(name).unlink(missing_ok=True)
    return JobOutcome(name, "done", time.monotonic() - started, "", _score(name, context))


def record_failure(
    name: str, context: JobContext, error: BaseException, commands: list[str] | None = None
) -> str:
    """Write `<name>.failed.json` and return the message in one line."""
    message = str(error).strip() or type(error).__name__
    if isinstance(error, SystemExit):
        message = f"ended itself with status {error.code}; its last lines are in the log"
    elif not isinstance(error, UserError):
        message = f"{type(error).__name__}: {message}"
    log = context.folder.log(name)
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
        write_json_atomic(context.folder.failure(name), record)
    except OSError as full:
        message += f" (and {context.folder.failure(name)} could not be written: {full})"
    return message


def _score(name: str, context: JobContext) -> float | None:
    if name.startswith("generator__"):
        return None
    evaluation = read_json(context.folder.record(name))["evaluation"]
    summary = evaluation.get("summary", {}).get(context.specification.metric.name) or {}
    return summary.get("value")


def _tail(path: Path) -> list[str]:
    if not path.is_file():
        return []
    return path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL_LINES:]
