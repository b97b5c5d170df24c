"""Tables and figures of a study of generators, by the names of its template."""

from collections.abc import Mapping, Sequence
from typing import Any

from display.pages import PageFigure
from display.tables import Table
from studies.report.generators import plots, tables
from studies.report.generators.rows import groups_of, title_of
from studies.report.sheets import shrunk_file
from studies.run.folder import StudyFolder
from studies.run.generators import distances_of
from studies.specification.specification import Specification

TITLES = {
    "held_out": "Distance to held-out films",
    "training": "Distance to training films by epoch",
    "published": "Published",
}
_NOTHING = "no cell is finished."


def page_tables(
    specification: Specification, content: Mapping[str, Any]
) -> dict[str, Table | list[Table] | None]:
    """The tables of the page, in its order; `published` is None without a paper."""
    return {
        "held_out": tables.held_out_tables(specification, content),
        "training": [
            tables.training_table(specification, content, measure)
            for measure in content["measures"]
        ],
        "published": tables.paper_table(specification),
    }


def page_figures(
    folder: StudyFolder,
    specification: Specification,
    content: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
) -> dict[str, list[PageFigure]]:
    """Curves, distances with their intervals, and a sheet of real and generated films a row."""
    return {
        "held_out": [
            PageFigure(
                "Distance to held-out films",
                plots.held_out_distances(specification, content),
                "Distances with intervals; the table above holds the numbers.",
                "Circle: mean over seeds; thick line: interval; ticks: seeds. The axis is "
                "logarithmic."
                if records
                else _NOTHING,
            )
        ],
        "curves": [
            PageFigure(
                "Distance to training films",
                plots.distance_curves(specification, content, records),
                "Distances against images seen; the tables hold the numbers.",
                "One line per seed; dotted: halves of the real films against one another. The "
                "axis is logarithmic."
                if records
                else _NOTHING,
            )
        ],
        "sheets": [
            _sheet(folder, specification, records, *group) for group in groups_of(specification)
        ],
    }


def _sheet(
    folder: StudyFolder,
    specification: Specification,
    records: Sequence[Mapping[str, Any]],
    scenario: str,
    model: str,
) -> PageFigure:
    title = title_of(specification, scenario, model)
    alt = f"Rows of held-out real films, and of films that {title} made."
    names = [r["name"] for r in records if (r["scenario"], r["model"]) == (scenario, model)]
    if not names:
        return PageFigure(title, None, alt, _NOTHING)
    short = distances_of(specification).extractor.removeprefix("timm:")
    path = folder.run(names[0]) / f"distances_{short}" / "sheet.png"
    try:
        png = shrunk_file(folder.root, path)
    except OSError as error:
        return PageFigure(title, None, alt, f"{path} cannot be read ({error}).")
    caption = f"Above real films of held-out patients, below generated ones. {names[0]}."
    return PageFigure(title, png, alt, caption)
