"""Which scores a study can decide by, known before anything is trained."""

from collections.abc import Sequence

from studies.statistics.finding_scores import names_of_scores
from studies.statistics.per_image import CORRECT_AMONG
from studies.statistics.whole_set import SET_METRICS

SEGMENTATION, CLASSIFICATION, FINDINGS = "segmentation", "classification", "findings"


def score_names(task: str, class_names: Sequence[str]) -> list[str]:
    """Names of the scores that an evaluation will hold, as `results.known_scores` will find them.

    Args:
        task: `SEGMENTATION`, `CLASSIFICATION` or `FINDINGS`.
        class_names: Of the data; of a segmentation the background first.
    """
    if task == SEGMENTATION:
        of_images = ["mean", "foreground", *class_names]
        return [
            *(f"iou_{name}" for name in of_images),
            *(f"{kind}_{name}" for kind in ("dice", "hd95") for name in class_names[1:]),
        ]
    if task == FINDINGS:
        return names_of_scores(class_names)
    # With more than two classes sensitivity and specificity are means over classes.
    shares = [
        name for name, among in CORRECT_AMONG.items() if among is None or len(class_names) == 2
    ]
    return [*shares, *SET_METRICS, "log_loss", "brier"]
