"""Tables and figures of a study of downstream models, by the names of its template."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datamodules.film_cache import FilmCache
from datamodules.named_files import inside
from datamodules.open_cache import open_cache
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticSet
from display.pages import PageFigure
from display.tables import Table
from provenance import UserError
from studies.report.downstream import plots, tables
from studies.report.downstream.external_tables import external_tables
from studies.report.downstream.linear import linear_table
from studies.report.downstream.method_tables import heat_map, method_tables
from studies.report.downstream.subgroups import subgroup_tables
from studies.report.downstream.target import target_table
from studies.report.sheets import (
    prediction_images,
    real_synthetic_films,
    real_synthetic_sheet,
    shrunk_file,
)
from studies.run.folder import StudyFolder
from studies.specification.specification import Specification, find_path, set_name

TITLES = {
    "target": "The class in question",
    "main": "Scores",
    "comparisons": "Tests",
    "methods": "Methods and sizes",
    "external": "Tested elsewhere",
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
    generators = folder.finished_generators()
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
    if generators:
        generator_png = plots.generator_curves(generators)
        figures["curves"].append(
            PageFigure(
                "The generator's training",
                generator_png,
                "Losses of the generator's training against images seen, one line per seed.",
                "" if generator_png else "no loss was logged.",
            )
        )
    if any(scenario.synthetic for scenario in specification.scenarios):
        figures["sheets"].append(_sheet(folder, specification, content, generators, records))
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


def _study_data(content: Mapping[str, Any]) -> SliceCache | FilmCache:
    """The cache of the study; never another one that lies where a study from others says.

    Raises:
        UserError: It is not there, or holds other images.
    """
    cache = open_cache(content["data_root"])
    told = content["data"].get("content_sha256", cache.content_sha256)
    if told != cache.content_sha256:
        raise UserError(f"{cache.root}: holds other images than those of the study.")
    return cache


def _sheet(
    folder: StudyFolder,
    specification: Specification,
    content: Mapping[str, Any],
    generators: Sequence[Mapping[str, Any]],
    records: Sequence[Mapping[str, Any]],
) -> PageFigure:
    title = "Real and synthetic images"
    alt = "Rows of real and of synthetic images."
    if not generators and specification.synthetic is None:
        return PageFigure(title, None, alt, "no generator is finished.")
    try:
        if specification.synthetic is not None:
            synthetic = _given_set(specification.synthetic, records)
            told = f"The set {synthetic.name}, of all seeds."
        else:
            name = set_name(generators[0]["name"])
            synthetic = inside(folder.root, f"synthetic/{name}")
            told = f"Generator of {name.replace('__', ', ').replace('_', ' ')}."
        cache = _study_data(content)
        if isinstance(cache, FilmCache):
            png, caption = real_synthetic_films(cache, synthetic)
        else:
            png, caption = real_synthetic_sheet(cache, synthetic)
    except (UserError, OSError, ValueError, KeyError) as error:
        return PageFigure(title, None, alt, f"could not be drawn ({type(error).__name__}: {error})")
    return PageFigure(title, png, alt, f"{caption} {told}")


def _given_set(written: str, records: Sequence[Mapping[str, Any]]) -> Path:
    """The set in place of a generator, if it is the one that the cells were trained with.

    Raises:
        UserError: It is not there any more, or another one is.
    """
    found = SyntheticSet.open(find_path(written))
    used = {record["settings"].get("synthetic_set") for record in records} - {None}
    if used != {found.content_sha256}:
        raise UserError(f"{found.root}: holds other images than those of the study.")
    return found.root
