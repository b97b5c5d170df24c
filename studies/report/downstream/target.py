"""The class in question: how well each arm finds it, beside the metric that the study decides by.

A mean over classes hides a class that no model finds: background and kidney alone make a good one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from display.numbers import score, span
from display.tables import Table, TableCell
from studies.report.downstream.intervals import interval_notes
from studies.specification.parts import Metric
from studies.specification.specification import Specification
from studies.statistics.cells import Record

# Dice, or sensitivity, below which a target counts as not found.
FOUND = 0.01
SENSITIVITY = "sensitivity"
_PATIENTS_ONLY = " patients only"


def target_metric(specification: Specification, records: Sequence[Record]) -> Metric | None:
    """The score of the study's target; None without a target, or before a cell is finished.

    Dice per patient of a segmenter; of a classifier of two classes, or of several findings, the
    sensitivity.
    """
    target = specification.target
    if target is None or not records:
        return None
    if records[0]["evaluation"].get("task") == "classification":
        return Metric(SENSITIVITY, f"sensitivity to {target}")
    if records[0]["evaluation"].get("task") == "findings":
        return Metric(f"{SENSITIVITY}_{target}", f"sensitivity to {target}")
    return Metric(f"dice_{target}", f"Dice of {target}")


def about_target(
    specification: Specification,
    records: Sequence[Record],
    metric: Metric,
    groups: Sequence[Mapping[str, Any]],
    specificity: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """What the report states of a target.

    Args:
        specification: A study with a target.
        records: Its finished cells, at least one.
        metric: See `target_metric`.
        groups: Each scenario and model's score by that metric.
        specificity: Of a classifier likewise: how many films without the target it calls so.
    """
    scored = [group for group in groups if group["value"] is not None]
    missed = [group for group in scored if group["value"] < FOUND]
    called = [one for one in specificity if one["value"] is not None and one["value"] < FOUND]
    ranges = [
        record["evaluation"].get("trivial_grey_range", {}).get(specification.target)
        for record in records
    ]
    # Cells share their test slices; where they do not, the easiest to beat is not the one to show.
    best = max((one for one in ranges if one), key=lambda one: one["dice"], default=None)
    return {
        "name": specification.target,
        "metric": metric.name,
        "title": metric.title,
        "groups": list(groups),
        "specificity": list(specificity),
        "grey_range": best,
        "found_by_none": bool(scored) and len(missed) == len(scored),
        "sentence": _sentence(specification, metric, scored, missed, called),
        "limits": _limits(specification, metric, scored, missed, best)
        + _called_all(specification, scored, called),
    }


def _sentence(
    specification: Specification,
    metric: Metric,
    scored: Sequence[Mapping[str, Any]],
    missed: Sequence[Mapping[str, Any]],
    called: Sequence[Mapping[str, Any]],
) -> str:
    """What the report begins with; empty where some arm finds the target, and something else."""
    if scored and len(called) == len(scored):
        return f"Every model calls every film {specification.target}, so none tells them apart."
    if not scored or len(missed) < len(scored):
        return ""
    values = sorted(group["value"] for group in scored)
    found = span(values, lambda value: score(value, True))
    return f"No model finds {specification.target}: {metric.title} is {found} % in every arm."


def _limits(
    specification: Specification,
    metric: Metric,
    scored: Sequence[Mapping[str, Any]],
    missed: Sequence[Mapping[str, Any]],
    best: Mapping[str, Any] | None,
) -> list[str]:
    target = specification.target
    if not scored:
        return [f"No test patient holds {target}, so nothing is known of how well it is found."]
    limits = []
    if missed and len(missed) < len(scored):
        limits.append(
            f"Not found ({metric.title} below {score(FOUND, True)} %): {target}, by "
            f"{_arms(specification, missed)}. A difference of {specification.metric.title} says "
            f"nothing about {target} there."
        )
    # Where the sentence says that nothing is found, this would say it again.
    weak = [group for group in scored if best and FOUND <= group["value"] <= best["dice"]]
    if best and weak:
        limits.append(
            f"No better at {target} than {_range(best)}, with a Dice of "
            f"{score(best['dice'], True)} %: {_arms(specification, weak)}."
        )
    return limits


def _called_all(
    specification: Specification,
    scored: Sequence[Mapping[str, Any]],
    called: Sequence[Mapping[str, Any]],
) -> list[str]:
    if not called or len(called) == len(scored):  # of all it is the first sentence
        return []
    return [
        f"Calls every film {specification.target} (specificity below {score(FOUND, True)} %), so "
        f"that its sensitivity says nothing: {_arms(specification, called)}."
    ]


def target_table(specification: Specification, content: Mapping[str, Any]) -> Table | None:
    """The target's score of every arm with its interval, the study's metric in small below it."""
    target, metric = content["target"], specification.metric
    if target is None:
        return None
    short = metric.title.split(",")[0]  # in full below the table: cells are narrow
    of_metric = {(group["scenario"], group["model"]): group for group in content["groups"]}
    rows = []
    for scenario in specification.scenarios:
        cells = [TableCell(f"{scenario.id}  {scenario.name}", style="name")]
        for group in target["groups"]:
            if group["scenario"] != scenario.id:
                continue
            beside = of_metric[group["scenario"], group["model"]]
            shown = f"{short} {score(beside['value'], metric.percent)}"
            above = interval_notes(group, True)[:1]
            below = interval_notes(beside, metric.percent)[:1]
            if all(note.endswith(_PATIENTS_ONLY) for note in (*above, *below)):
                below = tuple(note.removesuffix(_PATIENTS_ONLY) for note in below)  # said above
            whole = " ".join([shown, *below])
            whole = " ".join([*_specificity(target, group), whole])
            notes = (*above, whole)
            if group["value"] is None:
                notes = ("no finished cell", "") if beside["value"] is None else ("", whole)
            cells.append(TableCell(score(group["value"], True), notes))
        rows.append(tuple(cells))
    unit = " in %" if metric.percent else ""
    footnotes = [f"In small, what this study decides by: {metric.title}{unit}."]
    if target["specificity"]:
        footnotes.append(
            "Specificity, in %: films of the other class that are called so; both at 0.5."
        )
    if best := target["grey_range"]:
        reference = TableCell(score(best["dice"], True))
        name = TableCell("Reference: best fixed range of grey values", style="name")
        rows.append((name, *(reference for _ in specification.models)))
        of_one = " of one channel" if "channel" in best else ""
        footnotes.append(
            f"Reference: {_range(best)}. No threshold{of_one} chosen elsewhere finds more."
        )
    columns = (f"{target['title']}, %", *(model.title for model in specification.models))
    return Table(columns, tuple(rows), tuple(footnotes))


def _specificity(target: Mapping[str, Any], group: Mapping[str, Any]) -> list[str]:
    """A classifier's other half, for a cell of the table."""
    of_cell = [
        one["value"]
        for one in target["specificity"]
        if (one["scenario"], one["model"]) == (group["scenario"], group["model"])
    ]
    return [f"specificity {score(value, True)}," for value in of_cell if value is not None]


def _range(best: Mapping[str, Any]) -> str:
    ends, unit = (("low_hu", "high_hu"), " HU") if "low_hu" in best else (("low", "high"), "")
    low, high = (f"{best[end]:.0f}" for end in ends)
    channel = f"of {best['channel']}, " if "channel" in best else ""
    return (
        f"the best fixed range of grey values ({channel}{low} to {high}{unit}, chosen on the test "
        "images themselves)"
    )


def _arms(specification: Specification, groups: Sequence[Mapping[str, Any]]) -> str:
    """Such as `U-Net light in scenario 1 and 3, FPN in scenario 2`."""
    named = []
    for model in specification.models:
        of_model = [group["scenario"] for group in groups if group["model"] == model.name]
        if of_model:
            plural = "s" if len(of_model) > 1 else ""
            named.append(f"{model.title} in scenario{plural} {', '.join(of_model)}")
    return "; ".join(named)
