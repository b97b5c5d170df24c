"""One run in Weights & Biases: begun, gone on with, finished; nobody is named in it."""

import contextlib
import os
import secrets
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provenance import write_text_atomic
from wandb_runs.environment import Destination, library

if TYPE_CHECKING:
    from wandb import Run

# Ten seconds of looking for the server, these, and the start of W&B's service: below 30 together.
_INIT_SECONDS = 15
# What is left after that is kept on disk; a study must not wait for a network that has gone.
_FINISH_SECONDS = 120


@dataclass(frozen=True)
class Labels:
    """What tells the runs of a study apart; WANDB_RUN_GROUP and WANDB_TAGS add to it.

    Attributes:
        name: Of the run; empty: that of its folder.
        group: Runs that belong together.
        job_type: What the run is within its group.
        tags: Of the run.
        config: Plain values beside the run's configuration.
        stays_open: A training that went well leaves the run open, for `add_to_summary`.
    """

    name: str = ""
    group: str = ""
    job_type: str = ""
    tags: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    stays_open: bool = False


_labels: ContextVar[Labels | None] = ContextVar("labels", default=None)


@contextlib.contextmanager
def labelled(labels: Labels) -> Iterator[None]:
    """Give these labels to the W&B runs that are begun inside the context."""
    token = _labels.set(labels)
    try:
        yield
    finally:
        _labels.reset(token)


def begin_run(
    folder: Path,
    destination: Destination,
    config: Mapping[str, Any],
    *,
    resume: bool = False,
    quiet: bool = False,
) -> "Run | None":
    """Begin a run in `folder/wandb`, or go on with the one that was begun there.

    Neither source code, git remote, host name, command line nor console output is sent: paths and
    terminal lines of a hospital may hold names. Where W&B does not get on within 15 seconds the run
    is offline. One line says where it is, and that and why there is none.

    Args:
        folder: Its last two parts name the run; of an absolute path only the last.
        destination: See `resolve`.
        config: Plain values without paths, shown as the run's configuration.
        resume: Go on with the run that the folder holds, if it holds one.
        quiet: Say only what is otherwise than `destination` says.

    Returns:
        The run; None where nothing is logged.
    """
    if destination.mode == "disabled":
        if not quiet:
            print(f"W&B: {destination}: nothing is logged there.")
        return None
    wandb = library()
    folder.mkdir(parents=True, exist_ok=True)
    run_id = run_id_of(folder) if resume else ""
    if not run_id:
        run_id = os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4)
        write_text_atomic(_id_file(folder), f"{run_id}\n")
    before = set((folder / "wandb").glob("run-*"))
    try:
        run = _init(wandb, folder, destination.mode, run_id, config)
    except (wandb.Error, OSError) as error:
        problem = textwrap.shorten(str(error).partition("\nConsider")[0], 200, placeholder=" ...")
        if destination.mode == "offline":
            print(f"W&B: nothing is logged there, since its service did not start: {problem}")
            return None
        wandb.teardown()  # its service holds the id as one in use
        for path in set((folder / "wandb").glob(f"run-*-{run_id}")) - before:
            shutil.rmtree(path, ignore_errors=True)  # begun just now, and empty
        offline = Destination("offline", f"W&B did not begin the run: {problem}")
        return begin_run(folder, offline, config, resume=True)
    if not quiet and destination.mode == "online":
        print(f"W&B: {destination}, {run.url}")
    elif not quiet:
        print(
            f"W&B: {destination}, in {folder / 'wandb'}. Nothing is sent until you do: "
            f"wandb sync {folder / 'wandb' / 'offline-run-*'}"
        )
    return run


def _init(wandb: Any, folder: Path, mode: str, run_id: str, config: Mapping[str, Any]) -> Any:
    labels, environ = _labels.get() or Labels(), os.environ
    folder_name = folder.name if folder.is_absolute() else "/".join(folder.parts[-2:])
    tags = [*labels.tags, *(tag for tag in environ.get("WANDB_TAGS", "").split(",") if tag)]
    return wandb.init(
        project=environ.get("WANDB_PROJECT", "understudy"),
        name=labels.name or environ.get("WANDB_NAME") or folder_name,
        group=environ.get("WANDB_RUN_GROUP") or labels.group or None,
        job_type=labels.job_type or environ.get("WANDB_JOB_TYPE") or None,
        tags=tags or None,
        id=run_id,
        resume="allow",
        dir=str(folder),
        mode=mode,
        config={**config, **labels.config},
        settings=wandb.Settings(
            console="off",
            disable_git=True,
            disable_code=True,
            x_disable_meta=True,
            host="undisclosed",
            init_timeout=_INIT_SECONDS,
            finish_timeout=_FINISH_SECONDS,
            finish_timeout_raises=True,
            silent=True,
        ),
    )


def _id_file(folder: Path) -> Path:
    return folder / "wandb" / "run_id.txt"


def run_id_of(folder: Path) -> str:
    """The id of the run that a folder holds; empty if there is none."""
    path = _id_file(folder)
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def finish_run(failed: bool = False) -> None:
    """Send what is left and close the current run, so that the next one has its own."""
    if "wandb" not in sys.modules:
        return
    import wandb

    run = wandb.run
    if run is None:
        return
    try:
        run.finish(exit_code=int(failed))
    except TimeoutError:
        print(
            f"W&B: not all could be sent within {_FINISH_SECONDS} s. It is kept; to send the rest: "
            f"wandb sync {Path(run.settings.sync_dir)}"
        )
    except (wandb.Error, OSError):  # its own log file on a full disk hides what happened
        pass


def leave_run(failed: bool) -> None:
    """Finish the current run at the end of a training, unless its labels say that it stays open."""
    labels = _labels.get()
    if failed or labels is None or not labels.stays_open:
        finish_run(failed)


def add_to_summary(folder: Path, destination: Destination, values: Mapping[str, Any]) -> None:
    """Add values to the summary of a folder's run, and finish it; nothing if there is no run.

    Where it was finished before, it is gone on with.

    Args:
        folder: Of the run.
        destination: See `resolve`.
        values: Plain values by name.
    """
    run_id = run_id_of(folder)
    if destination.mode == "disabled" or not run_id:
        return
    current = library().run
    if current is not None and current.id == run_id:
        current.summary.update(dict(values))
    elif values:
        run = begin_run(folder, destination, {}, resume=True, quiet=True)
        if run is not None:
            run.summary.update(dict(values))
    finish_run()
