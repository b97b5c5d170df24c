"""Weights of another run, with which a training starts."""

from pathlib import Path
from typing import Any

import numpy as np

from knowledge import Knowledge
from lightning_modules.checkpoint_files import load_checkpoint_file
from lightning_modules.checkpoint_record import RECORD_KEY, check_tells
from lightning_modules.loading import licences_behind, seen_by
from lightning_modules.training_module import TrainingModule
from provenance import UserError


def start_from_checkpoint(
    module: TrainingModule, path: Path, class_names: tuple[str, ...], cache: Any
) -> Knowledge:
    """Give a segmenter or classifier the weights of another one, trained on the same patients.

    Args:
        module: Gets all weights, the head's too, of a module of its own class.
        path: Checkpoint of another run.
        class_names: This run's; the other's must be the same.
        cache: This run's data, a `PreparedCache`. The other run must have kept the same patients
            for validation and test, and have learnt of none of them elsewhere, or this one would be
            judged on patients that its weights have seen.

    Returns:
        Whom the weights have learnt from; see `seen_by`.

    Raises:
        UserError: No such checkpoint, or one of another task, other patients or another network.
    """
    flag, wanted = flag_of(path), type(module).__name__
    content, record = opened_start(path, wanted, "class_names", "split")
    if tuple(record["class_names"]) != class_names:
        raise UserError(
            f"{flag}: tells apart {', '.join(record['class_names'])}, this run "
            f"{', '.join(class_names)}. Start from a {wanted} of the same classes."
        )
    theirs = record["split"]["split_id"]
    if theirs != cache.split_id:
        raise UserError(
            f"{flag}: was trained on the patient split {theirs[:12]}, this run's data "
            f"have {cache.split_id[:12]}. Its weights may have seen patients that this run is "
            "tested on. Train both on the same prepared data."
        )
    seen = refuse_held_out(flag, wanted, record, cache)
    try:
        module.load_state_dict(content["state_dict"])
    except RuntimeError as error:
        reason = " ".join(str(error).split()).partition(": ")[2][:300]
        raise UserError(
            f"{flag}: its weights do not fit this run's network ({reason}). Give --model.network "
            "the same settings as that run's."
        ) from error
    module.licences_before = licences_behind(record)
    return seen


def flag_of(path: Path) -> str:
    """What was given, for sentences."""
    return f"--model.start_from {path}"


def opened_start(path: Path, wanted: str, *told: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The checkpoint that a training starts from, and what it says of itself.

    Args:
        path: Its file.
        wanted: Name of the class that it must be of.
        *told: Entries that its record must have.

    Raises:
        UserError: There is no such checkpoint, or it is of another class, or tells too little.
    """
    content = load_checkpoint_file(path)
    record: dict[str, Any] = content.get(RECORD_KEY) or {}
    kind = str(record.get("model", {}).get("class_path", "something unknown"))
    if not kind.endswith(f".{wanted}"):
        raise UserError(
            f"{flag_of(path)}: is a checkpoint of {kind}, expected one of a {wanted} that train.py "
            "wrote."
        )
    check_tells(record, path, *told)
    return content, record


def refuse_held_out(flag: str, wanted: str, record: dict[str, Any], cache: Any) -> Knowledge:
    """Refuse weights that have learnt from this run's validation or test data.

    Args:
        flag: What was given, for the sentence.
        wanted: Name of the class that it is a checkpoint of.
        record: Of the checkpoint.
        cache: This run's data, a `PreparedCache`.

    Returns:
        Whom the weights have learnt from; see `seen_by`.

    Raises:
        UserError: Names some of whom they know.
    """
    seen = seen_by(record)
    by_image = "training_items" in record["split"] and cache.split_by != "patient"
    held_out = np.concatenate([cache.indices("val"), cache.indices("test")])
    known = held_out[seen.overlap(cache, by_image).known[held_out]]
    if len(known):
        unit, names = ("images", cache.ids) if by_image else ("patients", cache.patient_ids)
        some = np.unique(names[known]).tolist()
        raise UserError(
            f"{flag}: has learnt from {len(some)} {unit} of the validation or test split of "
            f"{cache.root} ({', '.join(some[:5])}), so the scores of this run would be "
            f"worthless. Start from a {wanted} that knows none of them, or leave the flag out."
        )
    return seen
