"""What a linear model reaches on the same test films, and what that says."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from display.numbers import count, score, with_interval
from display.tables import Table, TableCell
from studies.report.downstream.analysis import groups_by_scenario
from studies.specification.parts import Model, Scenario
from studies.specification.specification import Specification

_NAME = "linear"


def linear_rows(
    specification: Specification, views: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """AUROC of each view, by the study's own statistics, as if it were a scenario of one training.

    Its fit is convex and has no seed, so the interval is about patients alone.
    """
    scenarios = tuple(Scenario(f"view{index}", one["view"]) for index, one in enumerate(views))
    alone = replace(
        specification,
        scenarios=scenarios,
        models=(Model(_NAME, "", "logistic regression"),),
        baseline_scenario=scenarios[0].id,
        seeds=(0,),
        paper=None,
    )
    records = [
        {
            "name": f"{scenario.id}__{_NAME}__seed0",
            "scenario": scenario.id,
            "model": _NAME,
            "seed": 0,
            "evaluation": {"task": "classification", "images": one["images"]},
        }
        for scenario, one in zip(scenarios, views, strict=True)
    ]
    rows = []
    for one, group in zip(views, groups_by_scenario(alone, records, "auroc"), strict=True):
        rows.append(
            {
                "view": one["view"],
                "inputs": one["inputs"],
                "value": group["value"],
                "low": group["low_patients"],
                "high": group["high_patients"],
                "no_interval": group["no_interval"],
                "num_patients": group["num_patients"],
            }
        )
    return rows


def linear_sentence(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the report's first screen says of them."""
    reached = {row["view"]: score(row["value"], False) for row in rows}
    return (
        f"A logistic regression reaches an AUROC of {reached['frame alone']} on the frame of the "
        f"films alone, where no lung is, and {reached['16 x 16 squares']} on the films as 16 x 16 "
        "squares. What it reaches says nothing about disease."
    )


def linear_table(content: Mapping[str, Any]) -> Table:
    """A row for each view."""
    rows = [
        (
            TableCell(row["view"], style="name"),
            TableCell(str(row["inputs"])),
            TableCell(score(row["value"], False), (with_interval(row, percent=False),)),
        )
        for row in content["linear"]
    ]
    patients = count(content["linear"][0]["num_patients"], "test patient")
    notes = (
        "Logistic regression on the real training films at 32 x 32 pixels: on the outermost two "
        "pixels alone, where no lung is, and on the film as 16 x 16 squares. The validation films "
        f"chose the penalty; {patients}, whose interval it is. A network that scores no higher may "
        "have learnt no more.",
    )
    return Table(("What it sees", "Numbers", "AUROC"), tuple(rows), notes)
