"""Scores of one finding among several, by name: `auroc_Edema` is the AUROC of Edema.

Of such a classifier `auroc` and `average_precision` themselves are means over findings.
"""

from collections.abc import Mapping, Sequence
from typing import Any

_OF_RANKS = ("auroc", "average_precision")
_OF_CALLS = ("sensitivity", "specificity")


def kind_of(metric: str) -> str:
    """The score that a name says, whatever of: `auroc` of `auroc_Edema` and of `auroc`."""
    found = [one for one in (*_OF_RANKS, *_OF_CALLS) if metric.startswith(f"{one}_")]
    return found[0] if found else metric


def finding_of(metric: str) -> str | None:
    """The finding that a name says it of; None where it says none."""
    kind = kind_of(metric)
    return None if kind == metric else metric.removeprefix(f"{kind}_")


def has_findings(evaluation: Mapping[str, Any]) -> bool:
    """Whether an evaluation is of a classifier of several findings."""
    return any("findings" in row for row in evaluation.get("images") or [])


def names_of_scores(findings: Sequence[str]) -> list[str]:
    """Names of all scores of a classifier of these findings."""
    each = [f"{kind}_{name}" for kind in (*_OF_RANKS, *_OF_CALLS) for name in findings]
    return [*_OF_RANKS, *each, "log_loss", "brier"]


def rows_of_finding(evaluation: Mapping[str, Any], metric: str) -> list[dict[str, Any]]:
    """The images of which a metric's finding is known, as those of a classifier of two classes.

    Args:
        evaluation: Of a classifier of several findings.
        metric: A name with one of its findings.

    Returns:
        id, patient_id, label, probability, and whether a call at 0.5 is correct.
    """
    number = list(evaluation["class_names"]).index(finding_of(metric) or "")
    return [
        {
            "id": row["id"],
            "patient_id": row["patient_id"],
            "label": row["findings"][number],
            "probability": row["probabilities"][number],
            "correct": int((row["probabilities"][number] >= 0.5) == row["findings"][number]),
        }
        for row in evaluation.get("images") or []
        if row["findings"][number] is not None
    ]
