"""What limits a study's answer: what is not finished, few seeds or patients, unequal trainings."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from display.numbers import count, listed, score
from studies.report.downstream.arms import unfair
from studies.report.state import unfinished
from studies.specification.specification import Specification
from studies.statistics.comparisons import ONE_TRAINING

_FEW_PATIENTS = 10
_FINISH = "For a verdict run the study again with the same --out: it does what is not finished."


def limits(
    specification: Specification,
    content: Mapping[str, Any],
    chosen: Sequence[Sequence[Mapping[str, Any]]],
) -> list[str]:
    """Sentences for the reader of an answer, such as that it rests on one training of each arm.

    Args:
        specification: The study.
        content: Its numbers, see `analyse`.
        chosen: The comparisons of each claim that answers.
    """
    found = unfinished(content)
    rows = [row for rows in chosen for row in rows]
    once = [row for row in rows if row["verdict"] == ONE_TRAINING]
    more = (
        f"For a verdict write more seeds into the study's YAML, such as `seeds: "
        f"{_more_seeds(specification)}`, and run it again with the same --out: what is finished is "
        "kept."
    )
    if once and len(once) == len(rows):
        found.append(
            "One seed: numbers are about this one training of each, and intervals about other "
            f"patients only. Another seed may turn a difference round. {more}"
        )
    elif once:
        pairs = [
            f"{specification.model(row['model']).title}, {row['scenario']} against {row['against']}"
            for row in once
        ]
        found.append(
            f"One training of an arm: {'; '.join(pairs)}. These numbers are about that training, "
            "and their intervals about other patients only; the other comparisons rest on more. "
            f"{more if len(specification.seeds) == 1 else _FINISH}"
        )
    reasons = {row["no_interval"] for rows in chosen for row in rows if row["no_interval"]}
    found += [f"No interval and no test: {reason}." for reason in sorted(reasons)]
    patients = [group["num_patients"] for group in content["groups"] if group["num_patients"]]
    if patients and min(patients) < _FEW_PATIENTS:
        found.append(
            f"Intervals rest on {count(min(patients), 'test patient')}: they were measured from "
            f"{_FEW_PATIENTS} on, and may be too narrow below."
        )
    found += _shared_seeds(specification)
    found += _unsteady(specification, content)
    found += unfair(specification, content)
    found += (content["target"] or {"limits": []})["limits"]
    found += _no_better_than_trivial(specification, content)
    return found


def _more_seeds(specification: Specification) -> list[int]:
    """The study's seeds and as many new ones as make five."""
    seeds = list(specification.seeds)
    new = (seed for seed in range(max(seeds) + 1, max(seeds) + 6))
    return seeds + [next(new) for _ in range(5 - len(seeds))]


def _shared_seeds(specification: Specification) -> list[str]:
    """What equal seeds in all scenarios mean, as a study that an earlier version began has them."""
    plain = [scenario for scenario in specification.scenarios if not scenario.placebo]
    if not specification.shared_seeds or len(plain) < 2 or len(specification.seeds) < 2:
        return []
    return [
        "The scenarios share their seeds, as an earlier version gave them, so that their trainings "
        "begin alike, which the tests do not know. In simulated studies with a correlation of 0.9 "
        "between equal seeds, tests show next to nothing falsely and miss half of the differences "
        "that a test which knows it would show (3 seeds); where only scenarios without synthetic "
        "images are alike, they show 7 % falsely, and the placebo 8 %, in place of 5 %. A study "
        "that is begun anew gives every scenario seeds of its own."
    ]


def _unsteady(specification: Specification, content: Mapping[str, Any]) -> list[str]:
    """Arms whose trainings vary far more than the others', with the training that is farthest."""
    percent = specification.metric.percent
    sentences = []
    for group in content["groups"]:
        if not group["unsteady"]:
            continue
        others = [
            other["seed_spread"]
            for other in content["groups"]
            if other["model"] == group["model"]
            and other["seed_spread"] is not None
            and not other["unsteady"]
        ]
        scores = {seed: one for seed, one in group["seed_means"].items() if one is not None}
        farthest = max(scores, key=lambda seed: abs(scores[seed] - median(scores.values())))
        title = specification.model(group["model"]).title
        sentences.append(
            f"{title} in scenario {group['scenario']}: its trainings vary far more than the "
            f"others' (standard deviation {score(group['seed_spread'], percent)} against "
            f"{score(max(others), percent)} at most); farthest from them is seed {farthest}, with "
            f"{score(scores[farthest], percent)}. Look at that training. Comparisons of other "
            "scenarios do not use this spread."
        )
    return sentences


def _no_better_than_trivial(specification: Specification, content: Mapping[str, Any]) -> list[str]:
    trivial = content["trivial"].get(specification.metric.name)
    sign = 1 if specification.metric.higher_is_better else -1
    names = [
        f"{specification.model(group['model']).title} in scenario {group['scenario']}"
        for group in content["groups"]
        if trivial is not None
        and group["value"] is not None
        and sign * (group["value"] - trivial) <= 0
    ]
    if not names:
        return []
    return [
        f"No better than finding nothing at all (all background): {listed(names)}. Comparisons "
        "with these say little about the data."
    ]
