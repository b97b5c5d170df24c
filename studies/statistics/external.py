"""What is left of a score elsewhere: external minus internal, over patients of both and trainings.

A training is tested twice, on the study's own test split and on an external set; its drop is the
second score minus the first. The patients of the two are other people, so a drop is a score of
K1 + K2 patients in separate strata: the jackknife's pseudo-values of either set, each scaled so
that their common variance is the sum of the two sets' own. Everything that other patients and other
trainings do to a score then holds of a drop, and of the difference of two scenarios' drops.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.classification import FloatArray
from metrics.intervals import Interval
from studies.specification.specification import Specification
from studies.statistics.cells import (
    Record,
    Table,
    by_turn,
    cells_of,
    lenders,
    seed_means,
    table_of,
)
from studies.statistics.results import (
    GroupResult,
    PairedResult,
    groups_from,
    pair_from,
)
from studies.statistics.two_sources import Arm


def drops_of(
    specification: Specification,
    internal: Sequence[Record],
    external: Sequence[Record],
    model: str,
) -> dict[str, GroupResult]:
    """Every scenario's drop over its seeds.

    Args:
        specification: The study.
        internal: Its cells, with their evaluations on the own test split.
        external: The same cells with their evaluations elsewhere; a cell without one is left out.
        model: Which model.
    """
    here, there = _both(specification, internal, external, model)
    metric = specification.metric.name
    tables = {name: _drop_table([here[name]], [there[name]], metric) for name in here if here[name]}
    seeds = {name: _per_seed(here[name], there[name], metric) for name in here}
    return groups_from(specification, tables, seeds, "plain")


def drop_pairs_of(
    specification: Specification,
    internal: Sequence[Record],
    external: Sequence[Record],
    pairs: Sequence[tuple[str, str]],
    model: str,
) -> list[PairedResult]:
    """The drop of one scenario minus that of another; above 0, a higher score is kept better.

    Arguments as of `drops_of`; pairs are (scenario, against).
    """
    metric = specification.metric.name
    here, there = (
        {name: by_turn(specification, name, found) for name, found in cells.items()}
        for cells in _both(specification, internal, external, model)
    )
    tables = {name: _drop_table([here[name]], [there[name]], metric) for name in here if here[name]}
    return [
        _pair(
            [here[name] for name in pair],
            [there[name] for name in pair],
            lenders(specification, tables, set(pair)),
            metric,
            specification.confidence,
        )
        for pair in pairs
    ]


def drop_arm(internal: Arm, external: Arm) -> Arm:
    """The same trainings on two sets of patients, as one arm whose score is the drop.

    Its variance over patients, by the formula of one sample, is the sum of the two sets' own.
    """
    drop = external.scores - internal.scores
    number = internal.num_patients + external.num_patients

    def deviations(arm: Arm, sign: int) -> FloatArray:
        own = arm.num_patients
        factor = np.sqrt(number * (number - 1) / (own * max(1, own - 1)))
        found: FloatArray = sign * factor * (arm.pseudo - arm.pseudo.mean(-1, keepdims=True))
        return found

    both = np.concatenate([deviations(internal, -1), deviations(external, 1)], axis=-1)
    return Arm(drop, drop[..., None] + both)


def drop_table(internal: Table, external: Table) -> Table:
    """Arms of drops from the arms on either set, with the patients of each in strata of their own.

    Where one of the two has no interval, the drop has none.
    """
    patients = [*(f"internal {p}" for p in internal.patients)]
    patients += [f"external {p}" for p in external.patients]
    number = internal.num_values + external.num_values
    reasons = [
        f"{where}, {table.no_interval}"
        for where, table in (("on the own test split", internal), ("external", external))
        if table.no_interval is not None
    ]
    reasons += [
        f"{where}, no image has this score"
        for where, table in (("on the own test split", internal), ("external", external))
        if not table.patients
    ]
    if not (internal.patients and external.patients):
        return Table([], patients, number, None, "; ".join(reasons))
    if not (internal.arms and external.arms):
        return Table([], patients, number, None, "; ".join(reasons) or None)
    arms = [drop_arm(*both) for both in zip(internal.arms, external.arms, strict=True)]
    first, second = _strata(internal), _strata(external)
    strata = np.concatenate([first, first.max(initial=-1) + 1 + second])
    return Table(arms, patients, number, strata, "; ".join(reasons) or None)


def _strata(table: Table) -> NDArray[np.intp]:
    return np.zeros(len(table.patients), np.intp) if table.strata is None else table.strata


def _drop_table(
    here: Sequence[Mapping[int, Any]], there: Sequence[Mapping[int, Any]], metric: str
) -> Table:
    # Over all images, so that the drop is the difference of the two scores that are shown.
    return drop_table(table_of(here, metric, False), table_of(there, metric, False))


def _both(
    specification: Specification,
    internal: Sequence[Record],
    external: Sequence[Record],
    model: str,
) -> tuple[dict[str, dict[int, Any]], dict[str, dict[int, Any]]]:
    """What each scenario's seeds scored on either set, of seeds that were scored on both."""
    metric = specification.metric.name
    here, there = (
        cells_of(specification, records, model, metric) for records in (internal, external)
    )
    return _shared(here, there), _shared(there, here)


def _shared(
    own: Mapping[str, Mapping[int, Any]], other: Mapping[str, Mapping[int, Any]]
) -> dict[str, dict[int, Any]]:
    return {
        name: {seed: cell for seed, cell in found.items() if seed in other[name]}
        for name, found in own.items()
    }


def _per_seed(
    here: Mapping[int, Any], there: Mapping[int, Any], metric: str
) -> dict[int, float | None]:
    before, after = seed_means(here, metric), seed_means(there, metric)
    return {seed: _less(after[seed], before[seed]) for seed in before}


def _pair(
    here: Sequence[Mapping[int, Any]],
    there: Sequence[Mapping[int, Any]],
    others: Sequence[Arm],
    metric: str,
    confidence: float,
) -> PairedResult:
    drops = [_per_seed(first, second, metric) for first, second in zip(here, there, strict=True)]
    shared = sorted(set(drops[0]) & set(drops[1]))
    per_seed = {seed: _less(drops[0][seed], drops[1][seed]) for seed in shared}
    trainings = (len(drops[0]), len(drops[1]))
    if not all(trainings):
        nothing = Interval(None, None, None, 0, 0)
        return PairedResult(nothing, (None, None), {}, per_seed, trainings, None, None)
    table = _drop_table(here, there, metric)
    if table.arms:
        return pair_from(table, per_seed, others, confidence)
    means = [_mean(one) for one in drops]
    interval = Interval(_less(*means), None, None, 0, 0, table.no_interval)
    return PairedResult(interval, (None, None), {}, per_seed, trainings, None, None)


def _mean(values: Mapping[int, float | None]) -> float | None:
    defined = [value for value in values.values() if value is not None]
    return sum(defined) / len(defined) if defined else None


def _less(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second
