"""What the report of a study of downstream models states, as plain values for report.json."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from display.numbers import count
from studies.report.downstream.answer import answer
from studies.report.downstream.arms import images_shown, withhold
from studies.report.downstream.methods import about_methods, has_sizes
from studies.report.downstream.target import SENSITIVITY, about_target, target_metric
from studies.report.state import of_study, state_of
from studies.specification.specification import Specification
from studies.statistics.cells import Record
from studies.statistics.comparisons import comparisons, family_of
from studies.statistics.finding_scores import kind_of
from studies.statistics.per_image import average_over_seeds, is_share
from studies.statistics.results import groups_of, scores_by_seed
from studies.statistics.whole_set import SET_METRICS, is_set_metric

NUM_WORST_IMAGES = 5
# Between 0 and 1 like a share, but shown as it is.
_NOT_A_SHARE = (*SET_METRICS, "log_loss", "brier", "ece")  # or of a finding


def analyse(
    specification: Specification, records: Sequence[Record], failures: Sequence[Record]
) -> dict[str, Any]:
    """Tables, tests and the answer of a study, finished or not.

    Args:
        specification: The study.
        records: JSON of its finished cells.
        failures: JSON of failed jobs.
    """
    metric = specification.metric.name
    records = of_study(specification, records)
    groups = groups_by_scenario(specification, records, metric)
    found = comparisons(specification, records)
    content: dict[str, Any] = {
        **state_of(specification, records, failures),
        "groups": groups,
        "shown": images_shown(specification, records),
        "comparisons": found,
        "tests": family_of(specification, found),
        "trivial": _trivial(records),
        "further": [
            _further(specification, records, name) for name in _further_names(records, metric)
        ],
        "worst": _worst(specification, records),
        "worst_by": _worst_by(specification, records),
        "data_notes": [*_set_notes(specification), *_data_notes(records)],
    }
    withhold(specification, content)
    content["methods"] = []
    if has_sizes(specification):
        content["methods"] = about_methods(specification, records, content)
    target = target_metric(specification, records)
    if target is None:
        content["target"] = None
    else:
        groups = groups_by_scenario(specification, records, target.name)
        # A model that calls everything the target misses none of it.
        of_classifier = kind_of(target.name) == SENSITIVITY
        specificity = target.name.replace(SENSITIVITY, "specificity", 1)
        called = groups_by_scenario(specification, records, specificity) if of_classifier else []
        content["target"] = about_target(specification, records, target, groups, called)
    content["answer"] = answer(specification, content)
    return content


def groups_by_scenario(
    specification: Specification, records: Sequence[Record], metric: str
) -> list[dict[str, Any]]:
    """Every scenario and model over its seeds, with its interval and the paper's number."""
    found = {
        model.name: groups_of(specification, records, model.name, metric)
        for model in specification.models
    }
    groups = []
    for scenario in specification.scenarios:
        for model in specification.models:
            result = found[model.name][scenario.id]
            paper = specification.paper.values if specification.paper else {}
            groups.append(
                {
                    "scenario": scenario.id,
                    "model": model.name,
                    "seeds": sorted(result.seed_means),
                    **result.interval.as_dict(),
                    "low_patients": result.patients_only[0],
                    "high_patients": result.patients_only[1],
                    "seed_means": {str(seed): mean for seed, mean in result.seed_means.items()},
                    "seed_spread": result.seed_spread,
                    "unsteady": result.unsteady,
                    "paper": paper.get(scenario.id, {}).get(model.name),
                }
            )
    return groups


def _trivial(records: Sequence[Record]) -> dict[str, float]:
    for record in records:
        trivial = record["evaluation"].get("trivial_all_background")
        if trivial:
            return {name: value for name, value in trivial.items() if value is not None}
    return {}


def _further_names(records: Sequence[Record], metric: str) -> list[str]:
    names = dict.fromkeys(
        name for record in records for name in (record["evaluation"].get("summary") or {})
    )
    return [name for name in names if name != metric]


def _further(specification: Specification, records: Sequence[Record], name: str) -> dict[str, Any]:
    """One more score for every scenario and model, untested: it describes, it does not decide."""
    prefix = name.split("_")[0]
    units = {
        row[f"{prefix}_unit"]
        for record in records
        for row in record["evaluation"].get("patients") or []
        if name in row and row.get(f"{prefix}_unit")
    }
    groups = groups_by_scenario(specification, records, name)
    values = [group["value"] for group in groups if group["value"] is not None]
    return {
        "metric": name,
        "unit": " and ".join(sorted(units)),
        "percent": not units
        and kind_of(name) not in _NOT_A_SHARE
        and bool(values)
        and all(0 <= value <= 1 for value in values),
        # Millimetres and pixels in one mean would be a number without meaning.
        "mixed_units": len(units) > 1,
        "groups": [] if len(units) > 1 else groups,
    }


