"""What is computed from a classifier's predictions: summary, thresholds, curves, and warnings."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from display.numbers import count
from metrics.auroc_intervals import FEWEST_OF_A_CLASS, roc_band, score_interval, share_interval
from metrics.classification import (
    FloatArray,
    calibration_error,
    calibration_error_top,
    reliability,
)
from metrics.intervals import Interval, patient_interval
from metrics.ranking import roc_curve
from metrics.thresholds import RULES, chosen_thresholds, operating_point

Row = Mapping[str, Any]
NUM_BINS = 15
_BAND_RATES = 101


def columns_of(rows: Sequence[Row]) -> tuple[FloatArray, NDArray[np.int64], list[str]]:
    """Probability of class 1 (N,), class (N,) and patient (N,) of each film."""
    probabilities = np.array([row["probability"] for row in rows], dtype=np.float64)
    labels = np.array([row["label"] for row in rows], dtype=np.int64)
    return probabilities, labels, [row["patient_id"] for row in rows]


def summary_of(rows: Sequence[Row], class_names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Every score with its interval over patients; ECE without one.

    With more than two classes AUROC, average precision, sensitivity and specificity are means over
    classes of each against the others. ECE has no interval: it is too large where films are few,
    so that leaving out some changes its bias too.
    """
    probabilities, labels, patients = columns_of(rows)
    if len(class_names) == 2:
        table: FloatArray = probabilities
        ece = calibration_error(table, labels, NUM_BINS)
    else:
        table = np.array([row["probabilities"] for row in rows])
        ece = calibration_error_top(table, labels, NUM_BINS)
    num_patients = len(set(patients))
    shares = _shares(rows, len(class_names))
    found = {
        "auroc": score_interval(table, labels, patients),
        "accuracy": patient_interval([row["correct"] for row in rows], patients, share=True),
        "sensitivity": shares["sensitivity"],
        "specificity": shares["specificity"],
        "average_precision": score_interval(table, labels, patients, score="average_precision"),
        "ece": Interval(ece, None, None, num_patients, len(rows)),
        "log_loss": patient_interval([row["log_loss"] for row in rows], patients),
        "brier": patient_interval([row["brier"] for row in rows], patients),
    }
    return {name: interval.as_dict() for name, interval in found.items()}


def _shares(rows: Sequence[Row], num_classes: int) -> dict[str, Interval]:
    """Sensitivity and specificity, of class 1 or averaged over classes."""
    _, labels, patients = columns_of(rows)
    called = np.array([row["prediction"] for row in rows])
    if num_classes == 2:
        hits = (called == labels).astype(float)
        return {
            "sensitivity": _mean_where(hits, labels == 1, patients),
            "specificity": _mean_where(hits, labels == 0, patients),
        }

    classes = np.arange(num_classes)[:, None]
    of_class, called_so = labels == classes, called == classes
    return {
        "sensitivity": share_interval(called_so, of_class, labels, patients),
        "specificity": share_interval(~called_so, ~of_class, labels, patients),
    }


def _mean_where(values: FloatArray, asked: np.ndarray, patients: Sequence[str]) -> Interval:
    chosen = [value if use else None for value, use in zip(values.tolist(), asked, strict=True)]
    return patient_interval(chosen, patients, share=True)


def trivial(rows: Sequence[Row], class_names: Sequence[str]) -> dict[str, Any]:
    """What naming the most frequent class each time would score."""
    counts = np.bincount(columns_of(rows)[1], minlength=len(class_names))
    share = float(counts.max() / counts.sum())
    return {"class": class_names[int(counts.argmax())], "accuracy": share, "auroc": 0.5}


def chosen_on(images: Mapping[str, Sequence[Row]]) -> str | None:
    """The split that thresholds are chosen on: validation films of both classes, or none."""
    rows = images.get("val", [])
    return "val" if len({row["label"] for row in rows}) == 2 else None


