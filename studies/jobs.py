"""One job of a study, from its claim to its JSON: a generator's, or a cell's."""

import contextlib
import math
import os
import platform
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from provenance import UserError, library_versions, read_json, sha256_of, write_json_atomic
from studies.claims import Claim, holder
from studies.commands import (
    JobContext,
    Verbs,
    cell_fit_arguments,
    evaluate_arguments,
    fit_command,
    generate_arguments,
    generator_fit_arguments,
    verb_command,
)
from studies.curves import read_curves
from studies.folder import Cell, cells_of, describe_data, settings_of
from studies.specification import PROJECT_ROOT

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
            perform = _perform_generator if name.startswith("generator__") else _perform_cell
            perform(name, context, verbs, commands)
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
        "time": _now(),
        "versions": library_versions(),
    }
    try:
        write_json_atomic(context.folder.failure(name), record)
    except OSError as full:
        message += f" (and {context.folder.failure(name)} could not be written: {full})"
    return message


def _perform_generator(name: str, context: JobContext, verbs: Verbs, commands: list[str]) -> None:
    seed = int(name.removeprefix("generator__seed"))
    settings = _settings(name, context)
    arguments = generator_fit_arguments(context, seed)
    assert context.specification.generator is not None
    kept = context.specification.generator.checkpoint
    fit = _fit(name, context, settings, arguments, verbs, commands, kept)
    if not fit.pop("reused") and context.folder.synthetic(seed).exists():
        # Images of an earlier checkpoint; those of this one would be gone on with.
        shutil.rmtree(context.folder.synthetic(seed))
    keywords = generate_arguments(context, seed, Path(fit["checkpoint"]))
    commands.append(verb_command("generate", keywords))
    started = time.monotonic()
    made = verbs.generate(**keywords)
    record = _record(name, settings, commands, fit, context)
    record["timings"]["generate_seconds"] = time.monotonic() - started
    record["synthetic"] = {"folder": str(made), "num_images": keywords["num_images"]}
    write_json_atomic(context.folder.record(name), _jsonable(record))


def _perform_cell(name: str, context: JobContext, verbs: Verbs, commands: list[str]) -> None:
    cell = _cell(name, context)
    settings = _settings(name, context)
    arguments = cell_fit_arguments(context, cell)
    fit = _fit(name, context, settings, arguments, verbs, commands)
    keywords = evaluate_arguments(context, cell, Path(fit["checkpoint"]))
    commands.append(verb_command("evaluate", keywords))
    # What a killed evaluation left is refused by the next one, and it is quick to make again.
    shutil.rmtree(keywords["out"], ignore_errors=True)
    started = time.monotonic()
    evaluation = verbs.evaluate(**keywords)
    metric = context.specification.metric.name
    scored = list(evaluation.get("images") or []) + list(evaluation.get("patients") or [])
    if not any(metric in row for row in scored):
        known = sorted({key for row in scored[:1] + scored[-1:] for key in row})
        raise UserError(
            f"The evaluation holds no score {metric!r}, which the study decides by; it holds "
            f"{', '.join(known)}. Correct `metric` in the study's YAML."
        )
    record = _record(name, settings, commands, fit, context)
    record |= {"scenario": cell.scenario.id, "model": cell.model.name, "seed": cell.seed}
    record["timings"]["evaluate_seconds"] = time.monotonic() - started
    record["evaluation"] = evaluation
    write_json_atomic(context.folder.record(name), _jsonable(record))


def _machine() -> str:
    """What a timing needs to be understood; not the host's name, which may say whose it is."""
    import torch

    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores{gpu}"


