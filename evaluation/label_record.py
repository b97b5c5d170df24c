"""What the checks of a set's labels, against real images and against originals, share.

How the model is asked, and what the set's manifest keeps of the answer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device import Device
from evaluation.folder import RESULT, read_evaluation
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


@dataclass(frozen=True)
class Asking:
    """How a frozen model is asked for labels, whatever its answers are compared with.

    Its fields are flags of evaluate.py labels and survival.

    Args:
        found_at: Segmenters only. Smallest Dice at which a structure counts as found. Default: 0.5.
        batch_size: Images at once; the scores do not depend on it.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        show_progress: A progress bar with the time left.

    Raises:
        UserError: A Dice or a number of images that is none.
    """

    found_at: float | None = None
    batch_size: int = 16
    device: Device = "auto"
    show_progress: bool = True

    def __post_init__(self) -> None:
        if self.found_at is not None and not 0 < self.found_at <= 1:
            raise UserError(f"--found-at {self.found_at}: is a Dice, above 0 and at most 1.")
        if self.batch_size < 1:
            raise UserError(f"--batch-size {self.batch_size}: must be 1 or more.")

    def dice_from(self, segments: bool, checkpoint: Path) -> float | None:
        """Smallest Dice at which a structure counts as found; None for a classifier.

        Raises:
            UserError: It is given, and the model is a classifier.
        """
        if segments:
            return FOUND_AT if self.found_at is None else self.found_at
        if self.found_at is not None:
            raise UserError(
                f"--found-at {self.found_at}: is a Dice of segmenters, and {checkpoint} holds a "
                "classifier, which finds the class that it thinks most probable. Leave it out."
            )
        return None

    def batches(self, number: int, what: str) -> Iterator[slice]:
        """Which images are asked for at once, of so many, with a progress bar of this name."""
        from tqdm import tqdm

        starts = range(0, number, self.batch_size)
        for start in tqdm(starts, what, unit="batch", disable=not self.show_progress):
            yield slice(start, start + self.batch_size)


AS_USUAL = Asking()


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
