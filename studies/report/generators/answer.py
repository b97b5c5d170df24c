"""Which generator comes nearest to held-out films, and what that does not say."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from display.numbers import bracketed, count, difference, p_phrase, score, span
from studies.report.generators.rows import title_of
from studies.report.state import unfinished
from studies.specification.specification import Specification
from studies.statistics.distances import Difference, all_differences, trainings

_digits = partial(score, percent=False)


def answer_of(specification: Specification, content: Mapping[str, Any]) -> dict[str, Any]:
    """The ranking by distance to held-out films, and what it does not say."""
    measure = specification.metric.name
    measured = [row for row in content["held_out"] if measure in row["scores"]]
    ranked = sorted(
        (row for row in measured if not specification.scenario(row["scenario"]).placebo),
        key=lambda row: row["scores"][measure]["value"],
    )
    if not ranked:
        return {"headline": "No answer yet: no cell is finished.", "lines": [], "limits": []}
    best = ranked[0]
    methods = [
        trainings(row["scores"][measure]["seeds"], row["scores"][measure]["deviations"])
        for row in ranked
    ]
    differences = all_differences(methods)
    lines, close = [], []
    for place, row in enumerate(ranked):
        behind = differences.get((0, place))
        reading = "nearest" if row is best else "farther"
        if row is not best and not (behind and behind.p < 0.05):
            reading = "not told apart"
            close.append(row)
        lines.append(
            {
                "model": title_of(specification, row["scenario"], row["model"]),
                "pair": f"{span(row['images_seen'], '{:,}'.format)} images seen",
                "verdict": reading,
                "numbers": _numbers(row["scores"][measure]) + _behind(behind, len(differences)),
            }
        )
    titles = [title_of(specification, row["scenario"], row["model"]) for row in ranked]
    # Of the others it is said already that they are farther than the nearest.
    further = {
        pair: of
        for pair, of in differences.items()
        if ranked[pair[1]] in close and of.low > 0 and of.p < 0.05
    }
    lines += [
        {
            "model": titles[later],
            "pair": f"against {titles[earlier]}",
            "verdict": "farther",
            "numbers": _difference(of, len(differences)),
        }
        for (earlier, later), of in further.items()
    ]
    return {
        "headline": _headline(specification, ranked, close) + _also(titles, list(further)),
        "lines": lines + _placebos(specification, measured),
        "limits": _limits(specification, content, ranked),
    }


def _headline(
    specification: Specification,
    ranked: Sequence[Mapping[str, Any]],
    close: Sequence[Mapping[str, Any]],
) -> str:
    """Which is nearest, and which of the others (`close`) are not told apart from it."""
    best, metric = ranked[0], specification.metric
    name = title_of(specification, best["scenario"], best["model"])
    single = len(best["seeds"]) == 1
    opening = "In this one training of each, nearest" if single else "Nearest"
    distance = _shown(best["scores"][metric.name])
    headline = f"{opening} to held-out films: {name}, {metric.title} {distance}."
    if close and len(close) == len(ranked) - 1:
        headline += " Nothing is told apart from it."
    elif close:
        others = [title_of(specification, row["scenario"], row["model"]) for row in close]
        headline += f" Not told apart from it: {', '.join(others)}."
    elif len(ranked) > 1:
        headline += " All others are farther."
    return headline


def _also(titles: Sequence[str], pairs: Sequence[tuple[int, int]]) -> str:
    """Sentences on methods that are told apart from others, though not from the nearest.

    The nearest one may vary so much between trainings that nothing is told apart from it.

    Args:
        titles: Of the methods, the nearest first.
        pairs: (place, place of the one that is farther).
    """
    nearer: dict[int, list[str]] = {}
    for earlier, later in pairs:
        nearer.setdefault(later, []).append(titles[earlier])
    return "".join(
        f" {titles[later]} is farther than {' and '.join(names)}."
        for later, names in sorted(nearer.items())
    )


def _numbers(entry: Mapping[str, Any]) -> str:
    """A distance with its interval, and beside the floor where that was measured."""
    if "floor" not in entry:
        return _shown(entry)
    return (
        f"{_shown(entry)}; with {entry['num_images_at_floor']:.0f} images a side "
        f"{score(entry['value_at_floor_size'], False)}, real against real "
        f"{score(entry['floor'], False)}"
    )


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


def _behind(behind: Difference | None, num_pairs: int) -> str:
    """How much farther than the nearest one, of `num_pairs`; nothing where one trained once.

    An interval over images and patients says nothing about another training of a method, so two
    single trainings whose intervals are apart show no difference between methods.
    """
    return "" if behind is None else f"; from the nearest {_difference(behind, num_pairs)}"


def _difference(of: Difference, num_pairs: int) -> str:
    ends = f"{difference(of.low, False)} to {difference(of.high, False)}"
    return (
        f"{difference(of.value, False)} [{ends}], "
        f"{p_phrase(of.p)} after Holm over {count(num_pairs, 'pair')}"
    )


def _limits(
    specification: Specification, content: Mapping[str, Any], ranked: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Sentences on what the ranking does not say."""
    limits = unfinished(content)
    if any(len(row["seeds"]) == 1 for row in ranked):
        limits.append(
            "One seed, of some or of all: another training of the same generator may rank "
            "elsewhere, and nothing is said of the methods. The intervals are over images and "
            "patients. For a ranking of methods train more seeds, such as "
            "`seeds: [0, 1, 2, 3, 4]` in the study's YAML."
        )
    scores = [row["scores"][specification.metric.name] for row in ranked]
    at_floor = [entry for entry in scores if "floor" in entry]
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
