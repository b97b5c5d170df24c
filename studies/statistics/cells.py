"""The cells of a study as arms of trainings on patients, from which every interval is made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from studies.specification.specification import Specification
from studies.statistics.per_image import arms_of_images, mean, scores_per_image
from studies.statistics.two_sources import Arm, unsteady_arms
from studies.statistics.whole_set import (
    Predictions,
    arms_of_sets,
    is_ranking,
    is_set_metric,
    predictions_of,
    set_score,
    shared_ids,
)

Record = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Table:
    """Arms of one or two scenarios, and what goes with them.

    Attributes:
        arms: Empty for a score that has no interval.
        patients: Who was scored.
        num_values: Images, or patients, with a score.
        strata: (K,) class of each patient, for ranking scores.
        no_interval: Why there is none; None where there is one.
    """

    arms: Sequence[Arm]
    patients: Sequence[str]
    num_values: int
    strata: NDArray[np.intp] | None = None
    no_interval: str | None = None


def cells_of(
    specification: Specification, records: Sequence[Record], model: str, metric: str
) -> dict[str, dict[int, Any]]:
    """What each scenario's seeds scored: predictions, or scores by image."""
    read = predictions_of if is_set_metric(metric) else scores_per_image
    return {
        scenario.id: {
            seed: read(record, metric)
            for seed, record in of_seeds(records, scenario.id, model).items()
        }
        for scenario in specification.scenarios
    }


def table_of(sides: Sequence[Mapping[int, Any]], metric: str, each_patient_once: bool) -> Table:
    """Arms for intervals; none for a score that has no interval."""
    if not is_set_metric(metric):
        arms, patients, number = arms_of_images(sides, each_patient_once)
        alone = "one patient: no interval" if len(patients) == 1 else None
        return Table(arms, patients, number, None, alone)
    cells: list[Predictions] = [cell for side in sides for cell in side.values()]
    ids = shared_ids(cells)
    names = cells[0].patients(ids)
    if not is_ranking(metric):
        return Table([], sorted(set(names)), len(ids))
    too_few = cells[0].no_interval(ids)
    if too_few is not None:
        return Table([], sorted(set(names)), len(ids), None, too_few)
    arms, strata, patients, number = arms_of_sets(sides, metric)
    return Table(arms, patients, number, strata)


def seed_means(found: Mapping[int, Any], metric: str) -> dict[int, float | None]:
    """Score of each seed by itself."""
    return {
        seed: set_score(cell, cell.ids, metric)
        if isinstance(cell, Predictions)
        else mean(score for _, score in cell.values())
        for seed, cell in found.items()
    }


def lenders(specification: Specification, tables: Mapping[str, Table], but: set[str]) -> list[Arm]:
    """Arms of other scenarios that say how much trainings vary; the placebo is none of them."""
    names = {scenario.id for scenario in specification.scenarios if not scenario.placebo} - but
    return [arm for name in tables if name in names for arm in trained_twice(tables[name])]


def trained_twice(table: Table) -> list[Arm]:
    """Its arms that say something of how trainings vary."""
    return [arm for arm in table.arms if arm.num_trainings > 1 and arm.num_patients > 1]


def unsteady_of(specification: Specification, tables: Mapping[str, Table]) -> set[str]:
    """Scenarios whose trainings vary far more than the others'; a placebo beside the others."""
    every = {name: found[0] for name, table in tables.items() if (found := trained_twice(table))}
    placebos = {scenario.id for scenario in specification.scenarios if scenario.placebo}
    plain = {name: arm for name, arm in every.items() if name not in placebos}
    wild = set()
    for arms, about in ((plain, set(plain)), (every, placebos)):
        if len(arms) > 1:
            named = unsteady_arms(list(arms.values()))
            wild |= {name for name, is_wild in zip(arms, named, strict=True) if is_wild} & about
    return wild


def by_turn(specification: Specification, scenario: str, by_seed: dict[int, T]) -> dict[int, T]:
    """A scenario's cells by the study's seeds, which the placebo's take the places of."""
    own = specification.seeds_of(specification.scenario(scenario))
    return {
        seed: by_seed[given]
        for seed, given in zip(specification.seeds, own, strict=False)
        if given in by_seed
    }


def of_seeds(records: Sequence[Record], scenario: str, model: str) -> dict[int, Record]:
    """The finished cells of a scenario and model."""
    return {
        record["seed"]: record
        for record in sorted(records, key=lambda record: record["seed"])
        if record["scenario"] == scenario and record["model"] == model
    }
