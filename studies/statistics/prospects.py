"""What a study could show before it is run: from spreads of a kept study, or from assumed ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metrics.auroc_intervals import rarest_class, too_few_of_a_class
from provenance import UserError
from studies.specification.claims import claims
from studies.specification.specification import Specification
from studies.statistics.cells import Record
from studies.statistics.reach import (
    Spread,
    patients_needed,
    smallest_difference,
    trainings_needed,
)
from studies.statistics.results import pairs_of
from studies.statistics.whole_set import is_ranking, is_set_metric

WANTED = 0.03  # three points: what the tables ask seeds and patients for
ASSUMED_BOTH = 0.05
# Standard deviations between trainings, and of the arms' difference between patients.
_ASSUMED_TRAININGS = (0.005, 0.01, 0.02)
_ASSUMED = [(trainings, patients) for trainings in _ASSUMED_TRAININGS for patients in (0.05, 0.1)]
_ASSUMED_AUROC = (0.8, 0.9)
# Correlation of a film's scores by two trainings, as `benchmarks/placebo.py` draws them.
_SHARED_EASE = 0.6


@dataclass(frozen=True)
class Prospect:
    """What one comparison could show.

    Attributes:
        name: Which comparison; empty where all are alike.
        spread: What it rests on.
        difference: The smallest that four of five such studies would show; None where none can.
        seeds: How many would show `WANTED` on these patients; None: 100 would not.
        patients: How many would show it with these seeds; None: 100 000 would not.
    """

    name: str
    spread: Spread
    difference: float | None
    seeds: int | None
    patients: int | None


def first_level(specification: Specification) -> tuple[int, float]:
    """Claims of the primary family, and the level that Holm's method asks of the first of them."""
    primary = [one for one in claims(specification) if one.role == "primary"]
    size = len(primary) * len(specification.models)
    return size, (1 - specification.confidence) / max(1, size)


def has_prospects(specification: Specification) -> bool:
    """Whether differences of the study's score are tested, and can be foreseen from spreads."""
    return specification.kind == "downstream" and specification.metric.name != "ece"


def can_assume(specification: Specification) -> bool:
    """Whether spreads can be assumed: of shares of one, which have points, and of AUROC."""
    metric = specification.metric
    return metric.name == "auroc" or (metric.percent and not is_set_metric(metric.name))


def lack_of_patients(
    specification: Specification, labels: NDArray[np.integer], patients: Sequence[str]
) -> str | None:
    """Why these test images give the study's score no interval; None where they do.

    Args:
        specification: The study; scores that do not rank are not asked about.
        labels: (N,) classes.
        patients: (N,) whose they are.
    """
    if not is_ranking(specification.metric.name):
        return None
    return too_few_of_a_class(labels, patients)


def share_of_a_class(labels: NDArray[np.integer], patients: Sequence[str]) -> float:
    """Share of the patients of the rarer of two classes, each counted once; half of other numbers.

    Arguments as in `lack_of_patients`.
    """
    if len(np.unique(labels)) != 2:
        return 0.5
    owner = np.unique(np.array(patients), return_inverse=True)[1]
    of_patients = np.unique(rarest_class(labels, owner), return_inverse=True)[1]
    share = float(of_patients.mean())
    return min(share, 1 - share)


def assumed_prospects(
    specification: Specification, trainings: int, patients: int, positive: float = 0.5
) -> list[Prospect]:
    """Of each primary comparison, under a few spreads that nobody has measured.

    Args:
        specification: The study.
        trainings: Seeds of each arm.
        patients: In the test split.
        positive: Share of them of the class that is rarer among their films, for AUROC.
    """
    others = _other_arms(specification)
    if specification.metric.name == "auroc":
        return [
            prospect(
                f"AUROC {auroc:g}",
                Spread(between, 0.0, auroc_both(auroc, positive), others),
                specification, trainings, patients,
            )
            for auroc in _ASSUMED_AUROC
            for between in _ASSUMED_TRAININGS
        ]  # fmt: skip
    return [
        prospect("", Spread(*both, ASSUMED_BOTH, others), specification, trainings, patients)
        for both in _ASSUMED
    ]


