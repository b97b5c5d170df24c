"""Methods x sizes as tables and a heat map."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from display.figures import new_figure, png, styled
from display.numbers import NONE, difference, number, score
from display.tables import Table, TableCell
from studies.report.downstream.intervals import interval_notes
from studies.report.downstream.methods import size_in_words
from studies.specification.specification import Specification

_MARKS = ("helps", "hurts")


def method_tables(specification: Specification, content: Mapping[str, Any]) -> list[Table]:
    """For each model the differences by size, the ranking of each size, and the cost."""
    tables = []
    for model in specification.models:
        entries = [one for one in content["methods"] if one["model"] == model.name]
        tables += [
            grid(specification, model.title, entries),
            *_rankings(specification, model.title, entries),
            _costs(model.title, entries),
        ]
    return tables


def _axes(entries: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[float]]:
    """Methods in the study's order, the placebo last, and sizes."""
    ordered = sorted(entries, key=lambda one: one["placebo"])
    return list(dict.fromkeys(_row(one) for one in ordered)), sorted({e["size"] for e in entries})


def _row(one: Mapping[str, Any]) -> str:
    return "placebo" if one["placebo"] else str(one["method"])


def grid(specification: Specification, title: str, entries: Sequence[Mapping[str, Any]]) -> Table:
    """Differences of the methods of one model to none, by size; those with a finished cell."""
    percent = specification.metric.percent
    methods, sizes = _axes([one for one in entries if one["score"]["value"] is not None])
    by_place = {(_row(one), one["size"]): one for one in entries}
    rows = []
    for method in methods:
        cells = [TableCell(method, style="name")]
        for size in sizes:
            one = by_place.get((method, size))
            if one is None or one["score"]["value"] is None:
                cells.append(TableCell(NONE))
            elif one["against_baseline"] is None:
                cells.append(TableCell(score(one["score"]["value"], percent), ("score",)))
            else:
                beside = one["against_baseline"]
                below = (*interval_notes(beside, percent, signed=True)[:1], _said(one))
                verdict = one["verdict"] if one["verdict"] in _MARKS else ""
                text = difference(beside["value"], percent)
                cells.append(TableCell(text, below, verdict))
        rows.append(tuple(cells))
    unit = " in points" if percent else ""
    notes = (
        f"{specification.metric.title}: the score without a method, and each method's difference "
        f"to it at the same size{unit}, with the interval for other patients and other trainings. "
        "Verdicts are those of the primary family, after Holm's correction; of a scenario with "
        "controls against these, and not against no method. What is explored has none.",
    )
    return Table((title, *(size_in_words(size) for size in sizes)), tuple(rows), notes)


def _said(one: Mapping[str, Any]) -> str:
    if one["placebo"]:
        return "nothing made it"
    said = str(one["verdict"] or one["role"])
    return f"{said} (against its controls)" if len(one["claimed"]) > 1 else said


def _rankings(
    specification: Specification, title: str, entries: Sequence[Mapping[str, Any]]
) -> list[Table]:
    percent, sign = (
        specification.metric.percent,
        (1 if specification.metric.higher_is_better else -1),
    )
    tables = []
    for size in _axes(entries)[1]:
        here = [one for one in entries if one["size"] == size and one["score"]["value"] is not None]
        if len(here) < 2:
            continue
        here.sort(key=lambda one: -sign * one["score"]["value"])
        rows = [
            (
                TableCell(str(place), style="name"),
                TableCell(_row(one)),
                TableCell(
                    score(one["score"]["value"], percent), interval_notes(one["score"], percent)[:1]
                ),
                TableCell(str(len(one["score"]["seeds"]))),
                TableCell("baseline" if one["baseline"] else _said(one)),
            )
            for place, one in enumerate(here, 1)
        ]
        columns = (f"{title}, {size_in_words(size)}", "Method", "Score", "Seeds", "Reading")
        note = (
            "By score, with the interval for other patients and other trainings. A place is no "
            "test: methods whose readings are alike are not told apart."
        )
        tables.append(Table(columns, tuple(rows), (note,)))
    return tables


