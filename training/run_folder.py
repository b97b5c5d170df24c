"""The folder of a run: whose it is, and where things lie in it."""

import os
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from lightning_modules.distributed import launched_rank
from output_folder import LOCK, locked
from provenance import UserError

_VARIABLE = "UNDERSTUDY_RUN_FOLDER"
_held = ExitStack()


def claim_run_folder(asked: str | None, config_name: str, resume: bool) -> Path:
    """The folder of this run, the same in every process; never one that holds another run.

    Args:
        asked: --run_folder; None makes runs/<config_name>/<SLURM job, or date and time>.
        config_name: Of the experiment's YAML.
        resume: Whether a run that is there may be gone on with.

    Raises:
        UserError: It holds a run already, or is a file; or a run shall be gone on with that nothing
            names.
    """
    inherited = os.environ.get(_VARIABLE)
    if launched_rank() != 0 and inherited:
        return Path(inherited)
    if asked is not None:
        folder = Path(asked)
    else:
        job = os.environ.get("SLURM_JOB_ID") or os.environ.get("TORCHELASTIC_RUN_ID")
        if resume and not job:
            raise UserError(
                "--resume true: goes on with the run in --run_folder, and none is given. Give "
                "--run_folder with the folder of that run; without --resume a new run begins."
            )
        folder = Path("runs") / config_name / (job or datetime.now().strftime("%Y%m%d-%H%M%S"))
    if launched_rank() == 0:
        _refuse_a_file(folder)
        if (folder / LOCK).is_file() and not resume:
            with locked(folder, "train.py", "--run_folder"):
                pass  # a run that is going on is not to be resumed, as the next sentence advises
        _refuse_another_run(folder, resume)
        os.environ[_VARIABLE] = str(folder)  # read by the processes that Lightning starts
    return folder


def _refuse_a_file(folder: Path) -> None:
    there = next((path for path in (folder, *folder.parents) if path.exists()), Path())
    if not there.is_dir():
        near = f" Did you mean {there.parent}?" if checkpoint_folder(there.parent).is_dir() else ""
        raise UserError(
            f"--run_folder {folder}: {there} is a file, and a run is a folder.{near} Give the "
            "folder of a run, or one that is not there yet."
        )


def _refuse_another_run(folder: Path, resume: bool) -> None:
    checkpoints = [checkpoint_folder(folder) / name for name in ("last.ckpt", "best.ckpt")]
    if any(path.exists() for path in (folder / "config.yaml", *checkpoints)) and not resume:
        raise UserError(
            f"--run_folder {folder}: holds a run already. Nothing is overwritten: choose "
            "another folder, or add --resume true to continue that run."
        )


def hold_run_folder(folder: Path, resume: bool) -> None:
    """Hold the folder of this run against a second train.py, until `forget_run_folder`.

    What a kill left half written, which may be as large as a checkpoint, is removed.

    Args:
        folder: As `claim_run_folder` gave it. It is made here, once all flags are known to be good.
        resume: Whether a run that is there may be gone on with.

    Raises:
        UserError: Another train.py is at work in it, or has been since it was claimed.
    """
    if launched_rank() == 0:
        _held.enter_context(locked(folder, "train.py", "--run_folder"))
        _refuse_another_run(folder, resume)
        for each in (folder, checkpoint_folder(folder), folder / "samples"):
            for half_written in each.glob(".*.part"):
                half_written.unlink(missing_ok=True)


def forget_run_folder() -> None:
    """Let go of the folder, and let the next training of this process choose its own."""
    if launched_rank() == 0:
        _held.close()
        os.environ.pop(_VARIABLE, None)


def checkpoint_folder(run_folder: Path) -> Path:
    """Where a run keeps its checkpoints."""
    return Path(run_folder) / "checkpoints"