def auroc_both(auroc: float, positive: float) -> float:
    """Standard deviation of training x patient in the pseudo-values of an AUROC.

    Scores of the films of either class are normal, as in `benchmarks/placebo.py`. A positive film's
    part of the AUROC is the share of negative ones below it; its covariance over two draws of the
    same film follows from two normal numbers that both exceed 0. What two trainings do not share of
    it is training x patient.

    Args:
        auroc: Above 0.5, below 1.
        positive: Share of the patients of one class, above 0 and below 1.

    Source: DeLong et al. 1988 for the parts; Owen 1956 for the two normal numbers.
    """
    from scipy.special import ndtri, owens_t

    at = float(ndtri(auroc))

    def both_exceed(correlation: float) -> float:
        """P(two standard normal numbers of this correlation are below `at`)."""
        slope = np.sqrt((1 - correlation) / (1 + correlation))
        return auroc - 2 * float(owens_t(at, slope))

    # A film's own score is half of a difference's variance, the other film's the other half.
    own = both_exceed(0.5) - both_exceed(0.5 * _SHARED_EASE)
    return float(np.sqrt(own * (1 / positive + 1 / (1 - positive))))


def kept_prospects(
    specification: Specification,
    kept: Specification,
    records: Sequence[Record],
    trainings: int,
    patients: int,
) -> list[Prospect]:
    """Of each primary comparison, from the spreads of the finished cells of another study.

    Comparisons that the kept study has not are one entry, with the spread of that of its own which
    varies most; the placebo is none of these.

    Raises:
        UserError: The kept study decides by another score, or no scenario was trained twice.
    """
    if kept.metric.name != specification.metric.name:
        raise UserError(
            f"--from: that study decides by {kept.metric.name}, this one by "
            f"{specification.metric.name}. Give a study of the same metric."
        )
    spreads = _spreads(kept, records)
    if not spreads:
        raise UserError(
            "--from: no comparison of that study has two finished trainings on either side, so "
            "that nothing is known of how trainings vary. Give one with two seeds or more."
        )

    def size(spread: Spread) -> float:
        return smallest_difference(spread, max(2, trainings), max(2, patients)) or 0.0

    others = _other_arms(specification)
    largest = max(spreads.values(), key=size)

    def found(name: str, spread: Spread) -> Prospect:
        # One that was judged by its own trainings alone would be again.
        like = replace(spread, other_arms=others if spread.other_arms else 0)
        return prospect(name, like, specification, trainings, patients)

    primary = [
        (claim.scenario, against, model.name)
        for claim in claims(specification)
        if claim.role == "primary"
        for against in claim.against
        for model in specification.models
    ]
    own = [key for key in dict.fromkeys(primary) if key in spreads]
    prospects = [
        found(f"{one} against {other}, {model}", spreads[one, other, model])
        for one, other, model in own
    ]
    if len(own) < len(set(primary)):
        prospects.append(found("all others *" if own else "every comparison *", largest))
    return prospects


def prospect(
    name: str, spread: Spread, specification: Specification, trainings: int, patients: int
) -> Prospect:
    """Of one comparison, at the level of the first of the family."""
    level = first_level(specification)[1]
    return Prospect(
        name,
        spread,
        smallest_difference(spread, trainings, patients, level),
        trainings_needed(spread, WANTED, patients, level) if patients > 1 else None,
        patients_needed(spread, WANTED, trainings, level) if trainings > 1 else None,
    )


def _other_arms(specification: Specification) -> int:
    """How many help two that are compared to say how much trainings vary: not the placebo."""
    return max(0, sum(not scenario.placebo for scenario in specification.scenarios) - 2)


def _spreads(kept: Specification, records: Sequence[Record]) -> dict[tuple[str, str, str], Spread]:
    made = [claim for claim in claims(kept) if claim.role != "placebo"]
    pairs = list(dict.fromkeys((claim.scenario, one) for claim in made for one in claim.against))
    return {
        (*pair, model.name): result.spread
        for model in kept.models
        for pair, result in zip(pairs, pairs_of(kept, records, pairs, model.name), strict=True)
        if result.spread is not None and np.isfinite(result.spread.trainings)
    }
