"""Does a verdict of this software survive a placebo? Simulated studies, judged by its functions.

    python benchmarks/placebo.py [--studies 5000] [--workers 2] [--out FILE.json] [--page FILE.md]
    python benchmarks/placebo.py --real --data.root CACHE [CACHE ...] [--imbalanced CACHE ...] \
        --out FOLDER [--procedure STUDY.yaml] [--workers 2] [--page FILE.md]

Every cell is one kind of study: patients, seeds, how much trainings vary, how much the arms'
difference varies from patient to patient. Thousands of studies of it are drawn, in which the arms
are equal, and judged by `studies.statistics.estimates`, which is what `study.py report` calls.
Measured are the share that shows a difference at 0.05 although nothing differs, how many intervals
hold the truth, and how many studies find a true difference, beside a test that knows all variances.
A study here is a sweep of three ratios, each with its control, the baseline and a placebo: 8 arms
(4 for AUROC), of which the placebo lends the others nothing; the same pair is also judged alone, as
in a study of two arms. Ends with status 1 where a figure misses its bar. What the tests do where
arms are not alike: `placebo_unlike.py`. With --real, networks are trained on real films:
`placebo_real`.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

sys.path.insert(0, str(Path(__file__).parents[1]))

from metrics.jackknife import jackknife_auroc, jackknife_mean
from studies.statistics.estimates import Estimate, difference, patients_only, single
from studies.statistics.two_sources import Arm

Floats = NDArray[np.float64]
LEVEL = 0.05
ARMS = 8
ARMS_AUROC = 4
EFFECTS = (3.0, 5.0)  # points; hundredths of AUROC
PATIENT_SD = 10.0
TRAINING_BY_PATIENT_SD = 5.0
AUROC = 0.9
SHARED_EASE = 0.6  # of the variance of a film's score that all trainings share
NUMBERS_AT_ONCE = 3_000_000
PROCEDURE = Path(__file__).parents[1] / "configs" / "studies" / "placebo_cpu.yaml"


@dataclass(frozen=True)
class Cell:
    """One kind of study.

    Attributes:
        score: "mean" of patients' scores in points, or "auroc".
        patients: In the test split.
        seeds: Trainings of each arm.
        training_sd: Between trainings, in points or hundredths of AUROC.
        arm_sd: Of the arms' difference over patients, in points; means only.
        humps: 1: patients are normal; 2: three in ten form a hump of their own.
        positives: Patients of class 1; AUROC only.
    """

    score: str
    patients: int
    seeds: int
    training_sd: float
    arm_sd: float = 0.0
    humps: int = 1
    positives: int = 0


def cells() -> list[Cell]:
    """Every cell, the slow ones first."""
    means = [
        Cell("mean", patients, seeds, training_sd, arm_sd, humps)
        for patients in (500, 100, 30, 10)
        for seeds in (5, 3)
        for training_sd in (0.0, 0.5, 1.0, 2.0)
        for arm_sd in (0.0, 5.0)
        for humps in (1, 2)
    ]
    aurocs = [
        Cell("auroc", patients, seeds, training_sd, positives=positives)
        for patients, positives in ((500, 250), (500, 100), (100, 50), (100, 20), (40, 20))
        for seeds in (5, 3)
        for training_sd in (0.0, 0.5, 1.0, 2.0)
    ]
    return aurocs + means


def drawn_patients(rng: np.random.Generator, shape: tuple[int, ...], humps: int) -> Floats:
    """Mean 0 and variance 1; two humps are four standard deviations of either apart and more."""
    noise = rng.standard_normal(shape)
    if humps == 1:
        return noise
    low = rng.random(shape) < 0.3
    return np.where(low, -1.4, 0.6) + 0.4 * noise


def mean_study(cell: Cell, rng: np.random.Generator, number: int) -> tuple[list[Arm], float]:
    """Arms of studies whose scores are means over patients, and the true mean."""
    shape = (number, ARMS, cell.seeds, cell.patients)
    scores = TRAINING_BY_PATIENT_SD * rng.standard_normal(shape, dtype=np.float32).astype(float)
    scores += PATIENT_SD * drawn_patients(rng, (number, 1, 1, cell.patients), cell.humps)
    scores += cell.training_sd * rng.standard_normal((*shape[:3], 1))
    if cell.arm_sd:
        own = drawn_patients(rng, (number, ARMS - 1, 1, cell.patients), cell.humps)
        scores[:, 1:] += cell.arm_sd * own
    found = jackknife_mean(scores, 1)
    return [Arm(found.value[:, arm], found.pseudo[:, arm]) for arm in range(ARMS)], 0.0


def auroc_study(
    cell: Cell, rng: np.random.Generator, number: int
) -> tuple[list[list[Arm]], list[float]]:
    """Arms of studies of classifiers for each true AUROC of the treated arm, and those AUROCs.

    A film's score is normal in either class; a training is the distance of the two classes.
    """
    positive = np.arange(cell.patients) < cell.positives
    shape = (number, ARMS_AUROC, cell.seeds, cell.patients)
    noise = np.sqrt(1 - SHARED_EASE) * rng.standard_normal(shape, dtype=np.float32).astype(float)
    noise += np.sqrt(SHARED_EASE) * rng.standard_normal((number, 1, 1, cell.patients))
    luck = rng.standard_normal((*shape[:3], 1))
    distance, spread = _distance(AUROC, cell.training_sd / 100)
    found = jackknife_auroc(
        noise + positive * (distance + spread * luck), positive, np.arange(cell.patients)
    )
    arms = [Arm(found.value[:, arm], found.pseudo[:, arm]) for arm in range(ARMS_AUROC)]
    studies, truths = [arms], [_true_auroc(distance, spread)]
    for effect in EFFECTS:
        own, spread = _distance(AUROC + effect / 100, cell.training_sd / 100)
        found = jackknife_auroc(
            noise[:, 1] + positive * (own + spread * luck[:, 1]), positive, np.arange(cell.patients)
        )
        studies.append([arms[0], Arm(found.value, found.pseudo), *arms[2:]])
        truths.append(_true_auroc(own, spread))
    return studies, truths


def _distance(auroc: float, training_sd: float) -> tuple[float, float]:
    """Distance of the classes that gives an AUROC, and its standard deviation over trainings."""
    from scipy.special import ndtri

    at = float(ndtri(auroc))
    slope = np.exp(-(at**2) / 2) / np.sqrt(2 * np.pi) / np.sqrt(2)
    return np.sqrt(2) * at, training_sd / slope


def _true_auroc(distance: float, spread: float) -> float:
    return float(ndtr(distance / np.sqrt(2 + spread**2)))


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


BARS = {"shown": 0.06, "covered": 0.93, "covered_ten": 0.91, "power": 0.10}


PAGE = """# Simulated placebos: every figure

