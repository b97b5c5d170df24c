"""Tables and figures of a study of downstream models, by the names of its template."""

from collections.abc import Mapping, Sequence
from typing import Any

from display.pages import PageFigure
from display.tables import Table
from studies.report.downstream import plots, tables
from studies.report.downstream.external_tables import external_tables
from studies.report.downstream.generators import curves_of_generators, sheets_of_generators
from studies.report.downstream.label_table import label_table
from studies.report.downstream.linear import linear_table
from studies.report.downstream.method_tables import heat_map, method_tables
from studies.report.downstream.subgroups import subgroup_tables
from studies.report.downstream.target import target_table
from studies.report.sheets import prediction_images, shrunk_file
from studies.run.folder import StudyFolder
from studies.specification.specification import Specification

TITLES = {
    "target": "The class in question",
    "main": "Scores",
    "comparisons": "Tests",
    "methods": "Methods and sizes",
    "external": "Tested elsewhere",
    "labels": "Are the labels of synthetic images found?",
    "linear": "What a linear model reaches",
    "subgroups": "Who gains, who loses",
    "further": "All scores",
    "worst": "Test items with the worst scores",
}


def page_tables(
    specification: Specification, content: Mapping[str, Any]
) -> dict[str, Table | list[Table] | None]:
    """Scores, tests, all further scores, and the worst test items."""
    return {
        "target": target_table(specification, content),
        "methods": method_tables(specification, content) if content["methods"] else [],
        "main": tables.main_table(specification, content),
        "comparisons": tables.comparison_table(specification, content),
        "external": external_tables(specification, content) if "external" in content else [],
        "labels": label_table(content) if "labels_found" in content else None,
        "linear": linear_table(content) if "linear" in content else None,
        "subgroups": subgroup_tables(specification, content) if "subgroups" in content else [],
        "further": tables.further_tables(specification, content) if content["further"] else [],
        "worst": tables.worst_table(specification, content),
    }


def page_figures(
    folder: StudyFolder,
    specification: Specification,
    content: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
) -> dict[str, list[PageFigure]]:
    """Plots of scores, differences and curves; images of the generator, and predictions."""
    metric = specification.metric.title
    nothing = "no cell is finished."
    curve_png, lacking = plots.curves(specification, records)
    figures = {
        "bars": [
            PageFigure(
                "Scores",
                plots.bars(specification, content),
                f"Bars of {metric} per model and scenario with intervals; the table above holds "
                "the same numbers.",
                _of_bars(specification, content) if content["cells_done"] else nothing,
            )
        ],
        "differences": [
            PageFigure(
                "Differences",
                plots.differences(specification, content),
                "Differences between scenarios with intervals; the table above holds the numbers.",
                "Mark: mean over patients, filled where significant; line: interval; ticks: "
                "single patients."
                if any(comparison["value"] is not None for comparison in content["comparisons"])
                else "no pair of scenarios is finished.",
            )
        ],
        "curves": [
            PageFigure(
                "Training curves",
                curve_png,
                "Training loss and validation score against images seen, per model and scenario.",
                " ".join(lacking) if records else nothing,
            )
        ],
        "sheets": [],
    }
    figures["curves"] += curves_of_generators(folder, specification)
    if any(scenario.synthetic for scenario in specification.scenarios):
        figures["sheets"] += sheets_of_generators(folder, specification, content, records)
    if content["methods"]:
        figures["methods"] = [
            PageFigure(
                "Methods and sizes",
                heat_map([(specification, content)]),
                "Differences of every method to none, by size; the table below holds the numbers.",
                "Difference to no method at the same size, blue better and orange worse. In "
                "brackets what decides; with a star where a test shows it."
                if any(one["against_baseline"] for one in content["methods"])
                else nothing,
            )
        ]
    figures["predictions"] = _predictions(folder, specification, content, records)
    return figures


def _of_bars(specification: Specification, content: Mapping[str, Any]) -> str:
    """What the marks of the bars are, of those that are there."""
    several = any(group["seed_spread"] is not None for group in content["groups"])
    parts = [
        "Bars or marks: mean",
        "lines: interval for other patients "
        + ("and trainings" if several else "of these trainings, with one seed of each"),
    ]
    parts += ["dots: seeds"]
    parts += ["diamonds: the paper"] if specification.paper else []
    return f"{'; '.join(parts)}."


def _predictions(
    folder: StudyFolder,
    specification: Specification,
    content: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
) -> list[PageFigure]:
    """ROC curves and Grad-CAM of classifiers, or what segmenters drew over test images."""
    roc = plots.roc_curves(specification, content, records)
    if roc is not None:
        alt = "ROC curves of all scenarios; the tables hold their AUROC."
        curves = PageFigure("ROC curves", roc, alt, "Test split; one line per seed.")
        return [curves, *_grad_cams(folder, specification, records)]
    pairs = [(s.id, m.name) for m in specification.models for s in specification.scenarios]
    found, without = prediction_images(folder.root, pairs, records)
    figures = []
    for (scenario, model), png in found.items():
        title = f"{specification.model(model).title}, scenario {scenario}"
        name = specification.scenario(scenario).name
        alt = f"Predictions of {title} ({name}) drawn over test images."
        figures.append(PageFigure(title, png, alt, name))
    if without:
        caption = f"no predictions.png for: {'; '.join(without)}."
        figures.append(PageFigure("Predictions", None, "", caption))
    return figures


def _grad_cams(
    folder: StudyFolder, specification: Specification, records: Sequence[Mapping[str, Any]]
) -> list[PageFigure]:
    """Where the first seed of every scenario and model looked."""
    figures = []
    for record in [record for record in records if record["seed"] == specification.seeds[0]]:
        model = specification.model(record["model"]).title
        name = specification.scenario(record["scenario"]).name
        title = f"Grad-CAM, {model}, {name}"
        path = folder.run(record["name"]) / "evaluation" / "grad_cam.png"
        try:
            png, caption = (
                shrunk_file(folder.root, path),
                "Which places raised the score, not why.",
            )
        except OSError as error:
            png, caption = None, f"{path} cannot be read ({error})."
        alt = f"Test films with maps of what {model} ({name}) used."
        figures.append(PageFigure(title, png, alt, caption))
    return figures
