"""What a scenario and model scored, and the difference of two, from the cells of a study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import stdev
from typing import Any

import numpy as np

from metrics.classification import FloatArray
from metrics.intervals import Interval
from studies.specification.specification import Specification
from studies.statistics.cells import (
    Record,
    Table,
    by_turn,
    cells_of,
    lenders,
    of_seeds,
    seed_means,
    table_of,
    unsteady_of,
)
from studies.statistics.estimates import Scale, difference, patients_only, single
from studies.statistics.finding_scores import finding_of, has_findings, names_of_scores
from studies.statistics.per_image import (
    CORRECT_AMONG,
    ImageScores,
    is_share,
    is_share_of_correct,
    mean,
    scores_per_image,
)
from studies.statistics.reach import Spread, spread_of
from studies.statistics.two_sources import Arm
from studies.statistics.whole_set import (
    SET_METRICS,
    is_ranking,
    is_set_metric,
)


@dataclass(frozen=True)
class GroupResult:
    """One scenario and model over its seeds.

    Attributes:
        interval: Mean over seeds, with the interval for other patients and other trainings; ends
            are None with one seed.
        patients_only: Ends of the interval for other patients of these trainings.
        seed_means: Score of each seed.
        seed_spread: Standard deviation of those scores; None with fewer than two seeds.
        unsteady: They vary far more than those of the other scenarios of the model.
    """

    interval: Interval
    patients_only: tuple[float | None, float | None]
    seed_means: dict[int, float | None]
    seed_spread: float | None
    unsteady: bool = False


@dataclass(frozen=True)
class PairedResult:
    """One scenario against another, for one model.

    Attributes:
        interval: Difference, treated minus control, with the interval for other patients and other
            trainings; ends are None with one seed.
        patients_only: Ends of the interval for other patients of these trainings.
        patients: Difference per patient; empty for scores that no patient has alone.
        per_seed: Difference of each seed that both have, which is no pair.
        trainings: How many of either.
        p_value: Two-sided; None where nothing can be tested.
        spread: Where the difference's variance comes from; None where nothing can be tested.
    """

    interval: Interval
    patients_only: tuple[float | None, float | None]
    patients: dict[str, float]
    per_seed: dict[int, float | None]
    trainings: tuple[int, int]
    p_value: float | None
    spread: Spread | None


def holds_score(evaluation: Mapping[str, Any], metric: str) -> bool:
    """Whether a study can decide by this metric, given a cell's evaluation.

    Either images or patients have a score of that name, or it is one that a classifier's
    predictions give: a score of the set, or a share of right calls.
    """
    images = evaluation.get("images") or []
    rows = [*images, *(evaluation.get("patients") or [])]
    if any(metric in row for row in rows):
        return True
    if has_findings(evaluation):
        return metric in names_of_scores(evaluation["class_names"])
    if is_set_metric(metric):
        return finding_of(metric) is None and any(
            "label" in row and "probability" in row for row in images
        )
    return is_share_of_correct(evaluation, metric)


def known_scores(evaluation: Mapping[str, Any]) -> list[str]:
    """Names of all metrics that `holds_score` accepts and that are numbers, sorted."""
    names = {*SET_METRICS, *CORRECT_AMONG}
    if has_findings(evaluation):
        names |= {*names_of_scores(evaluation["class_names"])}
    for row in [*(evaluation.get("images") or []), *(evaluation.get("patients") or [])]:
        names |= {key for key, value in row.items() if isinstance(value, float)}
    return sorted(name for name in names if holds_score(evaluation, name))


def scores_by_seed(
    records: Sequence[Record], scenario: str, model: str, metric: str
) -> dict[int, ImageScores]:
    """Per-image (or per-patient) scores of each finished seed of a scenario and model."""
    found = of_seeds(records, scenario, model)
    return {seed: scores_per_image(record, metric) for seed, record in found.items()}


def groups_of(
    specification: Specification, records: Sequence[Record], model: str, metric: str
) -> dict[str, GroupResult]:
    """Every scenario of a model over its seeds, for means over images and scores of the set alike.

    How much trainings vary is estimated over all scenarios of the model together, see `parts_of`;
    the placebo borrows from the others and lends nothing, so that it changes none of them.
    """
    cells = cells_of(specification, records, model, metric)
    tables = {name: table_of([found], metric, False) for name, found in cells.items() if found}
    scale: Scale = "logit" if is_ranking(metric) or is_share(metric) else "plain"
    means = {name: seed_means(found, metric) for name, found in cells.items()}
    return groups_from(specification, tables, means, scale)


def groups_from(
    specification: Specification,
    tables: Mapping[str, Table],
    seeds: Mapping[str, dict[int, float | None]],
    scale: Scale,
) -> dict[str, GroupResult]:
    """Every scenario over its seeds, from their arms.

    Args:
        specification: The study.
        tables: One arm a scenario; of scenarios with a finished cell.
        seeds: Score of each seed, of every scenario.
        scale: On which the interval is symmetrical.
    """
    wild = unsteady_of(specification, tables)
    groups = {}
    for name, means in seeds.items():
        defined = [value for value in means.values() if value is not None]
        spread = stdev(defined) if len(defined) > 1 else None
        if name not in tables or not defined:
            groups[name] = GroupResult(Interval(None, None, None, 0, 0), (None, None), means, None)
            continue
        table = tables[name]
        others = lenders(specification, tables, {name})
        level, patients = specification.confidence, len(table.patients)
        within: tuple[float | None, float | None] = (None, None)
        low = high = None
        if table.arms and table.no_interval is None:
            (arm,) = table.arms
            within = _ends(*patients_only([arm], level, table.strata, scale))
            if arm.num_trainings > 1:
                estimate = single(arm, others, level, table.strata, scale)
                low, high = _ends(estimate.low, estimate.high)
        interval = Interval(mean(defined), low, high, patients, table.num_values, table.no_interval)
        groups[name] = GroupResult(interval, within, means, spread, name in wild)
    return groups


def pairs_of(
    specification: Specification,
    records: Sequence[Record],
    pairs: Sequence[tuple[str, str]],
    model: str,
) -> list[PairedResult]:
    """The study's metric in one scenario against another, for `pairs` of (scenario, against)."""
    metric = specification.metric.name
    cells = {
        name: by_turn(specification, name, found)
        for name, found in cells_of(specification, records, model, metric).items()
    }
    tables = {name: table_of([found], metric, True) for name, found in cells.items() if found}
    return [
        _pair(
            [cells[name] for name in pair],
            lenders(specification, tables, set(pair)),
            metric,
            specification.confidence,
        )
        for pair in pairs
    ]