`python benchmarks/placebo.py`, {:,} studies a line, twice as many below 100 patients. "All known":
a z test that is told every variance. "Two arms": the same pair without the others. See
[README.md](README.md).
"""


def studies_of(cell: Cell, least: int) -> int:
    """How many are drawn: twice as many where they cost little."""
    return least if cell.patients >= 100 else 2 * least


def missed(row: dict[str, Any]) -> list[str]:
    """Figures of a cell that miss their bars, as a reader sees them."""
    cell = row["cell"]
    covered = BARS["covered_ten" if cell["patients"] == 10 else "covered"]
    found = []
    for name, of in (("", ""), ("two_arms_", " of two arms")):
        if row[f"{name}shown"][0] > BARS["shown"]:
            found.append(f"{row[f'{name}shown'][0]:.3f} shown{of}, at most {BARS['shown']}")
        for kind, what in (("covered", "differences"), ("covered_single", "single arms")):
            if row[f"{name}{kind}"] < covered:
                found.append(f"{row[f'{name}{kind}']:.3f} of {what}{of} covered, {covered} asked")
    if cell["score"] == "mean":
        for effect, power, best in zip(EFFECTS, row["shown"][1:], reference(row), strict=True):
            if power < best - BARS["power"]:
                found.append(f"power at {effect:g} points {power:.2f}, {best:.2f} with all known")
    return found


def reference(row: dict[str, Any]) -> list[float]:
    """Power that ours is held against: of a test that knows all variances.

    With ten patients even a test that knows how large every variance is beside every other, but
    takes their common size from the patients, shows up to 0.1 less: it stands in there.
    """
    from scipy.stats import nct, t

    if row["cell"]["patients"] > 10:
        return list(row["oracle"])
    freedom, limit = 9, t.ppf(1 - LEVEL / 2, 9)
    ratios = [effect / row["error"] for effect in EFFECTS]
    return [float(nct.sf(limit, freedom, r) + nct.cdf(-limit, freedom, r)) for r in ratios]


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


def table(rows: list[dict[str, Any]], score: str) -> list[str]:
    """Lines of a Markdown table, a line a cell."""
    auroc = score == "auroc"
    kind = "positive" if auroc else "arm sd | humps"
    lines = [
        f"| patients | {kind} | seeds | training sd | shown, nothing differs | placebo shown "
        "| covered, difference | covered, single arm | power 3 (all known) | power 5 (all known) "
        "| two arms: shown | covered | power 3; 5 |",
        "|" + "---|" * (12 if auroc else 13),
    ]
    for row in rows:
        cell = row["cell"]
        if cell["score"] != score:
            continue
        own = f"{cell['positives']}" if auroc else f"{cell['arm_sd']:g} | {cell['humps']}"
        power = [f"{p:.2f} ({b:.2f})" for p, b in zip(row["shown"][1:], row["oracle"], strict=True)]
        two = "; ".join(f"{p:.2f}" for p in row["two_arms_shown"][1:])
        lines.append(
            f"| {cell['patients']} | {own} | {cell['seeds']} | {cell['training_sd']:g} "
            f"| {row['shown'][0]:.3f} | {row['placebo_shown']:.3f} | {row['covered']:.3f} "
            f"| {row['covered_single']:.3f} "
            f"| {power[0]} | {power[1]} | {row['two_arms_shown'][0]:.3f} "
            f"| {row['two_arms_covered']:.3f} | {two} |"
        )
    return lines


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """The worst figure of each kind, and every one that misses its bar."""
    lines = []
    for score in ("mean", "auroc"):
        own = [row for row in rows if row["cell"]["score"] == score]
        ten = [row for row in own if row["cell"]["patients"] == 10]
        more = [row for row in own if row["cell"]["patients"] > 10]
        for name, of in (("", ""), ("two_arms_", ", two arms")):
            worst = max(own, key=lambda row: row[f"{name}shown"][0])
            lines.append(f"{score}{of}: at most {worst[f'{name}shown'][0]:.3f} shown falsely")
            for few, some in (("10 patients", ten), ("more patients", more)):
                if some:
                    least = [min(r[f"{name}{kind}"] for r in some) for kind in
                             ("covered", "covered_single")]  # fmt: skip
                    lines[-1] += f"; {few}: at least {least[0]:.3f} of differences and "
                    lines[-1] += f"{least[1]:.3f} of single arms covered"
        worst = max(own, key=lambda row: row["placebo_shown"])
        lines.append(f"{score}, the placebo: at most {worst['placebo_shown']:.3f} shown falsely")
    wrong = [f"MISSED: {row['cell']}: {text}" for row in rows for text in missed(row)]
    return lines + (wrong or ["Every figure meets its bar."])


def run(studies: int, workers: int) -> list[dict[str, Any]]:
    """Every cell, measured by so many processes, in the order of the table."""
    every = cells()
    numbers = [studies_of(cell, studies) for cell in every]
    with ProcessPoolExecutor(workers) as pool:
        rows = list(pool.map(measure, every, numbers))
    order = ("patients", "seeds", "positives", "arm_sd", "humps", "training_sd")
    return sorted(rows, key=lambda row: [row["cell"][key] for key in order])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, help="of each cell, at least (5000); simulated only")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, help="JSON with all figures; with --real a folder")
    parser.add_argument("--page", type=Path, help="Markdown with the tables")
    parser.add_argument("--real", action="store_true", help="train on real films")
    real = parser.add_argument_group("with --real")
    real.add_argument("--data.root", type=Path, nargs="+", default=[], help="film caches")
    real.add_argument(
        "--imbalanced", type=Path, nargs="+", default=[], help="film caches to make 20 to 1"
    )
    real.add_argument("--procedure", type=Path, help="a study of one scenario, model, many seeds")
    options = parser.parse_args()
    roots = vars(options)["data.root"]
    given = (*roots, *options.imbalanced, options.procedure)
    if options.real and not (options.out and (roots or options.imbalanced)):
        parser.error("--real needs --out FOLDER and caches: --data.root CACHE [CACHE ...]")
    if options.real and options.studies is not None:
        parser.error("--studies is of simulated studies; leave it out beside --real")
    if not options.real and any(given):
        parser.error("--data.root, --imbalanced and --procedure need --real")
    if options.real:
        sys.exit(real_films(options, roots))
    sys.exit(simulated(options))


def real_films(options: argparse.Namespace, roots: Sequence[Path]) -> int:
    """Train and judge the real sets; 1 where a share misses its bar, 2 where one cannot be had."""
    # It loads torch, which thousands of simulated studies do without.
    from benchmarks import placebo_real, placebo_real_page
    from provenance import UserError, write_json_atomic, write_text_atomic
    from studies.specification.read import load_specification

    source = options.procedure or PROCEDURE
    try:
        specification = load_specification(source)
        placebo_real.check_procedure(specification, source)
        sets = placebo_real.sets_of(roots, options.imbalanced)
        rows = [
            placebo_real.measure(specification, films, options.out, options.workers)
            for films in sets
        ]
    except UserError as error:
        print(f"placebo.py: {error}", file=sys.stderr)
        return 2
    command = placebo_real_page.command(sets, options.procedure)
    page = placebo_real_page.page(specification, rows, command)
    print(page)
    write_json_atomic(options.out / "placebo.json", rows)
    if options.page is not None:
        write_text_atomic(options.page, page)
    return int(bool(placebo_real.missed(rows)))


def simulated(options: argparse.Namespace) -> int:
    """Draw and judge every cell; 1 where a figure misses its bar."""
    studies = 5000 if options.studies is None else options.studies
    start = time.monotonic()
    rows = run(studies, options.workers)
    lines = [
        "Means over patients, in points:", "", *table(rows, "mean"), "",
        f"AUROC ({AUROC} in truth), standard deviations and differences in hundredths:", "",
        *table(rows, "auroc"), "", *(f"- {line}" for line in summary(rows)),
    ]  # fmt: skip
    print("\n".join(lines))
    print(f"{time.monotonic() - start:.0f} s with {options.workers} processes")
    if options.out is not None:
        options.out.write_text(json.dumps(rows, indent=1))
    if options.page is not None:
        options.page.write_text("\n".join([PAGE.format(studies), *lines]) + "\n")
    return int(any(missed(row) for row in rows))


if __name__ == "__main__":
    main()
