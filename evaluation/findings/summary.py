"""What is computed from the predictions of several findings: scores, counts, and warnings."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from display.numbers import count
from metrics.auroc_intervals import FEWEST_OF_A_CLASS, score_interval
from metrics.classification import FloatArray
from metrics.findings import defined_findings, known_only, macro_interval
from metrics.intervals import Interval, patient_interval
from metrics.ranking import Score

Row = Mapping[str, Any]
RANKINGS: tuple[Score, ...] = ("auroc", "average_precision")


def columns_of(rows: Sequence[Row]) -> tuple[FloatArray, FloatArray, list[str]]:
    """Probabilities (N, K), findings (N, K) with NaN for unknown, and patient (N,) of each film."""
    scores = np.array([row["probabilities"] for row in rows], dtype=np.float64)
    truth = np.array([row["findings"] for row in rows], dtype=np.float64)
    return scores, truth, [row["patient_id"] for row in rows]


def of_finding(rows: Sequence[Row], number: int) -> list[dict[str, Any]]:
    """The films of which one finding is known, as a classifier of two classes says them."""
    return [
        {
            "id": row["id"],
            "patient_id": row["patient_id"],
            "label": row["findings"][number],
            "probability": row["probabilities"][number],
        }
        for row in rows
        if row["findings"][number] is not None
    ]


def summary_of(rows: Sequence[Row], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Means over findings, and `auroc_<finding>` and `average_precision_<finding>` of each.

    All with intervals over patients; log loss and Brier score are means over what is known of a
    film.
    """
    scores, truth, patients = columns_of(rows)
    found: dict[str, Interval] = {
        kind: macro_interval(scores, truth, patients, names, score=kind) for kind in RANKINGS
    }
    found |= {
        key: patient_interval([r[key] for r in rows], patients) for key in ("log_loss", "brier")
    }
    for kind in RANKINGS:
        for k, name in enumerate(names):
            known = known_only(scores[:, k], truth[:, k], patients)
            found[f"{kind}_{name}"] = score_interval(*known, score=kind)
    return {name: interval.as_dict() for name, interval in found.items()}


def counts_of(rows: Sequence[Row], names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Films with, without, and of unknown state of each finding, and patients with it."""
    found = {}
    for k, name in enumerate(names):
        values = [row["findings"][k] for row in rows]
        found[name] = {
            "with": values.count(1),
            "without": values.count(0),
            "unknown": values.count(None),
            "patients_with": len({row["patient_id"] for row in rows if row["findings"][k] == 1}),
        }
    return found


def notes(result: Mapping[str, Any]) -> list[str]:
    """Circumstances that change how the scores are to be read."""
    found, names = [], result["class_names"]
    if result["split_by"] not in ("patient", None):
        found.append(
            f"The films are split by {result['split_by']}, so films of one patient may lie on both "
            "sides of the split. Such scores are too good; split by patient to trust them."
        )
    _, truth, _ = columns_of(result["images"])
    defined = defined_findings(truth)
    missing = [name for k, name in enumerate(names) if k not in defined]
    for name in missing:
        counts = result["finding_counts"][name]
        lacking = "with" if not counts["with"] else "without"
        found.append(
            f"No film of this split is known {lacking} {name}: it has no AUROC, and is not in the "
            f"mean, which is over {len(defined)} of {count(len(names), 'finding')}."
        )
    few = {
        name: result["finding_counts"][name]["patients_with"]
        for name in names
        if 0 < result["finding_counts"][name]["patients_with"] < FEWEST_OF_A_CLASS
    }
    if few:
        listed = ", ".join(f"{name} ({number})" for name, number in few.items())
        found.append(
            f"Fewer than {FEWEST_OF_A_CLASS} patients have {listed}: AUROC and average precision "
            "of these, and the mean, have no interval."
        )
    if result["thresholds_chosen_on"] is None:
        found.append("There are no validation films to choose thresholds on: only 0.5 is shown.")
    elif result["thresholds_chosen_on"] == result["split"]:
        found.append(
            "The thresholds were chosen on these validation films, so what they give looks better "
            "here than on other films."
        )
    return found
