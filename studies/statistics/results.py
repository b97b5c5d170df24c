"""What a scenario and model scored, and the difference of two, from the cells of a study."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from studies.specification.specification import Specification
from studies.statistics.per_image import (
    CORRECT_AMONG,
    GroupResult,
    ImageScores,
    PairedResult,
    group_of_images,
    is_share_of_correct,
    pair_of_images,
    scores_per_image,
)
from studies.statistics.whole_set import (
    SET_METRICS,
    Predictions,
    group_of_sets,
    is_set_metric,
    pair_of_sets,
    predictions_of,
)

Record = Mapping[str, Any]
T = TypeVar("T")


def holds_score(evaluation: Mapping[str, Any], metric: str) -> bool:
    """Whether a study can decide by this metric, given a cell's evaluation.

    Either images or patients have a score of that name, or it is one that a classifier's
    predictions give: a score of the set, or a share of right calls.
    """
    images = evaluation.get("images") or []
    rows = [*images, *(evaluation.get("patients") or [])]
    if any(metric in row for row in rows):
        return True
    if is_set_metric(metric):
        return any("label" in row and "probability" in row for row in images)
    return is_share_of_correct(evaluation, metric)


def known_scores(evaluation: Mapping[str, Any]) -> list[str]:
    """Names of all metrics that `holds_score` accepts and that are numbers, sorted."""
    names = {*SET_METRICS, *CORRECT_AMONG}
    for row in [*(evaluation.get("images") or []), *(evaluation.get("patients") or [])]:
        names |= {key for key, value in row.items() if isinstance(value, float)}
    return sorted(name for name in names if holds_score(evaluation, name))


def _of_seeds(records: Sequence[Record], scenario: str, model: str) -> dict[int, Record]:
    return {
        record["seed"]: record
        for record in sorted(records, key=lambda record: record["seed"])
        if record["scenario"] == scenario and record["model"] == model
    }


def scores_by_seed(
    records: Sequence[Record], scenario: str, model: str, metric: str
) -> dict[int, ImageScores]:
    """Per-image (or per-patient) scores of each finished seed of a scenario and model."""
    found = _of_seeds(records, scenario, model)
    return {seed: scores_per_image(record, metric) for seed, record in found.items()}


def _predictions_by_seed(
    records: Sequence[Record], scenario: str, model: str
) -> dict[int, Predictions]:
    found = _of_seeds(records, scenario, model)
    return {seed: predictions_of(record) for seed, record in found.items()}


def group_of(
    specification: Specification, records: Sequence[Record], scenario: str, model: str, metric: str
) -> GroupResult:
    """A scenario and model over its seeds, for a mean over images and a score of the set alike."""
    drawn = (specification.confidence, specification.num_resamples)
    if is_set_metric(metric):
        return group_of_sets(_predictions_by_seed(records, scenario, model), metric, *drawn)
    return group_of_images(scores_by_seed(records, scenario, model, metric), *drawn)


def pair_of(
    specification: Specification, records: Sequence[Record], pair: tuple[str, str], model: str
) -> PairedResult:
    """The study's metric in one scenario against another, `pair` being (scenario, against)."""
    metric = specification.metric.name
    drawn = (specification.confidence, specification.num_resamples)
    if is_set_metric(metric):
        sets = [
            _by_turn(specification, scenario, _predictions_by_seed(records, scenario, model))
            for scenario in pair
        ]
        return pair_of_sets(sets[0], sets[1], metric, *drawn)
    scores = [
        _by_turn(specification, scenario, scores_by_seed(records, scenario, model, metric))
        for scenario in pair
    ]
    return pair_of_images(scores[0], scores[1], *drawn)


def _by_turn(specification: Specification, scenario: str, by_seed: dict[int, T]) -> dict[int, T]:
    """A scenario's cells by the study's seeds, which the placebo's take the places of."""
    own = specification.seeds_of(specification.scenario(scenario))
    return {
        seed: by_seed[given]
        for seed, given in zip(specification.seeds, own, strict=True)
        if given in by_seed
    }