def _worst(specification: Specification, records: Sequence[Record]) -> list[dict[str, Any]]:
    """The test items that a model does worst on, averaged over scenarios and seeds."""
    worst = []
    by = _worst_by(specification, records)
    sign = 1 if by["higher_is_better"] else -1
    for model in specification.models:
        by_scenario = {
            scenario.id: average_over_seeds(
                list(scores_by_seed(records, scenario.id, model.name, by["metric"]).values())
            )
            for scenario in specification.scenarios
        }
        present = [scores for scores in by_scenario.values() if scores]
        ranked = sorted(
            (sign * score, item, patient)
            for item, (patient, score) in average_over_seeds(present).items()
            if score is not None
        )
        for score, item, patient in ranked[:NUM_WORST_IMAGES]:
            worst.append(
                {
                    "model": model.name,
                    "id": item,
                    "patient_id": patient,
                    "value": sign * score,
                    "scenarios": {
                        identifier: scores[item][1]
                        for identifier, scores in by_scenario.items()
                        if item in scores
                    },
                }
            )
    return worst


def _worst_by(specification: Specification, records: Sequence[Record]) -> dict[str, Any]:
    """What ranks single images: the metric, or the log loss where images have no such score."""
    metric = specification.metric
    classifiers = is_set_metric(metric.name) or is_share(metric.name)
    if classifiers and any(
        "log_loss" in row for record in records for row in record["evaluation"].get("images") or []
    ):
        return {
            "metric": "log_loss",
            "title": "log loss",
            "percent": False,
            "higher_is_better": False,
        }
    return {
        "metric": metric.name,
        "title": metric.title,
        "percent": metric.percent,
        "higher_is_better": metric.higher_is_better,
    }


def _set_notes(specification: Specification) -> list[str]:
    """What a finished set in place of a generator leaves open."""
    if specification.synthetic is None:
        return []
    return [
        f"All seeds share one set of synthetic images ({Path(specification.synthetic).name}): it "
        "is one draw. How much another set of its generator, or another training of that, would "
        "change the scores is not in the intervals: they hold for this set."
    ]


def _data_notes(records: Sequence[Record]) -> list[str]:
    """Circumstances that change how the scores are to be read."""
    notes = []
    evaluations = [record["evaluation"] for record in records]
    if any(evaluation.get("split_by") == "slice" for evaluation in evaluations):
        notes.append(
            "The data are split by slice, so slices of one patient lie on both sides of the "
            "split. Such scores are several times too good; split by patient to trust them."
        )
    synthetic = [evaluation.get("num_synthetic") or 0 for evaluation in evaluations]
    if any(synthetic):
        notes.append(
            f"The data that count as real here hold {max(synthetic):,} images that say that they "
            "are synthetic (prepare.py --allow-synthetic). What is found on them is not found on "
            "patients."
        )
    items = [
        frozenset(row["id"] for row in evaluation.get("images") or []) for evaluation in evaluations
    ]
    if len(set(items)) > 1:
        notes.append(
            "The cells were tested on different images. Only images that all seeds share count."
        )
    left_out = [e["left_out"]["images"] for e in evaluations if e.get("left_out")]
    if left_out:
        notes.append(
            f"{count(len(left_out), 'cell')} left out up to {count(max(left_out), 'test image')} "
            "that the model has seen; evaluation.json of each says which."
        )
    unknown = sum(bool(evaluation.get("not_compared")) for evaluation in evaluations)
    if unknown:
        notes.append(
            f"In {count(unknown, 'cell')} not all that the model was trained on could be compared "
            "with the test images, so it may know some of them; `not_compared` in evaluation.json "
            "of each says what."
        )
    undefined = [evaluation.get("hd95_undefined") or 0 for evaluation in evaluations]
    if any(undefined):
        notes.append(
            f"HD95 is undefined where a class is missing from the truth or the prediction: "
            f"{sum(undefined)} times over {count(len(undefined), 'cell')}. Its mean leaves "
            "these out, which flatters a model that finds nothing."
        )
    absent = sorted({str(e["absent_class"]) for e in evaluations if e.get("absent_class")})
    if absent:
        meaning = {
            "skip": "is left out of that image's mean",
            "one": "counts as 1 in that image's mean",
        }
        told = " / ".join(meaning.get(way, way) for way in absent)
        notes.append(f"A class that is in neither truth nor prediction of an image {told}.")
    return notes