def threshold_rows(choosing: Sequence[Row] | None, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One row per rule: the threshold as chosen on one set of films, scored on another.

    Args:
        choosing: Films to choose on; None leaves the default of 0.5 alone.
        rows: Films to score.
    """
    thresholds = {"default": 0.5}
    if choosing:
        thresholds = chosen_thresholds(*columns_of(choosing)[:2])
    probabilities, labels, patients = columns_of(rows)
    found = []
    for rule, threshold in thresholds.items():
        point = operating_point(probabilities, labels, threshold)
        right = ((probabilities >= threshold) == labels).astype(float)
        found.append(
            {
                "rule": rule,
                "meaning": RULES[rule],
                **point.as_dict(),
                "sensitivity_interval": _ends(_mean_where(right, labels == 1, patients)),
                "specificity_interval": _ends(_mean_where(right, labels == 0, patients)),
            }
        )
    return found


def _ends(interval: Interval) -> list[float | None]:
    return [interval.low, interval.high]


def roc_of(rows: Sequence[Row]) -> dict[str, Any] | None:
    """The curve without its straight parts' inner points, and its band; None without a class."""
    probabilities, labels, patients = columns_of(rows)
    if len(set(labels.tolist())) < 2:
        return None
    false, true, _ = roc_curve(probabilities, labels)
    corner = np.append(True, np.append((np.diff(false, 2) != 0) | (np.diff(true, 2) != 0), True))
    rates = np.linspace(0, 1, _BAND_RATES)
    band = None
    owner = np.array(patients)
    if min(len(np.unique(owner[labels == each])) for each in (0, 1)) > 1:
        low, high = roc_band(probabilities, labels, patients, rates)
        band = {"false_positive_rate": rates.tolist(), "low": low.tolist(), "high": high.tolist()}
    return {
        "false_positive_rate": false[corner].tolist(),
        "true_positive_rate": true[corner].tolist(),
        "band": band,
    }


def reliability_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Bins of the reliability plot, each with the interval of its outcome over patients."""
    probabilities, labels, patients = columns_of(rows)
    found = []
    for each in reliability(probabilities, labels, NUM_BINS):
        last = each.high == 1.0
        inside = (probabilities >= each.low) & ((probabilities < each.high) | last)
        interval = _mean_where(labels.astype(float), inside, patients)
        found.append({**vars(each), "interval": _ends(interval)})
    return found


def notes(result: Mapping[str, Any]) -> list[str]:
    """Circumstances that change how the scores are to be read."""
    found = []
    if result["split_by"] not in ("patient", None):
        found.append(
            f"The films are split by {result['split_by']}, so films of one patient may lie on both "
            "sides of the split. Such scores are too good; split by patient to trust them."
        )
    if result["split"] == "val" == result["thresholds_chosen_on"]:
        found.append(
            "The thresholds were chosen on these validation films, so what they give looks better "
            "here than on other films."
        )
    area = result["summary"]["auroc"]
    if area["value"] is None:
        missing = [name for name, count in result["class_counts"].items() if not count]
        found.append(f"There is no film that is {' or '.join(missing)}: no AUROC, no ROC curve.")
    elif area["value"] == 1:
        found.append(
            "Every film is ranked rightly, so nothing is seen of what other patients would change: "
            "AUROC has no interval. That does not mean that it is certain."
        )
    rarest = _patients_of_rarest_class(result)
    if rarest < FEWEST_OF_A_CLASS:
        found.append(
            f"Only {count(rarest, 'patient')} of the rarest class: AUROC and average precision "
            f"have intervals from {FEWEST_OF_A_CLASS} on."
        )
    if len(result["class_names"]) == 2 and result["split"] == "all":
        found.append(
            "All films are scored, so none is left to choose thresholds on, and only 0.5 is shown."
        )
    elif len(result["class_names"]) == 2 and result["thresholds_chosen_on"] is None:
        found.append(
            "There are no validation films of both classes to choose thresholds on, so only 0.5 is "
            "shown."
        )
    return found


def _patients_of_rarest_class(result: Mapping[str, Any]) -> int:
    of_class: dict[int, set[str]] = {label: set() for label in range(len(result["class_names"]))}
    for row in result["images"]:
        of_class[row["label"]].add(row["patient_id"])
    return min(len(patients) for patients in of_class.values())
