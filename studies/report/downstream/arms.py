"""What each scenario's trainings saw, and which comparison is not a fair one."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from display.numbers import span
from studies.specification.arms import share_in_words
from studies.specification.specification import Specification
from studies.statistics.results import Record

# Epochs are whole batches, so numbers of images that are meant to be the same may differ a little.
_ABOUT_THE_SAME = 1.05


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
    """Take back "helps" and "hurts" where a scenario with synthetic images lacks its control."""
    for comparison in _without_control(specification, content):
        comparison["verdict"] = WITHHELD.get(comparison["verdict"], comparison["verdict"])


def unfair(specification: Specification, content: Mapping[str, Any]) -> list[str]:
    """Sentences about scenarios with synthetic images that lack a control that is fair to them."""
    images = {(row["scenario"], row["model"]): row["images"] for row in content["shown"]}
    longer: list[str] = []
    fewer: list[str] = []
    for comparison in _without_control(specification, content):
        shown = images.get((comparison["scenario"], comparison["model"]))
        against = images.get((comparison["against"], comparison["model"]))
        if shown is None or against is None:
            continue
        pair = f"{comparison['scenario']} against {comparison['against']}"
        (longer if shown > _ABOUT_THE_SAME * against else fewer).append(pair)
    sentences = []
    if longer:
        sentences.append(
            f"{_listed(longer)}: trained on more images than what it is compared with, and longer "
            "training may help by itself."
        )
    if fewer:
        sentences.append(
            f"{_listed(fewer)}: saw fewer real images than what it is compared with, since "
            "synthetic ones took their places."
        )
    if sentences:
        sentences[-1] += (
            " `controls: true` beside such a scenario adds the control that is lacking."
        )
    return sentences


def _without_control(
    specification: Specification, content: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Primary comparisons about synthetic data whose scenario has no controls of its own."""
    found = []
    for comparison in content["comparisons"]:
        arm = specification.scenario(comparison["scenario"])
        about_synthetic = comparison["isolates_synthetic"] and comparison["role"] == "primary"
        if about_synthetic and not arm.controls and arm.pretrain is None:
            found.append(comparison)
    return found


def _listed(pairs: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(pairs))
