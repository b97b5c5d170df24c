"""Who gains and who loses: scores and differences within groups of test patients."""

from collections.abc import Mapping, Sequence
from typing import Any

from display.numbers import NONE, count, difference, score
from display.tables import Table, TableCell
from studies.report.downstream.analysis import groups_by_scenario
from studies.report.downstream.intervals import interval_notes
from studies.specification.specification import Specification
from studies.statistics.comparisons import comparisons
from studies.statistics.results import Record


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
    """A table for each column and model: groups as rows, scenarios and comparisons as columns."""
    rows_of: dict[str, list[Mapping[str, Any]]] = {}
    for one in content["subgroups"]:
        rows_of.setdefault(one["column"], []).append(one)
    return [
        _table(specification, column, model.name, rows)
        for column, rows in rows_of.items()
        for model in specification.models
    ]


def _table(
    specification: Specification, column: str, model: str, rows: Sequence[Mapping[str, Any]]
) -> Table:
    percent = specification.metric.percent
    unit = " in points" if percent else ""
    pairs = list(
        dict.fromkeys((c["scenario"], c["against"]) for row in rows for c in row["comparisons"])
    )
    lines = []
    for row in rows:
        counts = f"{count(row['patients'], 'test patient')}, {count(row['films'], 'film')}"
        cells = [
            TableCell(row["group"], (counts, count(row["training"], "real training film")), "name")
        ]
        for group in row["groups"]:
            if group["model"] == model:
                notes = interval_notes(group, percent)[:1]
                cells.append(TableCell(score(group["value"], percent), notes))
        by_pair = {
            (c["scenario"], c["against"]): c for c in row["comparisons"] if c["model"] == model
        }
        for pair in pairs:
            found = by_pair.get(pair)
            if found is None or found["value"] is None:
                cells.append(TableCell(NONE))
                continue
            notes = interval_notes(found, percent, signed=True)[:1]
            cells.append(TableCell(difference(found["value"], percent), notes))
        lines.append(tuple(cells))
    title = f"{column.capitalize()}, {specification.model(model).title}"
    scenarios = (f"Scenario {scenario.id}" for scenario in specification.scenarios)
    differences = (f"{one} against {other}{unit}" for one, other in pairs)
    note = (
        "Exploratory: no correction for the number of groups, and no verdict. A difference between "
        "two groups' differences is not tested."
    )
    if any(scenario.synthetic for scenario in specification.scenarios):
        note += (
            " Synthetic films carry no such column: how they are made up of these groups is not "
            "known."
        )
    return Table((title, *scenarios, *differences), tuple(lines), (note,))
