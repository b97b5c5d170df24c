"""One job of a study while it is done: its trainings, its commands, and the JSON of its result."""

import contextlib
import math
import os
import platform
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from provenance import UserError, library_versions, read_json, sha256_of, write_json_atomic
from studies.run.curves import read_curves
from studies.run.fingerprint import by_content
from studies.run.folder import Study
from studies.run.logged import labels_of, logged_scores
from studies.run.verbs import Verbs, verb_command
from studies.specification.parts import Cell
from studies.specification.paths import from_this_folder
from studies.specification.specification import PROJECT_ROOT
from wandb_runs.run import add_to_summary, labelled

Result = TypeVar("Result")


@dataclass(frozen=True)
class Fit:
    """A finished training of a job.

    Attributes:
        resumed: It was interrupted, and went on from its last checkpoint.
        part: Which of the job's trainings, if there are several.
        reused: It was finished before this try at the job.
        real_images_seen: Of `images_seen`; None for a training of an earlier version.
    """

    run_folder: str
    checkpoint: str
    checkpoint_sha256: str
    images_seen: int
    seconds: float
    resumed: bool
    part: str = ""
    reused: bool = False
    real_images_seen: int | None = None


# What `study_fit.json` says; the rest depends on who asks.
_KEPT = (
    "run_folder", "checkpoint", "checkpoint_sha256", "images_seen", "real_images_seen", "seconds",
    "resumed",
)  # fmt: skip


class Job:
    """What a kind of study does a job with.

    Args:
        name: The job: a cell's name, or a generator's.
        study: Which study.
        verbs: The other scripts.
        settings: All that the outcome depends on, as JSON gives it back.
        commands: Gets every step as a shell command, also where a later one fails.
    """

    def __init__(
        self,
        name: str,
        study: Study,
        verbs: Verbs,
        settings: dict[str, Any],
        commands: list[str],
    ) -> None:
        self.name = name
        self.study = study
        self.verbs = verbs
        self._settings = settings
        self._commands = commands
        self._fits: list[Fit] = []
        self._seconds: dict[str, float] = {}

    @property
    def cell(self) -> Cell:
        """The cell that this job does."""
        return self.study.specification.cell(self.name)

    def fit(self, config: str, flags: Sequence[str], keep: str = "best", part: str = "") -> Fit:
        """Train, or go on where an interrupted training with the same settings stopped.

        A training that is finished is not repeated.

        Args:
            config: YAML for `train.py fit --config`.
            flags: Further flags; later ones win.
            keep: Which checkpoint is the result, "best" or "last".
            part: Which of the job's trainings, if there are several.

        Raises:
            UserError: The run folder holds something that this study did not begin.
        """
        folder = self.study.folder
        run_folder = folder.run(self.name, part)
        arguments = [
            *("fit", "--config", *from_this_folder([config]), "--data.root", str(self.study.root)),
            *("--wandb", self.study.logged.mode, *flags),
            *("--seed_everything", str(self._settings["seed"]), "--run_folder", str(run_folder)),
        ]
        self._commands.append(shlex.join(["python", "train.py", *arguments]))
        begun_as = f"{self.name}__{part}" if part else self.name
        begun, finished = folder.begun(begun_as), run_folder / "study_fit.json"
        resumed = False
        if run_folder.exists():
            if not begun.is_file():
                raise UserError(
                    f"{run_folder}: exists, but this study did not begin it. Move it away."
                )
            same = by_content(read_json(begun)["settings"]) == by_content(self._settings)
            if same and finished.is_file():
                fit = Fit(**read_json(finished), part=part, reused=True)
                checkpoint = Path(fit.checkpoint)
                if checkpoint.is_file() and sha256_of(checkpoint) == fit.checkpoint_sha256:
                    self._fits.append(fit)
                    return fit
            has_checkpoints = any((run_folder / "checkpoints").glob("*.ckpt"))
            if same and has_checkpoints:  # train.py chooses the one to go on from, and says which
                resumed = True
                arguments += ["--resume", "true"]
            else:
                if has_checkpoints:
                    print(
                        f"{run_folder}: was begun with other settings of this study and had not "
                        "ended. It is removed, and the training begins anew."
                    )
                shutil.rmtree(run_folder)
        write_json_atomic(begun, {"name": begun_as, "settings": self._settings})
        with _as_train_script(arguments), labelled(labels_of(self.study, self.name, part)):
            result = self.verbs.fit(arguments)
        checkpoint = Path(result.last_checkpoint)
        if keep == "best" and result.best_checkpoint and Path(result.best_checkpoint).is_file():
            checkpoint = Path(result.best_checkpoint)
        fit = Fit(
            run_folder=str(result.run_folder),
            checkpoint=str(checkpoint),
            checkpoint_sha256=sha256_of(checkpoint),
            images_seen=int(result.images_seen),
            real_images_seen=int(result.real_images_seen),
            seconds=float(result.seconds),
            resumed=resumed,
        )
        write_json_atomic(finished, {key: getattr(fit, key) for key in _KEPT})
        self._fits.append(replace(fit, part=part))
        return self._fits[-1]

    def call(self, verb: str, function: Callable[..., Result], **keywords: Any) -> Result:
        """Run another verb, such as "evaluate.py images"; its command and time are noted."""
        self._commands.append(verb_command(verb, keywords))
        started = time.monotonic()
        result = function(**keywords)
        key = f"{verb.partition('.')[0]}_seconds"
        self._seconds[key] = self._seconds.get(key, 0.0) + time.monotonic() - started
        return result

    def write(self, **result: Any) -> None:
        """Write the job's JSON. The last training is the job's; those before led to it."""
        fit = self._fits[-1]
        real = [one.real_images_seen for one in self._fits]
        record = {
            "format": "understudy-job",
            "format_version": 1,
            "name": self.name,
            "status": "done",
            "settings": self._settings,
            "commands": self._commands,
            "run_folder": fit.run_folder,
            "checkpoint": fit.checkpoint,
            "checkpoint_sha256": fit.checkpoint_sha256,
            "curves": read_curves(Path(fit.run_folder) / "metrics.csv"),
            "parts": [
                {"name": one.part, "checkpoint_sha256": one.checkpoint_sha256}
                for one in self._fits
                if one.part
            ],
            "timings": {
                "fit_seconds": sum(one.seconds for one in self._fits),
                "images_seen": sum(one.images_seen for one in self._fits),
                "real_images_seen": None if None in real else sum(one or 0 for one in real),
                "resumed": any(one.resumed for one in self._fits),
                **self._seconds,
            },
            "machine": _machine(),
            "finished": now(),
            "versions": library_versions(),
            **result,
        }
        write_json_atomic(self.study.folder.record(self.name), _jsonable(record))
        scores = logged_scores(result.get("evaluation", {}))
        with labelled(labels_of(self.study, self.name, fit.part)):
            add_to_summary(Path(fit.run_folder), self.study.logged, scores)


@contextlib.contextmanager
def _as_train_script(arguments: list[str]) -> Iterator[None]:
    """Lightning's ddp starts its other ranks by running sys.argv again: it must name train.py."""
    kept = sys.argv
    sys.argv = [str(PROJECT_ROOT / "train.py"), *arguments]
    try:
        yield
    finally:
        sys.argv = kept


def _machine() -> str:
    """What a timing needs to be understood; not the host's name, which may say whose it is."""
    import torch

    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores{gpu}"


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _jsonable(value: Any) -> Any:
    """Plain JSON values: tuples as lists, paths as text, NaN and infinity as null."""
    if isinstance(value, dict):
        return {str(key): _jsonable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