def _fit(
    name: str,
    context: JobContext,
    settings: dict[str, Any],
    arguments: list[str],
    verbs: Verbs,
    commands: list[str],
    kept: str = "best",
) -> dict[str, Any]:
    """Train, or go on where an interrupted training with the same settings stopped."""
    folder = context.folder
    run_folder = folder.run(name)
    finished = run_folder / "study_fit.json"
    commands.append(fit_command(arguments))
    resumed = False
    if run_folder.exists():
        begun = _begun_with(name, context)
        if begun is None:
            raise UserError(f"{run_folder}: exists, but this study did not begin it. Move it away.")
        same = begun == settings
        if same and finished.is_file():
            fit = read_json(finished)
            checkpoint = Path(fit["checkpoint"])
            if checkpoint.is_file() and sha256_of(checkpoint) == fit["checkpoint_sha256"]:
                return {**fit, "reused": True}
        if same and (run_folder / "checkpoints" / "last.ckpt").is_file():
            resumed = True
        else:
            # Nothing to go on from: no checkpoint yet, or one of other settings.
            shutil.rmtree(run_folder)
    write_json_atomic(folder.begun(name), _jsonable({"name": name, "settings": settings}))
    if resumed:
        arguments = [*arguments, "--resume", "true"]
    with _as_train_script(arguments):
        result = verbs.fit(arguments)
    best = Path(result.best_checkpoint) if result.best_checkpoint else None
    has_best = kept == "best" and best is not None and best.is_file()
    checkpoint = best if has_best and best else Path(result.last_checkpoint)
    fit = {
        "run_folder": str(result.run_folder),
        "checkpoint": str(checkpoint),
        "checkpoint_sha256": sha256_of(checkpoint),
        "images_seen": int(result.images_seen),
        "seconds": float(result.seconds),
        "resumed": resumed,
    }
    write_json_atomic(finished, fit)
    return {**fit, "reused": False}


@contextlib.contextmanager
def _as_train_script(arguments: list[str]) -> Iterator[None]:
    """Lightning's ddp starts its other ranks by running sys.argv again: it must name train.py."""
    kept = sys.argv
    sys.argv = [str(PROJECT_ROOT / "train.py"), *arguments]
    try:
        yield
    finally:
        sys.argv = kept


def _record(
    name: str,
    settings: dict[str, Any],
    commands: list[str],
    fit: dict[str, Any],
    context: JobContext,
) -> dict[str, Any]:
    return {
        "format": "understudy-job",
        "format_version": 1,
        "name": name,
        "status": "done",
        "settings": settings,
        "commands": list(commands),
        "run_folder": fit["run_folder"],
        "checkpoint": fit["checkpoint"],
        "checkpoint_sha256": fit["checkpoint_sha256"],
        "curves": read_curves(context.folder.run(name) / "metrics.csv"),
        "timings": {
            "fit_seconds": fit["seconds"],
            "images_seen": fit["images_seen"],
            "resumed": fit["resumed"],
        },
        "machine": _machine(),
        "finished": _now(),
        "versions": library_versions(),
    }


def _settings(name: str, context: JobContext) -> dict[str, Any]:
    labels = describe_data(context.labels) if context.labels else None
    plain = settings_of(context.specification, name, describe_data(context.root), labels)
    settings: dict[str, Any] = _jsonable(plain)
    return settings


def _begun_with(name: str, context: JobContext) -> dict[str, Any] | None:
    path = context.folder.begun(name)
    return read_json(path)["settings"] if path.is_file() else None


def _cell(name: str, context: JobContext) -> Cell:
    return next(cell for cell in cells_of(context.specification) if cell.name == name)


def _score(name: str, context: JobContext) -> float | None:
    if name.startswith("generator__"):
        return None
    evaluation = read_json(context.folder.record(name))["evaluation"]
    summary = evaluation.get("summary", {}).get(context.specification.metric.name) or {}
    return summary.get("value")


def _jsonable(value: Any) -> Any:
    """Plain JSON values: tuples as lists, paths as text, NaN and infinity as null."""
    if isinstance(value, dict):
        return {str(key): _jsonable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def _tail(path: Path) -> list[str]:
    if not path.is_file():
        return []
    return path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL_LINES:]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
