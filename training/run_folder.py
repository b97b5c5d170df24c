"""The folder of a run: whose it is, and where things lie in it."""

import os
import sys
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from foreign_text import configuration_of
from lightning_modules.checkpoint_files import load_checkpoint_file
from lightning_modules.checkpoint_record import RECORD_KEY
from lightning_modules.distributed import launched_rank
from output_folder import differences, locked, refuse_differences
from patient_names import PatientNames
from provenance import UserError
from training.trainer_flags import SPELT_OUT

# What a record says of its data beside the split, and what sentences call it.
_SAME_DATA = {
    "dataset": "data set",
    "image_size": "image size",
    "class_names": "classes",
    "content_sha256": "content",
    "synthetic_sha256": "synthetic set, or the source that is translated",
}

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


def refuse_other_settings(run_folder: Path, now: dict[str, Any]) -> None:
    """Refuse to go on with a run under other settings of its model or data, or another precision.

    Such a run would be neither the old nor the new one. Where things lie, the number of loading
    processes and the trainer's other settings (longer, other devices) may change.

    Args:
        run_folder: Of the run; without a checkpoint there is nothing to go on with.
        now: The configuration as plain values, with "model", "data", "seed_everything" and
            "trainer".

    Raises:
        UserError: Names what differs.
    """
    path = run_folder / "config.yaml"
    if not path.exists() or not (checkpoint_folder(run_folder) / "last.ckpt").exists():
        return
    before = configuration_of(path)
    if not isinstance(before, dict):
        raise UserError(
            f"{path}: holds no settings, as when a process was killed while it wrote them. "
            "Nothing was changed. Remove this file, or put its copy there, and give the same "
            "command again: the settings are written anew, and the data are compared still."
        )
    was, is_now = _compared(before), _compared(now)
    refuse_differences(
        run_folder,
        "run",
        was,
        {key: value for key, value in is_now.items() if key in was},
        flag="--run_folder",
    )


def refuse_other_data(run_folder: Path, now: dict[str, Any], datamodule: Any) -> None:
    """Refuse to go on with a run on other data: its model would know the patients of both.

    Content is compared, not where it lies. The record of a checkpoint of an earlier version lacks
    some of it; that is said on stderr.

    Args:
        run_folder: Of the run; without a checkpoint there is nothing to go on with. With best.ckpt
            alone the run starts anew, and may be rolled back to it.
        now: The record that the run's next checkpoint would carry; see `RunRecord`.
        datamodule: It has the `root` and the `synthetic` of this call.

    Raises:
        UserError: Names what differs.
    """
    checkpoints = [checkpoint_folder(run_folder) / name for name in ("last.ckpt", "best.ckpt")]
    checkpoint = next((path for path in checkpoints if path.exists()), None)
    if checkpoint is None:
        return
    was = load_checkpoint_file(checkpoint).get(RECORD_KEY) or {}
    told = [name for name in _SAME_DATA if name in was]
    differing = differences(
        {_SAME_DATA[name]: was[name] for name in told},
        {_SAME_DATA[name]: now[name] for name in told},
    )
    augmented = differences(was.get("augmentation", now["augmentation"]), now["augmentation"])
    if augmented:
        raise UserError(
            f"--resume true: {checkpoint} was trained with another augmentation "
            f"({'; '.join(augmented)}). Nothing was changed. Give the list that the run's record "
            "holds, or begin a run: another --run_folder, without --resume true."
        )
    told_names = [each.get("patient_names") for each in (was, now)]
    names = [PatientNames.of_plain(plain) for plain in told_names if plain is not None]
    same_names = len(names) == 2 and names[0].comparable(names[1])
    differing += _differing_split(was.get("split", {}), now["split"], same_names)
    given = f"--data.root {datamodule.root}"
    if datamodule.synthetic is not None:
        given += f" --data.synthetic {datamodule.synthetic}"
    if differing:
        raise UserError(
            f"--resume true: {checkpoint} was trained on other data than {given} "
            f"({'; '.join(differing)}). Nothing was changed. Give the data that the run began "
            "with, which may lie elsewhere now; or begin a run with these: another --run_folder, "
            "without --resume true."
        )
    if any(name not in was and now[name] is not None for name in _SAME_DATA):
        rank_zero_only(print)(
            f"--resume true: {checkpoint} was written by an earlier version, without hashes of "
            f"its content, so whether {given} still holds the same images was not compared. The "
            "data set, the split and the classes are the same.",
            file=sys.stderr,
        )


def _differing_split(was: dict[str, Any], now: dict[str, Any], same_names: bool) -> list[str]:
    """What differs between two splits as records hold them, in words without names.

    Args:
        was: The split of the checkpoint.
        now: The split of this call.
        same_names: Whether both call one person by one name; else there may be more than agree.
    """
    now = {name: now.get(name) for name in was}
    if now == was:
        return []
    words = {"by": "split by", "split_id": "split"}
    found = differences(
        {word: was.get(name) for name, word in words.items()},
        {word: now.get(name) for name, word in words.items()},
    )
    by_image = was.get("training_items") and now.get("training_items")
    trained = {*(was["training_items"] if by_image else was["train"])}
    held_out = {*(now["held_out_items"] if by_image else now["val"] + now["test"])}
    if trained & held_out:
        found.append(
            f"training {'images' if by_image else 'patients'} that are now in the validation or "
            f"test split: {'' if same_names else 'at least '}{len(trained & held_out)} of "
            f"{len(trained)}"
        )
    return found or ["the images or patients of its splits"]


def _compared(config: dict[str, Any]) -> dict[str, Any]:
    """What may not change, by the name that a sentence gives it."""
    parts = {part: config.get(part) for part in ("model", "data", "seed_everything")}
    asked = str((config.get("trainer") or {}).get("precision") or "32-true")
    # An earlier version took short names too, which its config.yaml may hold.
    return {**_leaves(parts), "trainer.precision": SPELT_OUT.get(asked, asked)}


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
