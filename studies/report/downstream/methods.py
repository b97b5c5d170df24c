"""Methods x sizes: what a study of several training sizes says of each, its cost, and what to take.

Scenarios that share a name are one method at several shares of the training patients.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from display.numbers import count, difference, p_phrase, score
from studies.report.downstream.intervals import interval_notes
from studies.specification.arms import data_setting
from studies.specification.parts import Scenario
from studies.specification.specification import Specification
from studies.statistics.cells import Record
from studies.statistics.comparisons import ONE_TRAINING

_KEPT = ("value", "low", "high", "low_patients", "high_patients", "num_patients", "no_interval")


def has_sizes(specification: Specification) -> bool:
    """Whether a study trains on shares of the patients, so that it has this section."""
    return any(scenario.size is not None for scenario in specification.scenarios)


def size_in_words(size: float) -> str:
    """Such as "25 % of patients", from a share."""
    return "all patients" if size == 1 else f"{100 * size:g} % of patients"


def about_methods(
    specification: Specification, records: Sequence[Record], content: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """An entry for each method, size and model: score, difference to no method, verdict and cost.

    Args:
        specification: A study with sizes.
        records: Its finished cells.
        content: With groups, and comparisons whose verdicts are final.

    Returns:
        scenario, method, size, model, baseline and placebo (whether it is one), score (as a group),
        against_baseline (a comparison, or None), role, verdict, claimed (the comparisons that the
        verdict rests on), and cost. Controls are left out.
    """
    found = []
    for scenario in specification.scenarios:
        if scenario.control_of:
            continue
        against = specification.baseline_of(scenario)
        for model in specification.models:
            key = (scenario.id, model.name)
            group = next(g for g in content["groups"] if (g["scenario"], g["model"]) == key)
            rows = [c for c in content["comparisons"] if (c["scenario"], c["model"]) == key]
            beside = next((row for row in rows if row["against"] == against), None)
            decides = [row for row in rows if row["role"] == "primary"]
            found.append(
                {
                    "scenario": scenario.id,
                    "method": scenario.name,
                    "size": scenario.size or 1.0,
                    "model": model.name,
                    "baseline": scenario.id == against,
                    "placebo": scenario.placebo,
                    "score": {name: group[name] for name in (*_KEPT, "seeds")},
                    "against_baseline": None
                    if beside is None or scenario.id == against
                    else {name: beside[name] for name in _KEPT},
                    "role": (decides or rows or [{"role": None}])[0]["role"],
                    "verdict": decides[0]["verdict"] if decides else None,
                    "p_holm": decides[0]["p_holm"] if decides else None,
                    "claimed": [
                        {name: row[name] for name in ("against", *_KEPT)} for row in decides
                    ],
                    "cost": _cost(specification, records, scenario, model.name),
                }
            )
    return found


def _cost(
    specification: Specification, records: Sequence[Record], scenario: Scenario, model: str
) -> dict[str, float | None]:
    """Median over cells of images a second and seconds a step of their trainings.

    What was resumed is left out, since its time is that of its last part.
    """
    speeds = [
        record["timings"]["images_seen"] / record["timings"]["fit_seconds"]
        for record in records
        if (record["scenario"], record["model"]) == (scenario.id, model)
        and not record["timings"].get("resumed")
        and record["timings"].get("fit_seconds")
    ]
    if not speeds:
        return {"images_a_second": None, "seconds_a_step": None}
    batch = data_setting(specification, scenario, specification.model(model), "batch_size")
    speed = median(speeds)
    return {
        "images_a_second": speed,
        "seconds_a_step": None if batch is None else int(batch) / speed,
    }


def could_have_shown(specification: Specification, content: Mapping[str, Any]) -> str:
    """The smallest differences that the family could have shown, in one sentence; or nothing."""
    known = sorted(
        row["could_show"]
        for row in content["comparisons"]
        if row["role"] == "primary" and row["could_show"] is not None
    )
    if not known:
        return ""
    percent = specification.metric.percent
    unit = " points" if percent else f" of {specification.metric.title}"
    low, high = score(known[0], percent), score(known[-1], percent)
    ends = low if low == high else f"{low} to {high}"
    return (
        f"The smallest difference that this study could have shown is {ends}{unit}, by comparison: "
        "so large a true one would be shown by 4 of 5 such studies."
    )


def recommendations(specification: Specification, content: Mapping[str, Any]) -> list[str]:
    """What to take for each model and size, as far as the tests and the placebo carry it."""
    lines = []
    for model in specification.models:
        every = [one for one in content["methods"] if one["model"] == model.name]
        several = len(specification.models) > 1
        for size in sorted({one["size"] for one in every if one["verdict"] is not None}):
            here = [one for one in every if one["size"] == size]
            where = size_in_words(size) + (f", {model.title}" if several else "")
            lines.append(f"With {where}: {_recommended(specification, here)}")
    explored = [
        one
        for one in content["methods"]
        if one["role"] == "exploratory" and not one["baseline"] and one["against_baseline"]
        and one["against_baseline"]["value"] is not None
    ]  # fmt: skip
    if len(explored) > 1:
        sign = 1 if specification.metric.higher_is_better else -1
        best = max(explored, key=lambda one: sign * one["against_baseline"]["value"])
        percent = specification.metric.percent
        lines.append(
            f"Of {count(len(explored), 'arm')} explored, {best['method']} with "
            f"{size_in_words(best['size'])} came out best "
            f"({difference(best['against_baseline']['value'], percent)}): the best of so many "
            "looks good by chance too. It may be the primary comparison of a next study, and is no "
            "recommendation."
        )
    return lines


def _recommended(specification: Specification, here: Sequence[Mapping[str, Any]]) -> str:
    """One size of one model."""
    decided = [one for one in here if one["verdict"] is not None]
    verdicts = {one["verdict"] for one in decided}
    if verdicts <= {ONE_TRAINING, "too few patients to tell", "not tested"}:
        return "no recommendation, since nothing could be tested yet."
    noise = _of_placebo(here)
    helps = [one for one in decided if one["verdict"] == "helps"]
    sure = [one for one in helps if noise is not None and _smallest_claimed(one) > noise]
    parts = []
    if sure:
        parts.append(
            f"take {_listed(specification, sure)}. Shown at {1 - specification.confidence:.2g} "
            "after Holm's correction, and larger than the placebo's difference"
        )
        if len(sure) > 1:
            parts[-1] += "; which of them is best was not tested, so take the cheaper"
    for one in helps:
        if one not in sure:
            told = (
                "no placebo says how large a difference nothing makes"
                if noise is None
                else "nothing made a difference as large (the placebo)"
            )
            parts.append(f"{_listed(specification, [one])} helped, but {told}: repeat it first")
    hurts = [one["method"] for one in decided if one["verdict"] == "hurts"]
    if hurts:
        parts.append(f"leave out {' and '.join(hurts)}, which hurt")
    if not parts:
        return (
            "no recommendation. Nothing is shown to be better or worse than no augmentation, which "
            "is not to say that nothing is; choose by what keeps the images' meaning, and by cost."
        )
    return "; ".join(parts) + "."


def _listed(specification: Specification, methods: Sequence[Mapping[str, Any]]) -> str:
    """Methods with the differences that their verdicts rest on."""
    percent = specification.metric.percent
    told = []
    for one in methods:
        differences = [
            " ".join(
                [
                    difference(row["value"], percent),
                    *interval_notes(row, percent, signed=True)[:1],
                    f"to {row['against']}",
                ]
            )
            for row in one["claimed"]
        ]
        told.append(f"{one['method']} ({', '.join(differences)}; {p_phrase(one['p_holm'])})")
    return " or ".join(told)


def _of_placebo(here: Sequence[Mapping[str, Any]]) -> float | None:
    """Size of the difference that nothing made at this size; None without a placebo of it."""
    sizes = [_size_of(one) for one in here if one["placebo"]]
    return max(sizes) if sizes else None


def _smallest_claimed(one: Mapping[str, Any]) -> float:
    return min(abs(row["value"]) for row in one["claimed"])


def _size_of(one: Mapping[str, Any]) -> float:
    beside = one["against_baseline"]
    return abs(beside["value"]) if beside and beside["value"] is not None else 0.0
