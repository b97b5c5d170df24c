"""Methods x sizes of several studies on one page: one study for each task."""

from collections.abc import Sequence
from pathlib import Path

from display.pages import PageFigure, render_page
from provenance import UserError, write_text_atomic
from studies.report.downstream.analysis import analyse
from studies.report.downstream.method_tables import grid, heat_map
from studies.run.folder import StudyFolder, load_study


def write_side_by_side(folders: Sequence[Path], out: Path) -> Path:
    """Write the page. It holds scores and no images.

    Args:
        folders: That `study.py run` wrote, of studies whose scenarios have `sizes`.
        out: The HTML file; one that is there is not overwritten.

    Raises:
        UserError: A folder holds no such study, or the file is there.
    """
    if out.exists():
        raise UserError(f"--out {out}: is there already. Name another file, or move it away.")
    if len({folder.resolve() for folder in folders}) < max(2, len(folders)):
        raise UserError("compare: give two or more folders of studies, each once.")
    studies = []
    for folder in folders:
        specification, _ = load_study(StudyFolder(folder))
        records = StudyFolder(folder).finished()
        if specification.kind != "downstream":
            raise UserError(f"{folder}: is a study of generators, which has no methods by size.")
        content = analyse(specification, records, [])
        if not content["methods"]:
            raise UserError(
                f"{folder}: its scenarios have no `sizes`, so there are no methods by size to show."
            )
        studies.append((specification, content))
    figure = PageFigure(
        "Tasks, methods and sizes",
        heat_map(studies),
        "Differences of every method to none, by size, for each study; tables hold the numbers.",
        "Difference to no method at the same size, blue better and orange worse, on a scale of "
        "each study's own. In brackets what decides; with a star where a test shows it."
        if any(content["cells_done"] for _, content in studies)
        else "no cell is finished.",
    )
    page = render_page(
        Path(__file__).with_name("side_by_side.html.j2"),
        figure=figure,
        studies=[
            {
                "title": specification.title,
                "answer": content["answer"],
                "cells": f"{content['cells_done']} of {content['cells_total']} cells",
                "tables": [
                    grid(
                        specification,
                        model.title,
                        [one for one in content["methods"] if one["model"] == model.name],
                    )
                    for model in specification.models
                ],
            }
            for specification, content in studies
        ],
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomic(out, page)
    return out
