"""The page of a classifier's evaluation: one HTML file that needs no other."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from display.colours import ImageArray
from display.numbers import interval, number, p_value, probability
from display.pages import PageFigure, render_page
from display.png import png_bytes
from display.tables import Table, TableCell, text_table
from gates.judge import table_of

NUM_MISTAKES = 10

_TITLES = {
    "auroc": "AUROC",
    "accuracy": "Accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "average_precision": "Average precision",
    "ece": "Calibration error (ECE)",
    "log_loss": "Log loss",
    "brier": "Brier score",
}
_MEANINGS = {
    "auroc": "chance that a {1} film is ranked above a {0} one; 0.5 is guessing",
    "accuracy": "films called right at 0.5; always {majority} scores {majority_share}",
    "sensitivity": "{1} films called so at 0.5",
    "specificity": "{0} films called so at 0.5",
    "average_precision": "area under precision and recall; guessing scores {share}",
    "ece": "forecast against outcome; 0 is best, and never quite reached with few films",
    "log_loss": "0 is best; grows without bound for sure mistakes",
    "brier": "squared error of the probability; 0 is best",
}
RULE_TITLES = {
    "default": "0.5, not chosen",
    "youden": "Youden's",
    "sensitivity_90": "90 % sensitivity",
    "sensitivity_95": "95 % sensitivity",
    "specificity_90": "90 % specificity",
    "specificity_95": "95 % specificity",
}


def page(result: Mapping[str, Any], drawn: Mapping[str, ImageArray | None]) -> str:
    """HTML of an evaluation.

    Args:
        result: evaluation.json's content.
        drawn: File name -> (H, W, 3) uint8; None where there is nothing to draw.
    """
    wrong = [row for row in result["images"] if not row["correct"]]
    worst = sorted(wrong, key=lambda row: (-row["log_loss"], row["id"]))
    figures = _figures(result)
    return render_page(
        Path(__file__).with_name("page.html.j2"),
        result=result,
        area=result["summary"]["auroc"],
        number=number,
        interval=interval,
        summary=_summary(result),
        thresholds=_thresholds(result),
        comparisons=_comparisons(result),
        required=table_of(result["require"]) if "require" in result else None,
        page_figures={
            name: PageFigure("", png_bytes(image), *figures[name])
            for name, image in drawn.items()
            if image is not None
        },
        worst=_mistakes(worst[:NUM_MISTAKES], result["class_names"]),
        num_wrong=len(wrong),
        split_names={"val": "validation", "train": "training", "test": "test", "all": ""},
        # A page is passed on; where things lie on this machine may name a person.
        checkpoint=Path(result["checkpoint"]).name,
        cache=Path(result["data_root"]).name,
    )


def _summary(result: Mapping[str, Any]) -> Table:
    counts, names = result["class_counts"], result["class_names"]
    trivial = result["trivial_majority_class"]
    words = {
        "majority": trivial["class"],
        "majority_share": number(trivial["accuracy"]),
        "share": number(counts[names[1]] / result["num_images"]),
    }
    several = len(names) > 2
    rows = [
        (
            _TITLES[key] + (", mean over classes" if several and key in _MACRO else ""),
            number(entry["value"]),
            interval(entry["low"], entry["high"], missing=_lacking(entry)),
            str(entry["num_patients"]),
            str(entry["num_values"]),
            "" if several else _MEANINGS[key].format(*names, **words),
        )
        for key, entry in result["summary"].items()
    ]
    return text_table(
        ("Score", "Value", "95 % interval", "Patients", "Films", ""),
        rows,
        "Intervals: Student's t on the jackknife by patient, on the logit scale for shares and "
        "rankings. They tell how the score could differ with other patients of this kind, not with "
        "another training.",
    )


_MACRO = ("auroc", "average_precision", "sensitivity", "specificity")


def _thresholds(result: Mapping[str, Any]) -> Table:
    positive = result["class_names"][1]
    columns = ("Rule", "Threshold", "Sensitivity", "Specificity", "PPV", "NPV", "Accuracy")
    counted = ("true_positives", "false_positives", "true_negatives", "false_negatives")
    rows = [
        (
            TableCell(RULE_TITLES[row["rule"]]),
            TableCell(probability(row["threshold"])),
            *(
                TableCell(number(row[key]), (interval(*row[f"{key}_interval"]),))
                for key in ("sensitivity", "specificity")
            ),
            *(TableCell(number(row[key])) for key in ("ppv", "npv", "accuracy")),
            TableCell(" / ".join(str(row[key]) for key in counted)),
        )
        for row in result["thresholds"]
    ]
    note = (
        f"A film is called {positive} from the threshold upwards. PPV and NPV hold for this share "
        f"of {positive} films only; where the disease is rarer, PPV is lower."
    )
    return Table((*columns, "TP / FP / TN / FN"), tuple(rows), (note,))


def _lacking(entry: Mapping[str, Any]) -> str:
    return entry["no_interval"] or "no interval"


def _comparisons(result: Mapping[str, Any]) -> Table:
    rows = []
    for row in result["comparisons"]:
        ends = interval(row["low"], row["high"], "+.4f", missing=_lacking(row))
        rows.append(
            (
                row["name"],
                number(row["auroc"]),
                number(row["value"], "+.4f"),
                ends and f"[{ends}]",
                p_value(row["p"]),
            )
        )
    return text_table(
        ("Other classifier", "Its AUROC", "This one's minus its", "95 % interval", "p (DeLong)"),
        rows,
        "Paired on the same films; patients are resampled, and are the clusters of the test "
        "(DeLong 1988, Obuchowski 1997). p is of one pair each, not corrected for several. It "
        "speaks of these trained models: whether a method is better needs several trainings, "
        "which study.py compares.",
    )


def _mistakes(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Table:
    return text_table(
        ("Film", "Patient", "Is", "Was called", "Probability of the truth", "Log loss"),
        [
            (
                row["id"],
                row["patient_id"],
                names[row["label"]],
                names[row["prediction"]],
                number(_share_of_truth(row), ".4f"),
                number(row["log_loss"], ".2f"),
            )
            for row in rows
        ],
        "Ids are pseudonyms. Some mistakes may be labels that are wrong.",
    )


def _share_of_truth(row: Mapping[str, Any]) -> float:
    if "probabilities" in row:
        return float(row["probabilities"][row["label"]])
    return float(row["probability"] if row["label"] == 1 else 1 - row["probability"])


def _figures(result: Mapping[str, Any]) -> dict[str, tuple[str, str, str]]:
    """File name -> what it shows for those who cannot see it, its caption, and its CSS class."""
    positive, seen = result["class_names"][1], result["grad_cam"]
    return {
        "roc.png": (
            "ROC curve; the table of thresholds holds the marked points.",
            "All trade-offs between sensitivity and specificity. Marks: what the thresholds of the "
            "next table do on these films.",
            "narrow",
        ),
        "reliability.png": (
            f"Reliability plot: share of {positive} films against forecast probability, with the "
            "number of films per bin.",
            "Below the diagonal the model forecasts too much, above it too little. Bins of few "
            "films scatter widely.",
            "narrow",
        ),
        "grad_cam.png": (
            "Films with Grad-CAM overlays: surest right calls, closest calls, worst mistakes.",
            "Orange: where the last convolution raised the score of the class that the film was "
            f"called. Each map has {seen['rows']} x {seen['columns']} positions (layer "
            f"{seen['layer']}), is enlarged to the film and scaled to its own maximum.",
            "",
        ),
    }
