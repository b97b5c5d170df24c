"""What the report of a study of generators states, as plain values for report.json."""

from collections.abc import Mapping, Sequence
from functools import partial
from statistics import NormalDist, fmean, stdev
from typing import Any

from display.numbers import bracketed, difference, score, span
from studies.report.state import of_study, state_of, unfinished
from studies.run.generators import distances_of
from studies.specification.specification import Specification
from studies.statistics.cells import Record
from studies.statistics.distances import difference_p, distance_interval

MOST_COLUMNS = 6
_digits = partial(score, percent=False)


def analyse(
    specification: Specification, records: Sequence[Record], failures: Sequence[Record]
) -> dict[str, Any]:
    """Tables, curves and the answer of a study of generators, finished or not.

    Args:
        specification: The study; its `distances` are set.
        records: JSON of its finished cells.
        failures: JSON of failed jobs.
    """
    records = of_study(specification, records)
    measures = _measures(specification, records)
    content: dict[str, Any] = {
        **state_of(specification, records, failures),
        "kind": "generators",
        "measures": measures,
        "columns": _columns(specification, records),
        "training": {
            measure: _training_rows(specification, records, measure) for measure in measures
        },
        "circumstances": {measure: _circumstances(records, measure) for measure in measures},
        "held_out": _held_out(specification, records),
        "data_notes": [],
    }
    content["answer"] = _answer(specification, content)
    return content


def groups_of(specification: Specification) -> list[tuple[str, str]]:
    """(scenario, model) of every row, in the study's order."""
    return [(s.id, m.name) for s in specification.scenarios for m in specification.models]


def title_of(specification: Specification, scenario: str, model: str) -> str:
    """What tells a row from the others: the model, the scenario, or both."""
    named = specification.scenario(scenario).name
    titled = specification.model(model).title
    if sum(not one.placebo for one in specification.scenarios) == 1:
        return f"{titled}, placebo" if specification.scenario(scenario).placebo else titled
    return named if len(specification.models) == 1 else f"{titled}, {named}"


def points_of(record: Record, measure: str) -> list[tuple[float, int, float]]:
    """(images seen, epoch from 1, distance) of every measurement."""
    rows = record["measured"].get(f"val/{measure}", [])
    return [(images_seen, int(epoch) + 1, value) for images_seen, epoch, value in rows]


def _of_group(records: Sequence[Record], scenario: str, model: str) -> list[Record]:
    found = [r for r in records if (r["scenario"], r["model"]) == (scenario, model)]
    return sorted(found, key=lambda record: record["seed"])


def _measures(specification: Specification, records: Sequence[Record]) -> list[str]:
    """Names of the measured distances, the study's own first."""
    first = specification.metric.name
    names = {
        name.removeprefix("val/")
        for record in records
        for name in record["measured"]
        if name.startswith(("val/frechet_", "val/fid"))
        and not name.endswith(("_best", "_floor", "_at_floor_size"))
    }
    return [first, *sorted(names - {first})]


