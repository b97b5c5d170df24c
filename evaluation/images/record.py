"""What a set's manifest and card hold of a comparison with real images: numbers, and no path."""

from pathlib import Path
from typing import Any

from evaluation.folder import RESULT, read_evaluation
from provenance import UserError, sha256_of


def record_of(folder: Path) -> dict[str, Any]:
    """Of a finished comparison, for the manifest's key `evaluations`.

    Args:
        folder: The comparison's.

    Returns:
        The extractor, the split of the real images, how many images and patients, every score with
        its interval and floor, those of pairs, and the SHA-256 of evaluation.json.

    Raises:
        UserError: It holds no comparison of images.
    """
    result = read_evaluation(folder)
    if result["task"] != "images":
        raise UserError(
            f"{folder}: is an evaluation of a model, and a set's card holds comparisons of images: "
            "evaluate.py images."
        )
    kept = ("split", "num_real", "num_real_patients", "num_synthetic", "real_patients_trained_on")
    return {
        "extractor": result["extractor"].partition(":")[0],
        **{name: result[name] for name in kept},
        "scores": {**result["distances"], **result["scores"]},
        "pairs": result["pairs"],
        "synthetic_sha256": result["synthetic_sha256"],
        "evaluation_sha256": sha256_of(Path(folder) / RESULT),
    }
