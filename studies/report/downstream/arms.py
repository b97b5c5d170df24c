"""What each scenario's trainings saw, and which comparison is not a fair one."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, cast

from display.numbers import span
from studies.specification.arms import share_in_words
from studies.specification.specification import Specification
from studies.statistics.cells import Record
from studies.statistics.comparisons import by_claim
from studies.statistics.fairness import Subject, subject_of, unfairness


def images_shown(specification: Specification, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Training images of each scenario and model, each counted as often as it was shown.

    Returns:
        scenario, model, images (mean over seeds) and how many of them were real; None where cells
        of an earlier version did not count them. Pairs without a finished cell are left out.
    """
    found = []
    for scenario in specification.scenarios:
        for model in specification.models:
            timings = [
                record["timings"]
                for record in records
                if (record["scenario"], record["model"]) == (scenario.id, model.name)
                and "timings" in record
            ]
            if not timings:
                continue
            real = [timing.get("real_images_seen") for timing in timings]
            found.append(
                {
                    "scenario": scenario.id,
                    "model": model.name,
                    "images": round(sum(t["images_seen"] for t in timings) / len(timings)),
                    "real": None if None in real else round(sum(real) / len(real)),
                }
            )
    return found


def shown_in_words(content: Mapping[str, Any], scenario: str) -> str:
    """Such as "18,432 images shown: half of the images synthetic"; nothing before a cell."""
    rows = [row for row in content["shown"] if row["scenario"] == scenario]
    if not rows:
        return ""
    numbers = f"{span(sorted({row['images'] for row in rows}), '{:,}'.format)} images shown"
    shares = {
        share_in_words(Fraction(round(100 * (1 - row["real"] / row["images"])), 100))
        for row in rows
        if row["real"] is not None and row["images"]
    }
    return f"{numbers}: {' or '.join(sorted(shares))}" if shares else numbers


# What a significant difference is called where synthetic images may not be its cause.
WITHHELD = {"helps": "better, without control", "hurts": "worse, without control"}


def withhold(specification: Specification, content: Mapping[str, Any]) -> None:
    """Take back "helps" and "hurts" of synthetic images that lack a fair comparison."""
    for rows, lacking in _claims_of_synthetic(specification, content):
        for row in rows:
            row["lacking"] = lacking
            if lacking:
                row["verdict"] = WITHHELD.get(row["verdict"], row["verdict"])


def unfair(specification: Specification, content: Mapping[str, Any]) -> list[str]:
    """Sentences about scenarios with synthetic images that lack a control that is fair to them."""
    said: dict[Subject, dict[str, None]] = {"synthetic": {}, "generator": {}}
    for rows, lacking in _claims_of_synthetic(specification, content):
        if lacking:
            against = [row["against"] for row in rows]
            subject = subject_of(specification, rows[0]["scenario"], against)
            told = f"{rows[0]['scenario']} against {' and '.join(against)}: {'; '.join(lacking)}"
            said[subject][told] = None
    closing: dict[Subject, str] = {
        "synthetic": "synthetic data rests on it. `controls: true` beside such a scenario adds the "
        "controls that are lacking.",
        "generator": "these generators rests on it.",
    }
    return [
        f"{'. '.join(those)}. Any of this may make a difference by itself, so no claim about "
        f"{closing[subject]}"
        for subject, those in said.items()
        if those
    ]


def _claims_of_synthetic(
    specification: Specification, content: Mapping[str, Any]
) -> list[tuple[list[dict[str, Any]], list[str]]]:
    """Primary claims about synthetic images or their generator, and what they lack."""
    shown = {
        (row["scenario"], row["model"]): (row["images"], row["real"]) for row in content["shown"]
    }
    found = []
    for claimed in by_claim(content["comparisons"]):
        rows, first = cast(list[dict[str, Any]], claimed), claimed[0]
        against = [row["against"] for row in rows]
        about = subject_of(specification, first["scenario"], against)
        if first["role"] == "primary" and about != "change":
            lacking = unfairness(specification, first["scenario"], against, first["model"], shown)
            found.append((rows, lacking))
    return found
