"""Plots of a study of generators as PNG bytes."""

from collections.abc import Mapping, Sequence
from typing import Any

from display import figures
from studies.report.generators.rows import groups_of, points_of, title_of
from studies.report.generators.tables import name_of
from studies.specification.specification import Specification

_MARKS = "osD^vPX"


@figures.styled
def distance_curves(
    specification: Specification, content: Mapping[str, Any], records: Sequence[Mapping[str, Any]]
) -> bytes | None:
    """Distance to the training films against images seen, a panel per extractor, with its floor.

    One line per seed; a generator is told by colour, dashes and mark.
    """
    measures = [m for m in content["measures"] if any(points_of(r, m) for r in records)]
    if not measures:
        return None
    figure, axes = figures.new_figure(1, len(measures), figsize=(9, 4.2), squeeze=False)
    for panel, measure in zip(axes[0], measures, strict=True):
        for index, (scenario, model) in enumerate(groups_of(specification)):
            label: str | None = title_of(specification, scenario, model)
            for record in records:
                points = points_of(record, measure)
                if (record["scenario"], record["model"]) != (scenario, model) or not points:
                    continue
                panel.plot(
                    [images_seen for images_seen, _, _ in points],
                    [value for _, _, value in points],
                    color=figures.COLOURS[index % len(figures.COLOURS)],
                    ls=figures.DASHES[index % len(figures.DASHES)],
                    marker=_MARKS[index % len(_MARKS)],
                    ms=5,
                    lw=1.4,
                    label=label,
                )
                label = None
        floor = content["circumstances"][measure]["floor"]
        if floor:
            panel.axhline(floor[0], color="#222222", ls=(0, (2, 2)), lw=1.2, label="real to real")
        figures.logarithmic(panel, "y")
        panel.set_xlabel("images seen")
        panel.set_title(name_of(measure), fontsize=10, loc="left")
    figures.shared_legend(figure, *axes.flat)
    return figures.png(figure)


@figures.styled
def held_out_distances(specification: Specification, content: Mapping[str, Any]) -> bytes | None:
    """Distance to held-out films with its interval, seeds as dots, per extractor."""
    rows = [row for row in content["held_out"] if row["scores"]]
    measures = [m for m in content["measures"] if any(m in row["scores"] for row in rows)]
    if not measures:
        return None
    figure, axes = figures.new_figure(
        1,
        len(measures),
        figsize=(9, 1.4 + 0.4 * len(rows)),
        squeeze=False,
        sharey=True,
    )
    for panel, measure in zip(axes[0], measures, strict=True):
        for y, row in enumerate(rows):
            entry = row["scores"].get(measure)
            if entry is None:
                continue
            colour = figures.COLOURS[y % len(figures.COLOURS)]
            if entry["low"] is not None:
                ends = [entry["low"], entry["high"]]
                panel.plot(ends, [y, y], color=colour, lw=2.6, solid_capstyle="butt")
            dots = entry["seeds"]
            panel.plot(dots, [y] * len(dots), "|", color=colour, ms=9)
            panel.plot(entry["value"], y, "o", color="white", mec=colour, ms=7, mew=1.8)
        panel.set_yticks(
            range(len(rows)),
            [title_of(specification, row["scenario"], row["model"]) for row in rows],
        )
        panel.set_ylim(len(rows) - 0.4, -0.6)
        figures.logarithmic(panel, "x")
        panel.set_xlabel("nearer  \u2190  distance")
        # Long names of generators leave the panels little width.
        panel.set_title(name_of(measure).replace(", ", ",\n"), fontsize=10, loc="left")
        panel.grid(axis="y", visible=False)
    return figures.png(figure)
