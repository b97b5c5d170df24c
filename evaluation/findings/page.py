"""The page of an evaluation of several findings: one HTML file that needs no other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from display.colours import ImageArray
from display.numbers import interval, number, probability
from display.pages import PageFigure, render_page
from display.png import png_bytes
from display.tables import Table, TableCell, text_table
from gates.judge import table_of

_RULE = "youden"


def page(result: Mapping[str, Any], drawn: Mapping[str, ImageArray | None]) -> str:
    """HTML of an evaluation.

    Args:
        result: evaluation.json's content.
        drawn: File name -> (H, W, 3) uint8; None where there is nothing to draw.
    """
    figures = _figures(result)
    defined = [
        n for n in result["class_names"] if result["summary"][f"auroc_{n}"]["value"] is not None
    ]
    return render_page(
        Path(__file__).with_name("page.html.j2"),
        result=result,
        area=result["summary"]["auroc"],
        num_defined=len(defined),
        number=number,
        interval=interval,
        findings=_findings(result),
        means=_means(result),
        required=table_of(result["require"]) if "require" in result else None,
        page_figures={
            name: PageFigure("", png_bytes(image), *figures[name])
            for name, image in drawn.items()
            if image is not None
        },
        split_names={"val": "validation", "train": "training", "test": "test", "all": ""},
        # A page is passed on; where things lie on this machine may name a person.
        checkpoint=Path(result["checkpoint"]).name,
        cache=Path(result["data_root"]).name,
    )


def _findings(result: Mapping[str, Any]) -> Table:
    rows = []
    for name, counts in result["finding_counts"].items():
        told = f"{counts['with']} / {counts['without']} / {counts['unknown']}"
        share = counts["with"] / max(1, counts["with"] + counts["without"])
        cells = [
            TableCell(name, style="name"),
            TableCell(told, (f"{counts['patients_with']} patients with it",)),
        ]
        for score, note in (("auroc", ""), ("average_precision", f"guessing {number(share)}")):
            entry = result["summary"][f"{score}_{name}"]
            ends = interval(entry["low"], entry["high"], missing="too few patients")
            ends = ends if entry["value"] is not None else ""
            value = number(entry["value"], missing="undefined")
            cells.append(TableCell(value, tuple(text for text in (ends, note) if text)))
        chosen = [row for row in result["thresholds"][name] if row["rule"] == _RULE]
        if chosen and result["summary"][f"auroc_{name}"]["value"] is not None:
            (point,) = chosen
            cells.append(TableCell(probability(point["threshold"])))
            cells += [
                TableCell(number(point[key]), (interval(*point[f"{key}_interval"]),))
                for key in ("sensitivity", "specificity")
            ]
        else:
            cells += [TableCell("none")] + [TableCell("")] * 2
        rows.append(tuple(cells))
    columns = (
        "Finding", "Films with / without / unknown", "AUROC", "Average precision", "Threshold",
        "Sensitivity", "Specificity",
    )  # fmt: skip
    note = (
        "Each on the films of which it is known. Intervals: Student's t on the jackknife by "
        "patient, on the logit scale. Threshold: Youden's, chosen on the validation films; all "
        "rules stand in evaluation.json. Several findings are several questions: of 14 intervals "
        "of 95 % one misses its truth about every other time."
    )
    return Table(columns, tuple(rows), (note,))


def _means(result: Mapping[str, Any]) -> Table:
    titles = {
        "auroc": ("AUROC, mean over findings", "0.5 is guessing"),
        "average_precision": ("Average precision, mean over findings", "read beside the shares"),
        "log_loss": ("Log loss, mean over what is known of a film", "0 is best"),
        "brier": ("Brier score, likewise", "0 is best"),
    }
    rows = [
        (
            title,
            number(entry["value"], missing="undefined"),
            interval(entry["low"], entry["high"], missing=entry["no_interval"] or "no interval"),
            str(entry["num_patients"]),
            str(entry["num_values"]),
            meaning,
        )
        for key, (title, meaning) in titles.items()
        for entry in [result["summary"][key]]
    ]
    return text_table(
        ("Score", "Value", "95 % interval", "Patients", "Films", ""),
        rows,
        "Whole patients are left out with all their findings. The intervals tell how a score could "
        "differ with other patients of this kind, not with another training.",
    )


def _figures(result: Mapping[str, Any]) -> dict[str, tuple[str, str, str]]:
    """File name -> what it shows for those who cannot see it, its caption, and its CSS class."""
    seen = result["grad_cam"]
    return {
        "auroc.png": (
            "AUROC of each finding with its interval; the table holds the numbers.",
            "In brackets the films with and without the finding.",
            "narrow",
        ),
        "roc.png": (
            "ROC curve of each finding with its band over patients.",
            "Bands: 95 % over patients, point by point.",
            "",
        ),
        "grad_cam.png": (
            "Of frequent findings: films with Grad-CAM overlays.",
            "Orange: where the last convolution raised the finding's score. Each map has "
            f"{seen['rows']} x {seen['columns']} positions (layer {seen['layer']}), is enlarged to "
            "the film and scaled to its own maximum. It does not prove that the finding was "
            "recognised, and is no segmentation (Adebayo et al. 2018; Saporta et al. 2022).",
            "",
        ),
    }
