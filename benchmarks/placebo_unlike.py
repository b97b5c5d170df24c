"""What the tests of a study do where trainings are not as the tests suppose.

    python benchmarks/placebo_unlike.py [--studies 10000] [--page docs/results/placebo/unlike.md]

The tests take all arms' trainings for independent, and for alike unless they see that they are not.
Here they are neither: arms that share seeds, arms that vary more than others, one arm with a
training that collapsed. Each line is a kind of study of eight arms, of which the last is the
placebo, as in `placebo.py`, and each figure is measured with `studies.statistics.estimates`.
Nothing here has a bar: the page says how far a verdict may be trusted then.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.placebo_drawn import EFFECTS, LEVEL, PATIENT_SD, TRAINING_BY_PATIENT_SD
from benchmarks.placebo_judged import differs, shown
from metrics.jackknife import jackknife_mean
from provenance import write_text_atomic
from studies.statistics.estimates import difference
from studies.statistics.two_sources import Arm

Floats = NDArray[np.float64]
PATIENTS = 100
REAL, SYNTHETIC = 4, 3  # the baseline and three controls; then the placebo
ARMS = REAL + SYNTHETIC + 1
SEEDS = (3, 5)
NUMBERS_AT_ONCE = 3_000_000


def arms_of(rng: np.random.Generator, trainings: Floats) -> list[Arm]:
    """Arms from how much better each training is than its arm: (studies, ARMS, seeds)."""
    studies = len(trainings)
    shape = (*trainings.shape, PATIENTS)
    scores = TRAINING_BY_PATIENT_SD * rng.standard_normal(shape, dtype=np.float32).astype(float)
    scores += PATIENT_SD * rng.standard_normal((studies, 1, 1, PATIENTS))
    scores += trainings[..., None]
    found = jackknife_mean(scores, 1)
    return [Arm(found.value[:, arm], found.pseudo[:, arm]) for arm in range(trainings.shape[1])]


def with_shared_seeds(
    rng: np.random.Generator, studies: int, seeds: int, sd: float, alike: Sequence[float]
) -> Floats:
    """Trainings (studies, ARMS, seeds) whose equal seeds are alike.

    Args:
        rng: Draws.
        studies: How many.
        seeds: Of each arm.
        sd: Standard deviation between trainings of an arm.
        alike: (ARMS,) correlation of an arm's training with one of the same seed in another arm
            that has the same number here.
    """
    share = np.asarray(alike)[:, None]
    luck = rng.standard_normal((studies, 1, seeds))
    own = rng.standard_normal((studies, len(alike), seeds))
    return sd * (np.sqrt(share) * luck + np.sqrt(1 - share) * own)


def shared_seeds(studies: int, seeds: int, sd: float, real: float, synthetic: float) -> list[str]:
    """A line of the first table."""
    alike = [real] * REAL + [synthetic] * SYNTHETIC + [0.0]

    def judge(rng: np.random.Generator, number: int) -> list[float]:
        arms = arms_of(rng, with_shared_seeds(rng, number, seeds, sd, alike))

        def found(first: int, second: int) -> tuple[Floats, Floats]:
            rest = [arms[at] for at in range(ARMS - 1) if at not in (first, second)]
            one = difference(arms[first], arms[second], rest, 1 - LEVEL)
            return one.p_value, one.value

        (p_steps, by_steps), (p_real, by_real) = found(REAL, 0), found(REAL, 1)
        claim = (np.maximum(p_steps, p_real) < LEVEL) & (by_steps * by_real > 0)
        rest = [*arms[1:REAL], *arms[REAL + 1 : -1]]
        moved = difference(arms[REAL], arms[0], rest, 1 - LEVEL)
        return [
            float((p_steps < LEVEL).sum()),
            float((found(1, 0)[0] < LEVEL).sum()),
            float(claim.sum()),
            float(differs(arms[-1], arms[0], arms[1:-1])),
            *(float(shown(moved, effect).sum()) for effect in EFFECTS),
        ]

    false, control, claim, placebo, *power = measured(judge, studies, seeds, [sd, real, synthetic])
    correlation = np.sqrt(real * synthetic)
    variance = 2 * ((1 - correlation) * sd**2 + TRAINING_BY_PATIENT_SD**2 / PATIENTS) / seeds
    best = known(np.sqrt(variance))
    return [
        f"{seeds}", f"{sd:g}", f"{real:g}", f"{synthetic:g}",
        *(f"{one:.3f}" for one in (false, control, claim, placebo)),
        *(f"{one:.2f} ({other:.2f})" for one, other in zip(power, best, strict=True)),
    ]  # fmt: skip


def unequal(studies: int, seeds: int, first: float, second: float) -> list[str]:
    """A line of the second table: the two that are compared, and the five beside them."""
    sds = np.array([first, second, *[1.0] * (ARMS - 3)])[:, None]
    return _of_pair(studies, seeds, sds, [f"{first:g}, {second:g}", "1"])


def one_wild(studies: int, seeds: int, number: int, wild: float) -> list[str]:
    """A line of the third table: so many of the other arms vary wildly."""
    sds = np.array([1.0, 1.0, *[wild] * number, *[1.0] * (ARMS - 3 - number)])[:, None]
    return _of_pair(studies, seeds, sds, [f"{number}", f"{wild:g}"])


def _of_pair(studies: int, seeds: int, sds: Floats, told: list[str]) -> list[str]:
    """What the first two arms' comparison shows, beside the others, with and without an effect."""

    def judge(rng: np.random.Generator, number: int) -> list[float]:
        luck = rng.standard_normal((number, len(sds), seeds))
        arms = arms_of(rng, sds * luck)
        found = difference(arms[1], arms[0], arms[2:], 1 - LEVEL)
        return [float(shown(found, effect).sum()) for effect in (0.0, *EFFECTS)]

    false, *power = measured(judge, studies, seeds, [*sds.ravel()])
    variance = ((sds[:2] ** 2).sum() + 2 * TRAINING_BY_PATIENT_SD**2 / PATIENTS) / seeds
    best = known(np.sqrt(variance))
    return [
        f"{seeds}", *told, f"{false:.3f}",
        *(f"{one:.2f} ({other:.2f})" for one, other in zip(power, best, strict=True)),
    ]  # fmt: skip


