"""What the two checks of a set's labels share: against real images, and against the originals."""

from pathlib import Path
from typing import Any

from evaluation.folder import RESULT, read_evaluation
from output_folder import refuse_taken
from provenance import UserError, sha256_of

_OF_BOTH = (
    "model", "checkpoint_sha256", "found_at", "num_images", "num_patients", "summary",
    "synthetic_sha256",
)  # fmt: skip
_KEPT = {
    "labels": (*_OF_BOTH, "split", "num_real", "num_real_patients", "notes", "shows_nothing"),
    "survival": (*_OF_BOTH, "patients_that_the_model_was_trained_on", "notes"),
}


FOUND_AT = 0.5  # Dice


def check_flags(out: Path, found_at: float | None, batch_size: int, example: str) -> None:
    """Refuse a Dice or a number of images that is none, and results in a set or a cache.

    Args:
        out: Folder for the results.
        found_at: Smallest Dice at which a structure counts as found; None: not given.
        batch_size: Images at once.
        example: Last part of a folder's name that a sentence suggests.

    Raises:
        UserError: Names the flag.
    """
    if found_at is not None and not 0 < found_at <= 1:
        raise UserError(f"--found-at {found_at}: is a Dice, above 0 and at most 1.")
    if batch_size < 1:
        raise UserError(f"--batch-size {batch_size}: must be 1 or more.")
    refuse_taken(out, example)


def found_from(found_at: float | None, segments: bool, checkpoint: Path) -> float | None:
    """Smallest Dice at which a structure counts as found; None for a classifier.

    Raises:
        UserError: It is given, and the model is a classifier.
    """
    if segments:
        return FOUND_AT if found_at is None else found_at
    if found_at is not None:
        raise UserError(
            f"--found-at {found_at}: is a Dice of segmenters, and {checkpoint} holds a classifier, "
            "which finds the class that it thinks most probable. Leave it out."
        )
    return None


def record_of(folder: Path) -> dict[str, Any]:
    """Of a finished check, for the set's manifest: numbers, and no path.

    Args:
        folder: The evaluation's.

    Returns:
        The model's kind and SHA-256, images and patients, each share with its interval, what was
        required, the set's SHA-256 and that of evaluation.json.
    """
    result = read_evaluation(folder)
    return {
        **{name: result[name] for name in _KEPT[result["task"]]},
        "required": [
            {"rule": row["rule"], "verdict": row["verdict"]} for row in result.get("require", ())
        ],
        "evaluation_sha256": sha256_of(Path(folder) / RESULT),
    }
