"""One training of a study's job: begun once, gone on with after an interruption, never repeated."""

import contextlib
import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from provenance import UserError, read_json, sha256_of, write_json_atomic
from studies.run.commands import JobContext, Verbs, fit_command
from studies.specification.specification import PROJECT_ROOT


def fit_once(
    name: str,
    context: JobContext,
    settings: dict[str, Any],
    arguments: list[str],
    verbs: Verbs,
    commands: list[str],
    kept: str = "best",
    part: str = "",
) -> dict[str, Any]:
    """Train, or go on where an interrupted training with the same settings stopped.

    Args:
        name: The job.
        context: The study.
        settings: All that the outcome depends on; a run folder begun with others is removed.
        arguments: Of `train.fit`.
        verbs: The other scripts.
        commands: Gets the training as a shell command.
        kept: Which checkpoint is the result, "best" or "last".
        part: Which of the job's trainings, if there are several.

    Returns:
        run_folder, checkpoint, checkpoint_sha256, images_seen, seconds, resumed, part, and
        reused: it was finished before.

    Raises:
        UserError: The run folder holds something that this study did not begin.
    """
    folder = context.folder
    begun_as = f"{name}__{part}" if part else name
    run_folder = folder.run(name, part)
    finished = run_folder / "study_fit.json"
    commands.append(fit_command(arguments))
    resumed = False
    if run_folder.exists():
        begun = _begun_with(begun_as, context)
        if begun is None:
            raise UserError(f"{run_folder}: exists, but this study did not begin it. Move it away.")
        same = begun == settings
        if same and finished.is_file():
            fit = read_json(finished)
            checkpoint = Path(fit["checkpoint"])
            if checkpoint.is_file() and sha256_of(checkpoint) == fit["checkpoint_sha256"]:
                return {**fit, "part": part, "reused": True}
        if same and (run_folder / "checkpoints" / "last.ckpt").is_file():
            resumed = True
        else:
            # Nothing to go on from: no checkpoint yet, or one of other settings.
            shutil.rmtree(run_folder)
    write_json_atomic(folder.begun(begun_as), jsonable({"name": begun_as, "settings": settings}))
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
    return {**fit, "part": part, "reused": False}


@contextlib.contextmanager
def _as_train_script(arguments: list[str]) -> Iterator[None]:
    """Lightning's ddp starts its other ranks by running sys.argv again: it must name train.py."""
    kept = sys.argv
    sys.argv = [str(PROJECT_ROOT / "train.py"), *arguments]
    try:
        yield
    finally:
        sys.argv = kept


def _begun_with(name: str, context: JobContext) -> dict[str, Any] | None:
    path = context.folder.begun(name)
    return read_json(path)["settings"] if path.is_file() else None


def jsonable(value: Any) -> Any:
    """Plain JSON values: tuples as lists, paths as text, NaN and infinity as null."""
    if isinstance(value, dict):
        return {str(key): jsonable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
