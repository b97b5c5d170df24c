"""Drawn studies judged by this software: how often they show something, and hold the truth."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from benchmarks.placebo_drawn import (
    ARMS,
    ARMS_AUROC,
    EFFECTS,
    LEVEL,
    NUMBERS_AT_ONCE,
    TRAINING_BY_PATIENT_SD,
    Cell,
    Floats,
    auroc_study,
    mean_study,
)
from studies.statistics.estimates import Estimate, difference, patients_only, single
from studies.statistics.two_sources import Arm


def measure(cell: Cell, studies: int) -> dict[str, Any]:
    """All figures of one cell."""
    start = time.monotonic()
    rng = np.random.default_rng([ord(one) for one in json.dumps(asdict(cell))])
    arms = ARMS if cell.score == "mean" else ARMS_AUROC + len(EFFECTS)
    at_once = max(1, NUMBERS_AT_ONCE // (arms * cell.seeds * cell.patients))
    sums: dict[str, Floats] = {}
    values: list[list[Floats]] = [[] for _ in range(1 + len(EFFECTS))]
    done = 0
    while done < studies:
        number = min(at_once, studies - done)
        judged = (judge_means if cell.score == "mean" else judge_aurocs)(cell, rng, number, values)
        for name, hits in judged.items():
            sums[name] = sums.get(name, 0) + hits
        done += number
    figures = {name: (total / studies).tolist() for name, total in sums.items()}
    figures |= oracle(cell, values)
    figures["studies"] = studies
    return {"cell": asdict(cell), **figures, "seconds": time.monotonic() - start}


def judge_means(
    cell: Cell, rng: np.random.Generator, number: int, values: list[list[Floats]]
) -> dict[str, Any]:
    """How many of a block's studies show something, and hold the truth."""
    arms, truth = mean_study(cell, rng, number)
    baseline, treated, *others, placebo = arms
    judged: dict[str, Any] = {"placebo_shown": differs(placebo, baseline, [treated, *others])}
    for name, rest in (("", others), ("two_arms_", [])):
        found = difference(treated, baseline, rest, 1 - LEVEL)
        # A true difference moves the arm and leaves all variances as they are.
        shifted = [shown(found, effect) for effect in (0.0, *EFFECTS)]
        one = single(baseline, rest, 1 - LEVEL)
        judged |= {
            f"{name}shown": np.array([hits.sum() for hits in shifted]),
            f"{name}covered": holds(found.low, found.high, 0.0),
            f"{name}covered_single": holds(one.low, one.high, truth),
        }
    judged["covered_patients"] = holds(*patients_only([baseline], 1 - LEVEL), truth)
    return judged


def shown(found: Estimate, effect: float) -> NDArray[np.bool_]:
    """Whether a difference shows at the level if the truth were moved: where 0 is left out."""
    return (found.low + effect > 0) | (found.high + effect < 0)


def differs(
    treated: Arm, control: Arm, others: Sequence[Arm], strata: NDArray[np.intp] | None = None
) -> Floats:
    """How many studies show a difference of two arms."""
    found = difference(treated, control, others, 1 - LEVEL, strata)
    return np.array(shown(found, 0.0).sum())


def judge_aurocs(
    cell: Cell, rng: np.random.Generator, number: int, values: list[list[Floats]]
) -> dict[str, Any]:
    """The same for AUROC, where an arm with a true difference is drawn for itself."""
    studies, truths = auroc_study(cell, rng, number)
    strata = (np.arange(cell.patients) < cell.positives).astype(np.intp)
    judged: dict[str, Any] = {}
    for name in ("", "two_arms_"):
        hits = []
        for index, (baseline, treated, *others, placebo) in enumerate(studies):
            rest = [] if name else others
            found = difference(treated, baseline, rest, 1 - LEVEL, strata)
            hits.append(shown(found, 0.0).sum())
            if not name:
                values[index].append(found.value)
            if not index and not name:
                alike = [treated, *others]
                judged["placebo_shown"] = differs(placebo, baseline, alike, strata)
            if not index:
                one = single(baseline, rest, 1 - LEVEL, strata, "logit")
                judged[f"{name}covered"] = holds(found.low, found.high, 0.0)
                judged[f"{name}covered_single"] = holds(one.low, one.high, truths[0])
        judged[f"{name}shown"] = np.array(hits)
    return judged


def holds(low: Floats, high: Floats, truth: float) -> Floats:
    """How many intervals hold the truth; one that is missing does not."""
    return np.array(((low <= truth) & (truth <= high)).sum())


def oracle(cell: Cell, values: list[list[Floats]]) -> dict[str, Any]:
    """Power of a z test that knows all variances: computed for means, drawn for AUROC."""
    if cell.score == "mean":
        own = 2 * (cell.training_sd**2 + TRAINING_BY_PATIENT_SD**2 / cell.patients) / cell.seeds
        errors = [float(np.sqrt(own + cell.arm_sd**2 / cell.patients))] * len(EFFECTS)
        true = list(EFFECTS)
    else:
        drawn = [np.concatenate(block) for block in values[1:]]
        errors, true = [float(d.std()) for d in drawn], [float(d.mean()) for d in drawn]
    power = [
        float(ndtr(t / e - 1.959964) + ndtr(-t / e - 1.959964))
        for t, e in zip(true, errors, strict=True)
    ]
    return {"oracle": power, "error": errors[0]}
