"""What the report of a study of generators states, as plain values for report.json."""

from collections.abc import Mapping, Sequence
from statistics import NormalDist, fmean, stdev
from typing import Any

from studies.report.generators.answer import answer_of
from studies.report.generators.rows import groups_of, of_group, points_of
from studies.report.state import of_study, state_of
from studies.run.generators import distances_of
from studies.specification.specification import Specification
from studies.statistics.cells import Record
from studies.statistics.distances import distance_interval, trainings

MOST_COLUMNS = 6


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
    content["answer"] = answer_of(specification, content)
    return content


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
        for record in of_group(records, scenario, model):
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
        found = of_group(records, scenario, model)
        keys = list(
            dict.fromkeys(key for record in found for key in record["evaluation"]["summary"])
        )
        scores = {}
        for key in keys:
            entries = [record["evaluation"]["summary"][key] for record in found]
            if all(entry.get("value") is not None for entry in entries):
                scores[key] = _pooled(key, entries)
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


def _pooled(name: str, entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean over seeds; with several its interval carries other trainings too."""
    values = [entry["value"] for entry in entries]
    deviations = [_deviation(entry) for entry in entries]
    ends: tuple[float | None, float | None] = (entries[0].get("low"), entries[0].get("high"))
    if len(values) > 1:
        trained = trainings(values, deviations)
        ends = (trained and distance_interval(name, trained)) or (None, None)
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


def _deviation(entry: Mapping[str, Any]) -> float | None:
    """Standard deviation over images and patients behind an entry's interval.

    Of the two halves of the interval the longer one: the other may be cut off at the score's range.
    """
    if entry.get("low") is None or entry.get("high") is None:
        return None
    longer = max(entry["high"] - entry["value"], entry["value"] - entry["low"])
    return float(longer / NormalDist().inv_cdf(0.975))