def _costs(title: str, entries: Sequence[Mapping[str, Any]]) -> Table:
    plain = {one["size"]: one["cost"]["images_a_second"] for one in entries if one["baseline"]}
    rows = []
    for one in entries:
        speed, usual = one["cost"]["images_a_second"], plain.get(one["size"])
        if speed is None or one["placebo"]:
            continue
        times = f"{usual / speed:.2f}" if usual else NONE
        rows.append(
            (
                TableCell(_row(one), (size_in_words(one["size"]),), "name"),
                TableCell(number(one["cost"]["seconds_a_step"], ".3g")),
                TableCell(number(speed, ".3g")),
                TableCell(times),
            )
        )
    note = (
        "Median over the finished trainings that were not interrupted, loading and validation "
        "counted, the generator's training not. Whatever else the machine did counts too."
    )
    columns = (f"{title}: cost", "Seconds a step", "Images a second", "Times the baseline's time")
    return Table(columns, tuple(rows), (note,) if rows else ())


@styled
def heat_map(
    studies: Sequence[tuple[Specification, Mapping[str, Any]]],
) -> bytes | None:
    """Difference of every method to no method, by size: a panel for each study and model.

    Numbers stand in the cells. Blue is better and orange worse, darker the further from 0, on a
    scale of each study's own, since scores of different tasks have no common one.
    """
    shown = [[one for one in content["methods"] if _has_difference(one)] for _, content in studies]
    if not any(shown):
        return None
    methods = _axes([one for entries in shown for one in entries])[0]
    panels = [
        (specification, model, entries)
        for (specification, _), entries in zip(studies, shown, strict=True)
        for model in specification.models
        if entries
    ]
    widths = [0.4 + len(_axes(entries)[1]) for _, _, entries in panels]
    figure, axes = new_figure(
        1,
        len(panels),
        figsize=(2.6 + sum(max(width, 2.4) for width in widths), 1.2 + 0.3 * len(methods)),
        squeeze=False,
        width_ratios=widths,
    )
    for column, (specification, model, entries) in enumerate(panels):
        panel = axes[0][column]
        _fill(panel, specification, [e for e in entries if e["model"] == model.name], methods)
        panel.set_yticks(range(len(methods)), methods if column == 0 else [""] * len(methods))
        metric = specification.metric
        unit = ", points" if metric.percent else ""
        told = f"{model.title}: {metric.title}{unit}" if len(studies) > 1 else model.title
        panel.set_title(textwrap.fill(told, 14 * len(_axes(entries)[1])), fontsize=9, loc="left")
    figure.supxlabel("share of the training patients", fontsize=10)
    return png(figure)


def _fill(
    panel: Any,
    specification: Specification,
    entries: Sequence[Mapping[str, Any]],
    methods: Sequence[str],
) -> None:
    """Draw the cells of one study and model."""
    from matplotlib.colors import LinearSegmentedColormap

    percent = specification.metric.percent
    sign = 1 if specification.metric.higher_is_better else -1
    sizes = _axes(entries)[1]
    values = [[float("nan")] * len(sizes) for _ in methods]
    for one in entries:
        row, place = methods.index(_row(one)), sizes.index(one["size"])
        value = one["against_baseline"]["value"]
        values[row][place] = sign * value
        text = difference(value, percent) + ("*" if one["verdict"] in _MARKS else "")
        if one["role"] == "primary" and len(one["claimed"]) == 1:  # controls decide of others
            text = f"[{text}]"
        panel.text(place, row, text, ha="center", va="center", fontsize=9, color="#111111")
    most = max((abs(one["against_baseline"]["value"]) for one in entries), default=0) or 1.0
    colours = LinearSegmentedColormap.from_list("told", ["#E69F00", "#ffffff", "#56B4E9"])
    panel.imshow(values, cmap=colours, vmin=-most, vmax=most, aspect="auto")
    panel.set_xticks(range(len(sizes)), [f"{100 * size:g} %" for size in sizes])
    panel.grid(visible=False)


def _has_difference(one: Mapping[str, Any]) -> bool:
    beside = one["against_baseline"]
    return beside is not None and beside["value"] is not None