def _columns(specification: Specification, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Epochs that the table shows, each with the images seen by then (they may differ)."""
    seen: dict[int, set[int]] = {}
    for record in records:
        for images_seen, epoch, _ in points_of(record, specification.metric.name):
            seen.setdefault(epoch, set()).add(int(images_seen))
    epochs = list(distances_of(specification).epochs) or sorted(seen)
    if len(epochs) > MOST_COLUMNS:
        steps = range(1, MOST_COLUMNS + 1)
        epochs = [epochs[round(step * len(epochs) / MOST_COLUMNS) - 1] for step in steps]
    return [{"epoch": epoch, "images_seen": sorted(seen.get(epoch, ()))} for epoch in epochs]


def _training_rows(
    specification: Specification, records: Sequence[Record], measure: str
) -> list[dict[str, Any]]:
    """Distance to the training films by epoch: mean over seeds, each seed, and their spread."""
    rows = []
    for scenario, model in groups_of(specification):
        by_epoch: dict[int, dict[str, float]] = {}
        for record in _of_group(records, scenario, model):
            for _, epoch, value in points_of(record, measure):
                by_epoch.setdefault(epoch, {})[str(record["seed"])] = value
        rows.append(
            {
                "scenario": scenario,
                "model": model,
                "epochs": {str(epoch): _summary(by_epoch[epoch]) for epoch in sorted(by_epoch)},
            }
        )
    return rows


def _summary(by_seed: Mapping[str, float]) -> dict[str, Any]:
    values = list(by_seed.values())
    spread = stdev(values) if len(values) > 1 else None
    return {"mean": fmean(values), "seed_spread": spread, "seeds": dict(by_seed)}


def _circumstances(records: Sequence[Record], measure: str) -> dict[str, Any]:
    """Floor and numbers of images of the training-time distances; ranges over the cells."""

    def last(name: str) -> list[float]:
        found = [record["measured"].get(f"val/{name}") for record in records]
        return sorted(rows[-1][2] for rows in found if rows)

    return {
        "floor": last(f"{measure}_floor"),
        "num_at_floor": last("num_at_floor"),
        "num_real": last("num_real"),
        "num_generated": last("num_generated"),
    }


def _held_out(specification: Specification, records: Sequence[Record]) -> list[dict[str, Any]]:
    """The finished generators against held-out films, one row per scenario and model."""
    rows = []
    for scenario, model in groups_of(specification):
        found = _of_group(records, scenario, model)
        keys = list(
            dict.fromkeys(key for record in found for key in record["evaluation"]["summary"])
        )
        scores = {}
        for key in keys:
            entries = [record["evaluation"]["summary"][key] for record in found]
            if all(entry.get("value") is not None for entry in entries):
                scores[key] = _pooled(entries)
        sizes = [
            evaluation
            for record in found
            for evaluation in record["evaluation"]["by_extractor"].values()
        ]
        rows.append(
            {
                "scenario": scenario,
                "model": model,
                "seeds": [record["seed"] for record in found],
                "images_seen": sorted({int(r["timings"]["images_seen"]) for r in found}),
                "fit_seconds": [record["timings"]["fit_seconds"] for record in found],
                "num_real": sizes[0]["num_real"] if sizes else None,
                "num_real_patients": sizes[0]["num_real_patients"] if sizes else None,
                "num_synthetic": sizes[0]["num_synthetic"] if sizes else None,
                "scores": scores,
            }
        )
    return rows


def _pooled(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean over seeds; with several its interval carries other trainings too."""
    values = [entry["value"] for entry in entries]
    deviations = [_deviation(entry) for entry in entries]
    ends: tuple[float | None, float | None] = (entries[0].get("low"), entries[0].get("high"))
    if len(values) > 1:
        known = [deviation for deviation in deviations if deviation is not None]
        found = distance_interval(values, known) if len(known) == len(values) else None
        ends = found or (None, None)
    pooled: dict[str, Any] = {
        "value": fmean(values),
        "low": ends[0],
        "high": ends[1],
        "seed_spread": stdev(values) if len(values) > 1 else None,
        "seeds": values,
        "deviations": deviations,
    }
    for key in ("floor", "value_at_floor_size", "num_images_at_floor"):
        known = [entry[key] for entry in entries if entry.get(key) is not None]
        if known:
            pooled[key] = fmean(known)
    return pooled


def _answer(specification: Specification, content: Mapping[str, Any]) -> dict[str, Any]:
    """The ranking by distance to held-out films, and what it does not say."""
    measure, title = specification.metric.name, specification.metric.title
    measured = [row for row in content["held_out"] if measure in row["scores"]]
    ranked = sorted(
        (row for row in measured if not specification.scenario(row["scenario"]).placebo),
        key=lambda row: row["scores"][measure]["value"],
    )
    if not ranked:
        return {"headline": "No answer yet: no cell is finished.", "lines": [], "limits": []}
    best = ranked[0]
    name = title_of(specification, best["scenario"], best["model"])
    close = [
        row
        for row in ranked[1:]
        if not _told_apart(row["scores"][measure], best["scores"][measure])
    ]
    single = len(best["seeds"]) == 1
    opening = "In this one training of each, nearest" if single else "Nearest"
    headline = f"{opening} to held-out films: {name}, {title} {_shown(best['scores'][measure])}."
    if close and len(close) == len(ranked) - 1:
        headline += " Nothing is told apart from it."
    elif close:
        others = [title_of(specification, row["scenario"], row["model"]) for row in close]
        headline += f" Not told apart from it: {', '.join(others)}."
    lines = []
    for row in ranked:
        entry = row["scores"][measure]
        reading = "nearest" if row is best else "not told apart" if row in close else "farther"
        lines.append(
            {
                "model": title_of(specification, row["scenario"], row["model"]),
                "pair": f"{span(row['images_seen'], '{:,}'.format)} images seen",
                "verdict": reading,
                "numbers": _shown(entry)
                + (
                    f"; with {entry['num_images_at_floor']:.0f} images a side "
                    f"{score(entry['value_at_floor_size'], False)}, real against real "
                    f"{score(entry['floor'], False)}"
                    if "floor" in entry
                    else ""
                ),
            }
        )
    lines += _placebos(specification, measured)
    return {"headline": headline, "lines": lines, "limits": _limits(specification, content, ranked)}


def _placebos(
    specification: Specification, measured: Sequence[Mapping[str, Any]]
) -> list[dict[str, str]]:
    """How far the baseline and the same with other seeds are apart: what the seeds alone make."""
    measure = specification.metric.name
    found = {(row["scenario"], row["model"]): row["scores"][measure]["value"] for row in measured}
    lines = []
    for (scenario, model), value in found.items():
        baseline = found.get((specification.baseline_scenario, model))
        if specification.scenario(scenario).placebo and baseline is not None:
            lines.append(
                {
                    "model": specification.model(model).title,
                    "pair": "placebo: the difference that nothing made",
                    "verdict": "placebo",
                    "numbers": f"{difference(value - baseline, False)}, with other seeds alone",
                }
            )
    return lines


def _deviation(entry: Mapping[str, Any]) -> float | None:
    """Standard deviation over images and patients behind an entry's interval.

    Of the two halves of the interval the longer one: the other may be cut off at the score's range.
    """
    if entry.get("low") is None or entry.get("high") is None:
        return None
    longer = max(entry["high"] - entry["value"], entry["value"] - entry["low"])
    return float(longer / NormalDist().inv_cdf(0.975))


def _told_apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two mean distances differ for other trainings too; never where one trained once.

    An interval over images and patients says nothing about another training of a method, so two
    single trainings whose intervals are apart show no difference between methods.
    """
    if None in one["deviations"] or None in other["deviations"]:
        return False
    p_value = difference_p((one["seeds"], one["deviations"]), (other["seeds"], other["deviations"]))
    return p_value is not None and p_value < 0.05


def _limits(
    specification: Specification, content: Mapping[str, Any], ranked: Sequence[Mapping[str, Any]]
) -> list[str]:
    limits = unfinished(content)
    if any(len(row["seeds"]) == 1 for row in ranked):
        limits.append(
            "One seed, of some or of all: another training of the same generator may rank "
            "elsewhere, and nothing is said of the methods. The intervals are over images and "
            "patients. For a ranking of methods train more seeds, such as "
            "`seeds: [0, 1, 2, 3, 4]` in the study's YAML."
        )
    at_floor = [
        row["scores"][specification.metric.name]
        for row in ranked
        if "floor" in row["scores"][specification.metric.name]
    ]
    if at_floor and all(e["value_at_floor_size"] > 2 * e["floor"] for e in at_floor):
        limits.append(
            "Every generator is more than twice as far from real films as real films are from one "
            "another: none of these sets would pass for real in these features."
        )
    limits.append(
        "A distance rises when there are fewer images, so only numbers with the same numbers of "
        "images and the same extractor compare. A generator that copies its training films scores "
        "well: distances are no evidence of privacy, and none of use."
    )
    return limits


def _shown(entry: Mapping[str, Any]) -> str:
    text = score(entry["value"], False)
    return text if entry["low"] is None else f"{text} {bracketed(entry, _digits)}"
