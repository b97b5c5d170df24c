"""Everything the report states, as plain values: this is what report.json holds."""

from collections.abc import Mapping, Sequence
from typing import Any

from metrics.intervals import patient_bootstrap
from studies.answer import answer
from studies.folder import cells_of
from studies.numbers import count
from studies.scores import (
    Scores,
    average_over_seeds,
    group_result,
    patient_differences,
    scores_of,
)
from studies.specification import Specification
from studies.statistics import holm, patients_needed, sign_flip_test

Record = Mapping[str, Any]
NUM_WORST_IMAGES = 5


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
    done = {record["name"] for record in records}
    cells = cells_of(specification)
    records = [record for record in records if record["name"] in {cell.name for cell in cells}]
    groups = _groups(specification, records, metric)
    comparisons = _comparisons(specification, records)
    content: dict[str, Any] = {
        "format": "understudy-report",
        "format_version": 1,
        "specification": specification.as_dict(),
        "cells_total": len(cells),
        "cells_done": len(records),
        "cells_missing": [cell.name for cell in cells if cell.name not in done],
        "failures": [
            {key: failure.get(key) for key in ("name", "message", "traceback", "log")}
            for failure in failures
        ],
        "groups": groups,
        "comparisons": comparisons,
        "tests": _test_limits(specification, comparisons),
        "trivial": _trivial(records),
        "further": [
            _further(specification, records, name) for name in _further_names(records, metric)
        ],
        "worst": _worst(specification, records),
        "data_notes": _data_notes(records),
    }
    content["answer"] = answer(specification, content)
    return content


def _by_seed(
    records: Sequence[Record], scenario: str, model: str, metric: str
) -> dict[int, Scores]:
    return {
        record["seed"]: scores_of(record, metric)
        for record in sorted(records, key=lambda record: record["seed"])
        if record["scenario"] == scenario and record["model"] == model
    }


def _groups(
    specification: Specification, records: Sequence[Record], metric: str
) -> list[dict[str, Any]]:
    groups = []
    for scenario in specification.scenarios:
        for model in specification.models:
            by_seed = _by_seed(records, scenario.id, model.name, metric)
            result = group_result(by_seed, specification.confidence, specification.num_resamples)
            paper = specification.paper.values if specification.paper else {}
            groups.append(
                {
                    "scenario": scenario.id,
                    "model": model.name,
                    "seeds": sorted(by_seed),
                    **result.interval.as_dict(),
                    "seed_means": {str(seed): mean for seed, mean in result.seed_means.items()},
                    "seed_spread": result.seed_spread,
                    "paper": paper.get(scenario.id, {}).get(model.name),
                }
            )
    return groups


def _comparisons(specification: Specification, records: Sequence[Record]) -> list[dict[str, Any]]:
    baseline = specification.baseline_scenario
    pairs = [(s.id, baseline) for s in specification.scenarios if s.id != baseline]
    pairs += [pair for pair in specification.extra_comparisons if pair not in pairs]
    found = [
        _comparison(specification, records, scenario, against, model.name)
        for scenario, against in pairs
        for model in specification.models
    ]
    tested = [comparison for comparison in found if comparison["p"] is not None]
    adjusted = holm([comparison["p"] for comparison in tested])
    level = 1 - specification.confidence
    better = 1 if specification.metric.higher_is_better else -1
    for comparison, p_holm in zip(tested, adjusted, strict=True):
        comparison["p_holm"] = p_holm
        comparison["significant"] = p_holm < level
        if p_holm < level:
            comparison["verdict"] = "helps" if comparison["value"] * better > 0 else "hurts"
        elif len(tested) * comparison["smallest_p"] >= level:
            comparison["verdict"] = "too few patients to tell"
        else:
            comparison["verdict"] = "no difference shown"
    return found


def _comparison(
    specification: Specification, records: Sequence[Record], scenario: str, against: str, model: str
) -> dict[str, Any]:
    metric = specification.metric.name
    treated = _by_seed(records, scenario, model, metric)
    control = _by_seed(records, against, model, metric)
    seeds = sorted(set(treated) & set(control))
    differences = patient_differences(treated, control)
    interval = patient_bootstrap(
        list(differences.values()),
        list(differences),
        num_resamples=specification.num_resamples,
        confidence=specification.confidence,
    )
    test = sign_flip_test(list(differences.values()))
    per_seed = {}
    for seed in seeds:
        one = patient_differences({seed: treated[seed]}, {seed: control[seed]})
        per_seed[str(seed)] = sum(one.values()) / len(one) if one else None
    treated_scenario, control_scenario = (
        specification.scenario(identifier) for identifier in (scenario, against)
    )
    return {
        "scenario": scenario,
        "against": against,
        "model": model,
        # Only then does the pair say something about synthetic data and nothing else.
        "isolates_synthetic": treated_scenario.synthetic
        and not control_scenario.synthetic
        and treated_scenario.arguments == control_scenario.arguments,
        "seeds": seeds,
        "value": interval.value,
        "low": interval.low,
        "high": interval.high,
        "num_patients": test.num_patients,
        "patients": differences,
        "per_seed": per_seed,
        "p": test.p_value,
        "p_holm": None,
        "smallest_p": test.smallest_p,
        "exact": test.exact,
        "significant": False,
        "verdict": "not tested",
    }


def _test_limits(
    specification: Specification, comparisons: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What the tests could show at best with these patients."""
    tested = [comparison for comparison in comparisons if comparison["p"] is not None]
    level = 1 - specification.confidence
    # Holm multiplies the family's smallest p by the whole family's size.
    reachable = [min(1.0, len(tested) * comparison["smallest_p"]) for comparison in tested]
    return {
        "family_size": len(tested),
        "level": level,
        "num_patients": min((c["num_patients"] for c in tested), default=0),
        "smallest_p": min((c["smallest_p"] for c in tested), default=None),
        "smallest_adjusted_p": min(reachable, default=None),
        "can_be_significant": any(p < level for p in reachable),
        "patients_needed": patients_needed(len(tested), level),
        "exact": all(comparison["exact"] for comparison in tested),
    }


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
    groups = _groups(specification, records, name)
    values = [group["value"] for group in groups if group["value"] is not None]
    return {
        "metric": name,
        "unit": " and ".join(sorted(units)),
        "percent": not units and bool(values) and all(0 <= value <= 1 for value in values),
        # Millimetres and pixels in one mean would be a number without meaning.
        "mixed_units": len(units) > 1,
        "groups": [] if len(units) > 1 else groups,
    }


def _worst(specification: Specification, records: Sequence[Record]) -> list[dict[str, Any]]:
    """The test items that a model does worst on, averaged over scenarios and seeds."""
    worst = []
    sign = 1 if specification.metric.higher_is_better else -1
    for model in specification.models:
        by_scenario = {
            scenario.id: average_over_seeds(
                list(_by_seed(records, scenario.id, model.name, specification.metric.name).values())
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


def _data_notes(records: Sequence[Record]) -> list[str]:
    """Circumstances that change how the scores are to be read."""
    notes = []
    evaluations = [record["evaluation"] for record in records]
    if any(evaluation.get("split_by") == "slice" for evaluation in evaluations):
        notes.append(
            "The data are split by slice, so slices of one patient lie on both sides of the "
            "split. Such scores are several times too good; split by patient to trust them."
        )
    items = [
        frozenset(row["id"] for row in evaluation.get("images") or []) for evaluation in evaluations
    ]
    if len(set(items)) > 1:
        notes.append(
            "The cells were tested on different images. Only images that all seeds share count."
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