def measured(judge, studies: int, seeds: int, about: Sequence[float]) -> list[float]:  # type: ignore[no-untyped-def]
    """Shares over so many studies, drawn in blocks; the same ones in every run."""
    rng = np.random.default_rng([seeds, *(round(1000 * one) for one in about)])
    at_once = max(1, NUMBERS_AT_ONCE // (ARMS * seeds * PATIENTS))
    blocks, done = [], 0
    while done < studies:
        number = min(at_once, studies - done)
        blocks.append(judge(rng, number))
        done += number
    return [float(sum(hits)) / studies for hits in zip(*blocks, strict=True)]


def known(error: float) -> list[float]:
    """Power at each effect of a z test that is told the standard error."""
    return [float(ndtr(one / error - 1.959964) + ndtr(-one / error - 1.959964)) for one in EFFECTS]


PAGE = """# Where trainings are not as the tests suppose

`python benchmarks/placebo_unlike.py`, {studies:,} studies a line; {patients} patients, otherwise as
in [simulated.md](simulated.md). The tests take trainings of different arms for independent and,
unless they see that they are not, for alike. "Power": true differences of 3 and 5 points that are
shown, in brackets by a z test that is told every variance and correlation.

## Arms that share seeds

Equal seeds draw equal first weights and, on the same images, equal orders, so trainings of two arms
are alike: on the same real images equal to all digits, on others correlated. Studies give every arm
seeds of its own; folders that an earlier version began keep theirs. Eight arms: the baseline, three
controls (real images), three with synthetic ones, and the placebo, which always had its own seeds.
"Alike": the correlation of equal seeds among the real arms, and among the synthetic ones; between
them the root of the product. "Claim": the p of both controls is below 0.05, on the same side.

{shared}

Where all are alike, tests show less than they could: next to nothing false, and few of the
differences that a test which knows it would show. Where only the real arms are, a single comparison
is too bold. So is the placebo's: the spread that it is held against leaves out what the others
share.

## Arms that vary more than others

Standard deviations between trainings of the two that are compared, in points, and of the five
others, over which the tests estimate too unless the F test at 0.05 says no.

{unequal}

## Other arms that vary wildly

The two that are compared vary by 1 point; so many others by so much, as where one training in three
collapses. Such arms are found by Cochran's test at 0.01, lend nothing, and are named in the report.

{wild}
"""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=10_000, help="of each line")
    parser.add_argument("--page", type=Path, help="Markdown with the tables")
    options = parser.parse_args()
    number, power = options.studies, [f"power {effect:g} (all known)" for effect in EFFECTS]
    shared = [
        shared_seeds(number, seeds, sd, real, synthetic)
        for seeds in SEEDS
        for sd in (1.0, 2.0)
        for real, synthetic in ((0, 0), (0.5, 0.5), (0.9, 0.9), (0.9, 0), (1, 0))
    ]
    spreads = ((1, 1), (1, 1.5), (1, 2), (1, 3), (1.5, 1.5), (2, 2), (4, 4))
    head = ["seeds", "sd", "real alike", "synthetic alike", "synthetic against real, shown"]
    head += ["control against baseline", "claim against both controls", "placebo", *power]
    page = PAGE.format(
        studies=number,
        patients=PATIENTS,
        shared=table(head, shared),
        unequal=table(
            ["seeds", "the two", "others", "shown, nothing differs", *power],
            [unequal(number, seeds, *pair) for seeds in SEEDS for pair in spreads],
        ),
        wild=table(
            ["seeds", "wild arms", "by", "shown, nothing differs", *power],
            [
                one_wild(number, seeds, wild, sd)
                for seeds in SEEDS
                for wild, sd in ((0, 1.0), (1, 5.0), (1, 20.0), (2, 20.0))
            ],
        ),
    )
    print(page)
    if options.page is not None:
        write_text_atomic(options.page, page)


if __name__ == "__main__":
    main()
