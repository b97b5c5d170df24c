"""What a run goes on from, and that it is the same run: its settings, its data."""

import sys
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from callbacks.checkpoints import snapshots
from foreign_text import configuration_of
from lightning_modules.checkpoint_files import hash_file_of, load_checkpoint_file
from lightning_modules.checkpoint_record import RECORD_KEY
from output_folder import differences, refuse_differences
from patient_names import PatientNames
from provenance import UserError
from training.run_folder import checkpoint_folder
from training.trainer_flags import SPELT_OUT

# What a record says of its data beside the split, and what sentences call it.
_SAME_DATA = {
    "dataset": "data set",
    "image_size": "image size",
    "class_names": "classes",
    "content_sha256": "content",
    "synthetic_sha256": "synthetic set, or the source that is translated",
}


def checkpoint_to_go_on_from(run_folder: Path) -> Path | None:
    """last.ckpt; without one best.ckpt, which a kill at the first epoch's end may leave alone."""
    checkpoints = [checkpoint_folder(run_folder) / name for name in ("last.ckpt", "best.ckpt")]
    return next((path for path in checkpoints if path.exists()), None)


def told_start(run_folder: Path, start: Path | None, images: int) -> str:
    """From where a run goes on that was told to resume, as a sentence.

    Args:
        run_folder: Of the run.
        start: As `checkpoint_to_go_on_from`.
        images: That this state has seen.
    """
    folder = checkpoint_folder(run_folder)
    if start is None:
        return f"No checkpoint yet in {folder}: starting from the beginning."
    lacking = "" if start.name == "last.ckpt" else f"There is no last.ckpt in {folder}. "
    return f"{lacking}Going on from {start}: {images:,} images seen."


def _refuse_lost_checkpoints(folder: Path) -> None:
    """A snapshot of the first epoch comes again; of a later one, last.ckpt and best.ckpt are lost.

    Raises:
        UserError: They are lost.
    """
    kept = snapshots(folder) if folder.is_dir() else []
    if kept and int(load_checkpoint_file(kept[-1][1])["epoch"]) > 0:
        last = folder / "last.ckpt"
        raise UserError(
            f"--resume true: {folder} holds neither last.ckpt nor best.ckpt, but "
            f"{', '.join(path.name for _, path in kept)}. Nothing was changed. {_copy(kept[-1][1])}"
            f" as {last.name} and {hash_file_of(last).name} to go on from it, or give another "
            "--run_folder to begin anew."
        )


def _others(damaged: Path) -> str:
    """How to go on where the last state is damaged: the best one, or the newest snapshot."""
    others = [path for _, path in reversed(snapshots(damaged.parent))]
    if damaged.name != "best.ckpt":
        others.insert(0, damaged.with_name("best.ckpt"))
    for path in others:
        try:
            images = load_checkpoint_file(path)["progress"]["images_seen"]
        except UserError:
            continue
        last = damaged.with_name("last.ckpt")
        return (
            f"Nothing was changed. {_copy(path)} over {last.name} and {hash_file_of(last).name} to "
            f"go on from it, after {images:,} images."
        )
    return "No other checkpoint of this run is whole: begin anew with another --run_folder."


def _copy(checkpoint: Path) -> str:
    return f"Copy {checkpoint.name} and {hash_file_of(checkpoint).name}"


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
    if not path.exists() or checkpoint_to_go_on_from(run_folder) is None:
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


def refuse_other_data(run_folder: Path, now: dict[str, Any], datamodule: Any) -> int:
    """Refuse to go on with a run on other data: its model would know the patients of both.

    Content is compared, not where it lies. The record of a checkpoint of an earlier version lacks
    some of it; that is said on stderr.

    Args:
        run_folder: Of the run; without a checkpoint there is nothing to go on with.
        now: The record that the run's next checkpoint would carry; see `RunRecord`.
        datamodule: It has the `root` and the `synthetic` of this call.

    Returns:
        Images that the run has seen in that state; 0 where there is none.

    Raises:
        UserError: Names what differs; or that state is damaged or lost, and what is whole beside
            it.
    """
    checkpoint = checkpoint_to_go_on_from(run_folder)
    if checkpoint is None:
        _refuse_lost_checkpoints(checkpoint_folder(run_folder))
        return 0
    try:
        content = load_checkpoint_file(checkpoint)
    except UserError as error:
        raise UserError(f"{error} {_others(checkpoint)}") from error
    was = content.get(RECORD_KEY) or {}
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
    return int(content["progress"]["images_seen"])


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
