"""What the two checks of a set's labels share: against real images, and against the originals."""

from pathlib import Path
from typing import Any

from evaluation.folder import RESULT, read_evaluation
from provenance import UserError, sha256_of

_OF_BOTH = (
    "model", "checkpoint_sha256", "found_at", "num_images", "num_patients", "summary",
    "synthetic_sha256",
)  # fmt: skip
_KEPT = {
    "labels": (*_OF_BOTH, "split", "num_real", "num_real_patients", "notes"),
    "survival": (*_OF_BOTH, "patients_that_the_model_was_trained_on"),
}


def check_flags(found_at: float, batch_size: int) -> None:
    """Refuse a Dice or a number of images that is none.

    Raises:
        UserError: Names the flag.
    """
    if not 0 < found_at <= 1:
        raise UserError(f"--found-at {found_at}: is a Dice, above 0 and at most 1.")
    if batch_size < 1:
        raise UserError(f"--batch-size {batch_size}: must be 1 or more.")


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
