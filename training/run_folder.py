"""The folder of a run: whose it is, and where things lie in it."""

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from lightning_modules.distributed import launched_rank
from output_folder import refuse_differences
from provenance import UserError

_VARIABLE = "UNDERSTUDY_RUN_FOLDER"


def claim_run_folder(asked: str | None, config_name: str, resume: bool) -> Path:
    """The folder of this run, the same in every process; never one that holds another run.

    Args:
        asked: --run_folder; None makes runs/<config_name>/<SLURM job, or date and time>.
        config_name: Of the experiment's YAML.
        resume: Whether a run that is there may be gone on with.

    Raises:
        UserError: It holds a run already.
    """
    inherited = os.environ.get(_VARIABLE)
    if launched_rank() != 0 and inherited:
        return Path(inherited)
    if asked is not None:
        folder = Path(asked)
    else:
        job = os.environ.get("SLURM_JOB_ID") or os.environ.get("TORCHELASTIC_RUN_ID")
        folder = Path("runs") / config_name / (job or datetime.now().strftime("%Y%m%d-%H%M%S"))
    if launched_rank() == 0:
        if (folder / "config.yaml").exists() and not resume:
            raise UserError(
                f"--run_folder {folder}: holds a run already. Nothing is overwritten: choose "
                "another folder, or add --resume true to continue that run."
            )
        os.environ[_VARIABLE] = str(folder)  # read by the processes that Lightning starts
    return folder


def forget_run_folder() -> None:
    """Let the next training of this process choose its own."""
    if launched_rank() == 0:
        os.environ.pop(_VARIABLE, None)


def checkpoint_folder(run_folder: Path) -> Path:
    """Where a run keeps its checkpoints."""
    return Path(run_folder) / "checkpoints"


def refuse_other_settings(run_folder: Path, now: dict[str, Any]) -> None:
    """Refuse to go on with a run under other settings of its model or data.

    Such a run would be neither the old nor the new one. Where things lie, the number of loading
    processes and the trainer's settings (longer, other devices) may change.

    Args:
        run_folder: Of the run; without a checkpoint there is nothing to go on with.
        now: The configuration as plain values, with "model", "data" and "seed_everything".

    Raises:
        UserError: Names what differs.
    """
    import yaml

    path = run_folder / "config.yaml"
    if not path.exists() or not (checkpoint_folder(run_folder) / "last.ckpt").exists():
        return
    try:
        before = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"{path}: is not readable YAML; the run cannot be gone on with.") from error
    parts = ("model", "data", "seed_everything")
    was = _leaves({part: before.get(part) for part in parts})
    is_now = _leaves({part: now.get(part) for part in parts})
    refuse_differences(
        run_folder,
        "run",
        was,
        {key: value for key, value in is_now.items() if key in was},
        flag="--run_folder",
    )


def _leaves(node: Any, path: str = "") -> dict[str, Any]:
    """`model.network.width` and so on with their values; of a path its last part."""
    if isinstance(node, dict):
        found: dict[str, Any] = {}
        for key, value in node.items():
            if key not in ("root", "num_workers"):
                inner = path if key == "init_args" else f"{path}.{key}".lstrip(".")
                found |= _leaves(value, inner)
        return found
    return {path: Path(node).name if isinstance(node, str) else node}
