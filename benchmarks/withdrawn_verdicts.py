"""What is left of verdicts that knew patients only, when other trainings count too.

python benchmarks/withdrawn_verdicts.py > table.md

Reads the kept reports below docs/results, whose per-patient scores were not kept: each arm's mean
and standard deviation over its seeds, and each difference with its interval over patients. Arms of
that mean and spread, and patients of that variance, go through the tests of today's studies. How
trainings differ from patient to patient was not kept; taken as nothing, it makes the variance the
sum of both sources, and p rather too large than too small. Holm's family is the study's.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from display.tables import markdown, text_table
from studies.statistics.estimates import Estimate, difference
from studies.statistics.significance import holm
from studies.statistics.two_sources import Arm

RESULTS = Path(__file__).parents[1] / "docs" / "results"
REPORTS = {
    "kits19_slices": "kits19_slices/report.md",
    **{
        study + data: f"classifiers/{study}{data}.md"
        for study in ("activations", "kernels", "class_balance", "synthetic_films")
        for data in ("", "_nih")
    },
}
LEVEL = 0.05
_MINUS = "\u2212"  # as reports print it
_NUMBER = rf"[+{_MINUS}]?\d[\d.]*(?:e[+{_MINUS}]\d+)?"


@dataclass(frozen=True)
class Kept:
    """A difference as a report keeps it: points of IoU, or AUROC."""

    pair: str
    told: str
    value: float
    half_width: float
    num_patients: int
    old_p: str
    old_reading: str


def number(text: str) -> float:
    """A number as reports print it."""
    return float(text.replace(_MINUS, "-"))


def rows_of(page: str, heading: str) -> list[list[str]]:
    """Cells of the first table below a heading, its own heading first."""
    below = page.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in below.splitlines() if line.startswith("|")]
    table = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [table[0], *table[2:]]


def spreads(page: str) -> dict[tuple[str, str], float]:
    """Standard deviation over seeds by (scenario, model)."""
    heading, *rows = rows_of(page, "Scores")
    found = {}
    for row in rows:
        for model, cell in zip(heading[1:], row[1:], strict=True):
            if seed_sd := re.search(rf"seed sd ({_NUMBER})", cell):
                found[row[0].split()[0], model] = number(seed_sd[1])
    return found


def differences(page: str) -> list[Kept]:
    """The rows of the table of tests."""
    kept = []
    for pair, told, _, patients, _, p_holm, _, reading in rows_of(page, "Tests")[1:]:
        value, low, high = (number(text) for text in re.findall(_NUMBER, told))
        half_width, first = (high - low) / 2, told.split()[0]
        kept.append(Kept(pair, first, value, half_width, int(patients), p_holm, reading))
    return kept


def arm(mean: float, seed_sd: float, seeds: int, of_patients: np.ndarray) -> Arm:
    """An arm of that mean and spread over seeds; `of_patients` (K,) sum to 0."""
    places = np.arange(seeds) - (seeds - 1) / 2
    scores = mean + seed_sd * places / places.std(ddof=1)
    return Arm(scores, scores[:, None] + of_patients)


def estimate(one: Kept, page: str) -> Estimate:
    """The difference for other patients and other trainings, from what was kept."""
    names, model = one.pair.split(", ", 1)
    first, second = names.split(" against ")
    seeds = int(re.search(r"seeds: (\d+)", page)[1])  # type: ignore[index]
    by_arm = spreads(page)
    number_of = one.num_patients
    error = one.half_width / 1.959964
    sides = np.resize([1.0, -1.0], number_of)
    sides -= sides.mean()
    # The jackknife's variance is the variance over patients / K.
    of_patients = sides / sides.std(ddof=1) * error * np.sqrt(number_of)
    nobody = np.zeros(number_of)
    others = [
        arm(0.0, sd, seeds, nobody)
        for (scenario, of_model), sd in by_arm.items()
        if of_model == model and scenario not in (first, second)
    ]
    treated = arm(one.value, by_arm[first, model], seeds, of_patients)
    control = arm(0.0, by_arm[second, model], seeds, nobody)
    return difference(treated, control, others)


def in_digits(p_value: float) -> str:
    """As reports print a p."""
    return "< 0.0001" if p_value < 0.0001 else f"{p_value:.2g}"


def verdict(value: float, p_value: float) -> str:
    """What today's correction would make of a difference."""
    if p_value >= LEVEL:
        return "nothing is shown"
    return "better" if value > 0 else "worse"


def table() -> str:
    """All kept differences, old and new, as Markdown."""
    rows = []
    for study, report in REPORTS.items():
        page = (RESULTS / report).read_text(encoding="utf-8")
        kept = differences(page)
        p_values = [float(estimate(one, page).p_value) for one in kept]
        for one, p_value, corrected in zip(kept, p_values, holm(p_values), strict=True):
            rows.append(
                (
                    f"[{study}]({report})",
                    one.pair,
                    one.told,
                    one.old_p,
                    one.old_reading,
                    in_digits(p_value),
                    in_digits(corrected),
                    verdict(one.value, corrected),
                )
            )
    heading = ("study", "pair", "difference", "old p, Holm", "withdrawn", "new p", "Holm", "left")
    return markdown(text_table(heading, rows))


if __name__ == "__main__":
    print(table())
