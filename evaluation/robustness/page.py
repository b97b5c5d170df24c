"""The page of a robustness evaluation: one HTML file that needs no other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from display.colours import ImageArray
from display.numbers import interval, number
from display.pages import PageFigure, render_page
from display.png import png_bytes
from display.tables import Table, TableCell, text_table
from evaluation.robustness.plot import corruption_title, score_title
from gates.judge import table_of

_SPLITS = {"val": "validation", "train": "training", "test": "test", "all": ""}


def page(result: Mapping[str, Any], plot: ImageArray, pictures: ImageArray) -> str:
    """HTML of an evaluation.

    Args:
        result: evaluation.json's content.
        plot: The score against severity, (H, W, 3) uint8.
        pictures: An image under every corruption, (H, W, 3) uint8.
    """
    primary = result["primary"]
    return render_page(
        Path(__file__).with_name("page.html.j2"),
        result=result,
        primary=score_title(primary),
        clean=result["summary"][primary],
        corrupted=result["summary"][f"{primary}_corrupted"],
        lost=result["summary"][f"{primary}_lost"],
        number=number,
        interval=interval,
        split=_SPLITS[result["split"]],
        what="slices" if result["kind"] == "segmenter" else "films",
        required=table_of(result["require"]) if "require" in result else None,
        by_severity=_by_severity(result),
        summary=_summary(result),
        definitions=_definitions(result),
        plot=PageFigure(
            "",
            png_bytes(plot),
            "The score clean and at five severities of each corruption; the next table holds it.",
            f"{score_title(primary)} with 95 % intervals over patients; the broken line is the "
            "clean score.",
        ),
        pictures=PageFigure(
            "",
            png_bytes(pictures),
            "An image under every corruption at five severities.",
            style="wide",
        ),
        checkpoint=Path(result["checkpoint"]).name,
        cache=Path(result["data_root"]).name,
    )


def _by_severity(result: Mapping[str, Any]) -> Table:
    primary = result["primary"]
    rows = []
    for name in sorted(
        result["corruptions"],
        key=lambda each: -(result["corruption_scores"][each]["lost"][primary]["value"] or 0),
    ):
        entries = [
            each["scores"][primary] for each in result["conditions"] if each["corruption"] == name
        ]
        lost = result["corruption_scores"][name]["lost"][primary]
        rows.append(
            (
                TableCell(corruption_title(name)),
                *(_cell(entry) for entry in entries),
                _cell(lost, "+.3f"),
            )
        )
    columns = (
        "Corruption",
        *(f"Severity {each}" for each in range(1, 6)),
        "Lost, mean of the five",
    )
    note = (
        "The most harmful first. Lost: the clean score less the mean of the five, paired by "
        "patient; below 0 the corrupted images score better. Intervals of 95 % over patients, not "
        "corrected for their number: of 20 without any loss one is expected to leave out 0."
    )
    return Table(columns, tuple(rows), (note,))


def _summary(result: Mapping[str, Any]) -> Table:
    names = [name for name in result["summary"] if f"{name}_lost" in result["summary"]]
    rows = [
        (
            TableCell(score_title(name)),
            TableCell(number(result["trivial"]["scores"].get(name))),
            _cell(result["summary"][name]),
            _cell(result["summary"][f"{name}_corrupted"]),
            _cell(result["summary"][f"{name}_lost"], "+.3f"),
        )
        for name in names
    ]
    skill = result["trivial"]["what"].capitalize()
    columns = ("Score", skill, "Clean", "Corrupted, mean over all", "Lost")
    note = (
        "The mean gives every corruption and severity the same weight. What a clinic meets has "
        "other shares, so compare models by it, and do not read it as the score of a clinic."
    )
    return Table(columns, tuple(rows), (note,))


def _definitions(result: Mapping[str, Any]) -> Table:
    of: dict[str, list[str]] = {}
    for each in result["conditions"][1:]:
        of.setdefault(each["corruption"], []).append(_plain(each["parameter"]))
    rows = [
        (corruption_title(name), result["corruption_scores"][name]["meaning"], ", ".join(values))
        for name, values in of.items()
    ]
    return text_table(
        ("Corruption", "What it is", "Severities 1 to 5"),
        rows,
        "After MedMNIST-C (Di Salvo et al. 2024, arXiv:2406.17536). Changed: one table for all "
        "images; lengths are shares of the side; values keep their fractions, but for JPEG; motion "
        "reaches to both sides, so that label maps stay true; the black square is ours.",
    )


def _plain(parameter: Any) -> str:
    values = parameter if isinstance(parameter, list | tuple) else [parameter]
    return " / ".join(f"{value:g}" for value in values)


def _cell(entry: Mapping[str, Any], style: str = ".3f") -> TableCell:
    ends = interval(entry["low"], entry["high"], style, missing=entry["no_interval"] or "")
    return TableCell(number(entry["value"], style), (ends,))
