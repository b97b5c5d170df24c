"""Who gains and who loses: scores and differences within groups of test patients."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from display.numbers import NONE, difference, score
from display.tables import Table, TableCell
from studies.report.downstream.analysis import groups_by_scenario
from studies.report.downstream.intervals import ends_shown, interval_notes
from studies.specification.specification import Specification
from studies.statistics.cells import Record
from studies.statistics.comparisons import comparisons


def subgroups(
    specification: Specification, records: Sequence[Record], columns: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The study's scores and comparisons on each group's films alone, uncorrected.

    Args:
        specification: The study.
        records: Its finished cells.
        columns: What `groups_of_films` found.

    Returns:
        column, group, films, patients, training (real films), groups and comparisons as the whole
        study has them.
    """
    found = []
    for column in columns:
        for group in sorted({*column["films"].values()}):
            ids = {name for name, of in column["films"].items() if of == group}
            kept = [_restricted(record, ids) for record in records]
            images = kept[0]["evaluation"]["images"] if kept else []
            found.append(
                {
                    "column": column["column"],
                    "group": group,
                    "films": len(images),
                    "patients": len({row["patient_id"] for row in images}),
                    "training": column["training"].get(group, 0),
                    "groups": groups_by_scenario(specification, kept, specification.metric.name),
                    "comparisons": comparisons(specification, kept),
                }
            )
    return found


def _restricted(record: Record, ids: set[str]) -> dict[str, Any]:
    """A cell's evaluation on some of its images alone, and on their patients."""
    evaluation = record["evaluation"]
    images = [row for row in evaluation.get("images") or [] if row["id"] in ids]
    whose = {row["patient_id"] for row in images}
    patients = [row for row in evaluation.get("patients") or [] if row["patient_id"] in whose]
    return {**record, "evaluation": {**evaluation, "images": images, "patients": patients}}


def subgroup_tables(specification: Specification, content: Mapping[str, Any]) -> list[Table]:
    """A table for each column and model: scenarios and comparisons as rows, groups as columns."""
    groups_of: dict[str, list[Mapping[str, Any]]] = {}
    for one in content["subgroups"]:
        groups_of.setdefault(one["column"], []).append(one)
    tables = [
        _table(specification, column, model.name, groups)
        for column, groups in groups_of.items()
        for model in specification.models
    ]
    # Said once, below the last: it is the same of all.
    last = [replace(one, footnotes=_notes(specification, content)) for one in tables[-1:]]
    return [*tables[:-1], *last]


def _table(
    specification: Specification, column: str, model: str, groups: Sequence[Mapping[str, Any]]
) -> Table:
    percent = specification.metric.percent
    rows = [
        (TableCell(told, style="name"), *(TableCell(str(group[key])) for group in groups))
        for told, key in (
            ("Test patients", "patients"),
            ("Test films", "films"),
            ("Real training films", "training"),
        )
    ]
    for scenario in specification.scenarios:
        found = [_of(group["groups"], model, scenario=scenario.id) for group in groups]
        rows.append((TableCell(f"Scenario {scenario.id}", style="name"), *_cells(found, percent)))
    pairs = dict.fromkeys(
        (c["scenario"], c["against"]) for group in groups for c in group["comparisons"]
    )
    for one, other in pairs:
        found = [_of(group["comparisons"], model, scenario=one, against=other) for group in groups]
        name = TableCell(f"{one} against {other}", style="name")
        rows.append((name, *_cells(found, percent, signed=True)))
    title = f"{column.capitalize()}, {specification.model(model).title}"
    return Table((title, *(group["group"] for group in groups)), tuple(rows))


def _of(entries: Sequence[Mapping[str, Any]], model: str, **keys: str) -> Mapping[str, Any] | None:
    wanted = {"model": model, **keys}
    return next((one for one in entries if all(one[k] == v for k, v in wanted.items())), None)


def _cells(
    found: Sequence[Mapping[str, Any] | None], percent: bool, signed: bool = False
) -> list[TableCell]:
    show, cells = difference if signed else score, []
    for one in found:
        if one is None or one["value"] is None:
            cells.append(TableCell(NONE))
            continue
        notes = interval_notes(one, percent, signed)[:1]
        without = ends_shown(one) is None
        cells.append(TableCell(show(one["value"], percent), () if without else notes))
    return cells


def _notes(specification: Specification, content: Mapping[str, Any]) -> tuple[str, ...]:
    unit = " in %, differences in points" if specification.metric.percent else ""
    notes = [
        f"{specification.metric.title}{unit}. Exploratory: no correction for the number of groups, "
        "and no verdict. A difference between two groups' differences is not tested."
    ]
    entries = [
        (one["group"], entry)
        for one in content["subgroups"]
        for entry in (*one["groups"], *one["comparisons"])
        if entry["value"] is not None and ends_shown(entry) is None
    ]
    reasons: dict[str, list[str]] = {}
    for group, entry in entries:
        reasons.setdefault(entry.get("no_interval") or "no interval", []).append(group)
    if reasons:
        told = "; ".join(
            f"{', '.join(dict.fromkeys(names))} ({reason})" for reason, names in reasons.items()
        )
        notes.append(f"Without an interval: {told}.")
    if any(scenario.synthetic for scenario in specification.scenarios):
        notes.append(
            "Synthetic films carry no such column: how they are made up of these groups is not "
            "known."
        )
    return tuple(notes)
