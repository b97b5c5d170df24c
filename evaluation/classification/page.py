"""The page of a classifier's evaluation: one HTML file that needs no other."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from display.numbers import NONE, p_value

TEMPLATE = "page.html.j2"
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


def page(result: Mapping[str, Any], pictures: Mapping[str, NDArray[np.uint8] | None]) -> str:
    """HTML of an evaluation.

    Args:
        result: evaluation.json's content.
        pictures: File name -> (H, W, 3) uint8; None where there is nothing to draw.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    wrong = [row for row in result["images"] if not row["correct"]]
    worst = sorted(wrong, key=lambda row: (-row["log_loss"], row["id"]))
    return environment.get_template(TEMPLATE).render(
        result=result,
        summary=_summary(result),
        thresholds=[_threshold(row) for row in result["thresholds"]],
        comparisons=[_comparison(row) for row in result["comparisons"]],
        sources={
            name: "data:image/png;base64," + _encoded(picture)
            for name, picture in pictures.items()
            if picture is not None
        },
        worst=[_mistake(row, result["class_names"]) for row in worst[:NUM_MISTAKES]],
        num_wrong=len(wrong),
        split_names={"val": "validation", "train": "training", "test": "test"},
        # A page is passed on; where things lie on this machine may name a person.
        checkpoint=Path(result["checkpoint"]).name,
        cache=Path(result["data_root"]).name,
    )


def _summary(result: Mapping[str, Any]) -> list[dict[str, str]]:
    counts, names = result["class_counts"], result["class_names"]
    trivial = result["trivial_majority_class"]
    words = {
        "majority": trivial["class"],
        "majority_share": f"{trivial['accuracy']:.3f}",
        "share": f"{counts[names[1]] / result['num_images']:.3f}",
    }
    several = len(names) > 2
    return [
        {
            "title": _TITLES[key] + (", mean over classes" if several and key in _MACRO else ""),
            "value": _number(entry["value"]),
            "interval": _between(entry["low"], entry["high"]),
            "patients": str(entry["num_patients"]),
            "films": str(entry["num_values"]),
            "meaning": "" if several else _MEANINGS[key].format(*names, **words),
        }
        for key, entry in result["summary"].items()
    ]


_MACRO = ("auroc", "average_precision", "sensitivity", "specificity")


def _threshold(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        "title": RULE_TITLES[row["rule"]],
        "threshold": f"{row['threshold']:.4f}",
        **{
            key: _number(row[key])
            for key in ("sensitivity", "specificity", "ppv", "npv", "accuracy")
        },
        "sensitivity_interval": _between(*row["sensitivity_interval"]),
        "specificity_interval": _between(*row["specificity_interval"]),
        "counts": " / ".join(
            str(row[key])
            for key in ("true_positives", "false_positives", "true_negatives", "false_negatives")
        ),
    }


def _comparison(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        "name": row["name"],
        "auroc": _number(row["auroc"]),
        "difference": NONE if row["value"] is None else f"{row['value']:+.4f}",
        "interval": "" if row["low"] is None else f"[{row['low']:+.4f} to {row['high']:+.4f}]",
        "p": p_value(row["p"]),
    }


def _mistake(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    share = row["probabilities"][row["label"]] if "probabilities" in row else None
    if share is None:
        share = row["probability"] if row["label"] == 1 else 1 - row["probability"]
    return {
        "id": row["id"],
        "patient": row["patient_id"],
        "truth": names[row["label"]],
        "called": names[row["prediction"]],
        "share": f"{share:.4f}",
        "log_loss": f"{row['log_loss']:.2f}",
    }


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def _between(low: float | None, high: float | None) -> str:
    return "no interval" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _encoded(picture: NDArray[np.uint8]) -> str:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG")
    return base64.b64encode(stream.getvalue()).decode("ascii")