def _pair(
    sides: Sequence[Mapping[int, Any]], others: Sequence[Arm], metric: str, confidence: float
) -> PairedResult:
    trainings = (len(sides[0]), len(sides[1]))
    per_seed = {
        seed: _less(*(seed_means({seed: side[seed]}, metric)[seed] for side in sides))
        for seed in sorted(set(sides[0]) & set(sides[1]))
    }
    nothing = Interval(None, None, None, 0, 0)
    if not all(trainings):
        return PairedResult(nothing, (None, None), {}, per_seed, trainings, None, None)
    table = table_of(sides, metric, True)
    if not table.arms or not table.patients:
        means = [mean(seed_means(side, metric).values()) for side in sides]
        interval = Interval(_less(*means), None, None, 0, 0, table.no_interval)
        return PairedResult(interval, (None, None), {}, per_seed, trainings, None, None)
    treated, control = table.arms
    if not is_set_metric(metric):  # over the patients that are compared
        per_seed = {
            seed: float(treated.scores[list(sides[0]).index(seed)])
            - float(control.scores[list(sides[1]).index(seed)])
            for seed in per_seed
        }
    found = pair_from(table, per_seed, others, confidence)
    if is_set_metric(metric):
        return found
    contrast = treated.patients - control.patients
    return replace(found, patients=dict(zip(table.patients, contrast.tolist(), strict=True)))


def pair_from(
    table: Table,
    per_seed: dict[int, float | None],
    others: Sequence[Arm],
    confidence: float,
) -> PairedResult:
    """The difference of a table's two arms, without that of each patient.

    Args:
        table: Two arms on the same patients.
        per_seed: See `PairedResult`.
        others: Arms of other scenarios of the model.
        confidence: Of the interval.
    """
    treated, control = table.arms
    trainings = (treated.num_trainings, control.num_trainings)
    value, low, high, p_value, spread = float(treated.value - control.value), None, None, None, None
    within: tuple[float | None, float | None] = (None, None)
    if table.no_interval is None:
        within = _ends(*patients_only([treated, control], confidence, table.strata))
        if min(trainings) > 1:
            found = difference(treated, control, others, confidence, table.strata)
            low, high = _ends(found.low, found.high)
            p_value = None if np.isnan(found.p_value) else float(found.p_value)
            if value == 0 and p_value is None:  # nothing varies and nothing differs
                p_value = 1.0
            if low is not None:
                spread = spread_of(found.parts, trainings, len(table.patients))
    number = len(table.patients)
    interval = Interval(value, low, high, number, table.num_values, table.no_interval)
    return PairedResult(interval, within, {}, per_seed, trainings, p_value, spread)


def _ends(low: FloatArray, high: FloatArray) -> tuple[float | None, float | None]:
    """As plain numbers; None where there is none."""
    ends = (float(low), float(high))
    return (None, None) if np.isnan(ends).any() else ends


def _less(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second
