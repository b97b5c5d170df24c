"""One procedure trained twelve times on real films: how often do three differ from three others?

For `python benchmarks/placebo.py --real`. Every set is a study of one scenario, run by
`study.py run`'s own functions, so a second call goes on, and `study.py report` reads its folder.
All pairs of three trainings against three others are then judged as a report would judge them. The
pairs share their trainings and all of their test patients: thousands of pairs are not thousands of
studies, and the share says how twelve trainings fell out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules import ChestXrayDataModule
from metrics.auroc_intervals import too_few_of_a_class
from provenance import UserError
from studies.run.downstream.from_data import label_column_of
from studies.run.folder import StudyFolder
from studies.run.outcome import closing_lines
from studies.run.runner import run_study
from studies.specification.specification import Specification
from studies.statistics.estimates import difference, patients_only
from studies.statistics.two_sources import Arm
from studies.statistics.whole_set import arms_of_sets, predictions_of

LEVEL = 0.05
SIDE = 3  # trainings of an arm
FEWEST_TRAININGS = 12
MOST_SHOWN, MOST_SHOWN_ON_AVERAGE = 0.09, 0.06
IMBALANCE = 20
_PAIRS_AT_ONCE = 500


@dataclass(frozen=True)
class FilmSet:
    """A cache, as it is or made unequal.

    Attributes:
        name: Of its study's folder.
        root: Prepared cache.
        imbalance: `--data.imbalance`; None: all training films.
    """

    name: str
    root: Path
    imbalance: int | None = None


@dataclass(frozen=True)
class Shares:
    """Shares of the pairs that show a difference at 0.05, and what a pair could show.

    Attributes:
        pairs: How many there are.
        alone: Shown, judged as a study of these two arms.
        beside: Shown, with the other trainings as a third arm that says how trainings vary.
        patients_only: Shown by the interval that takes the trainings as given.
        reach: Median half width of the interval of `beside`, in AUROC.
    """

    pairs: int
    alone: float
    beside: float
    patients_only: float
    reach: float


def sets_of(roots: Sequence[Path], imbalanced: Sequence[Path]) -> list[FilmSet]:
    """Every set, named after the folder of its cache.

    Raises:
        UserError: Two caches' folders have one name.
    """
    found = [FilmSet(root.resolve().name, root) for root in roots]
    found += [
        FilmSet(f"{root.resolve().name}_{IMBALANCE}_to_1", root, IMBALANCE) for root in imbalanced
    ]
    names = [one.name for one in found]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(
            f"--data.root, --imbalanced: several sets would be called {', '.join(doubled)}, after "
            "their caches' folders. Give each cache once, or rename a folder."
        )
    return found


def check_procedure(specification: Specification, source: Path) -> None:
    """Refuse a study that is not one procedure trained often enough and judged by AUROC."""
    trained = len(specification.scenarios), len(specification.models)
    if trained != (1, 1) or specification.metric.name != "auroc":
        raise UserError(
            f"{source}: has {trained[0]} scenarios and {trained[1]} models and decides by "
            f"{specification.metric.name}. A placebo is one of each, by auroc, as in "
            "configs/studies/placebo_cpu.yaml."
        )
    if len(specification.seeds) < FEWEST_TRAININGS:
        raise UserError(
            f"{source}: seeds: {len(specification.seeds)} of them; with fewer than "
            f"{FEWEST_TRAININGS} trainings nearly all pairs of three against three are the same "
            "trainings again. Add seeds."
        )


def study_of(specification: Specification, films: FilmSet) -> Specification:
    """The procedure on one set."""
    if films.imbalance is None:
        return specification
    more = ("--data.imbalance", str(films.imbalance))
    return replace(specification, arguments=(*specification.arguments, *more))


def measure(
    specification: Specification, films: FilmSet, out: Path, workers: int
) -> dict[str, Any]:
    """Train what a set's study lacks, and judge all pairs of its trainings.

    Raises:
        UserError: A training failed, or the test split has too few patients for an interval.
    """
    from study import load_verbs

    study = study_of(specification, films)
    outcome = run_study(study, films.root, out / films.name, load_verbs, workers=workers)
    records = StudyFolder(out / films.name).finished()
    if len(records) < len(study.seeds):
        told = "\n".join(closing_lines(outcome, out / films.name, 0.0)[1:])
        raise UserError(
            f"{out / films.name}: {len(records)} of {len(study.seeds)} trainings are finished. "
            f"Nothing is judged before all are; the same command goes on.\n{told}"
        )
    records.sort(key=lambda record: record["seed"])
    predictions = {record["seed"]: predictions_of(record) for record in records}
    first = next(iter(predictions.values()))
    few = too_few_of_a_class(first.labels(first.ids), first.patients(first.ids))
    if few is not None:
        raise UserError(f"{films.root}: the test split has {few} for an interval.")
    (arm,), strata, patients, _ = arms_of_sets([predictions], "auroc")
    names = records[0]["evaluation"]["class_names"]
    test_films = np.bincount(first.labels(first.ids), minlength=len(names)).tolist()
    column = label_column_of(study.arguments)
    data = ChestXrayDataModule(
        str(films.root), label_column=column, imbalance=films.imbalance, channels=3
    )
    return {
        "set": films.name,
        "imbalance": films.imbalance,
        "train_films": dict(zip(data.class_names, data.class_counts().tolist(), strict=True)),
        "test_films": dict(zip(names, test_films, strict=True)),
        "test_patients": len(patients),
        "seeds": list(predictions),
        "auroc": arm.scores.tolist(),
        "seconds": sum(record["timings"]["fit_seconds"] for record in records),
        "machine": sorted({record["machine"] for record in records}),
        "versions": records[0]["versions"],
        **asdict(shares(arm, strata)),
    }


def pairs_of(trainings: int) -> Iterator[tuple[list[int], list[int]]]:
    """All pairs of three trainings and three others, each once."""
    for six in combinations(range(trainings), 2 * SIDE):
        for rest in combinations(six[1:], SIDE - 1):
            first = [six[0], *rest]
            yield first, [one for one in six if one not in first]


def shares(arm: Arm, strata: NDArray[np.intp]) -> Shares:
    """All pairs of an arm's trainings, eight or more, judged by the functions of a report."""
    every = np.array(list(pairs_of(arm.num_trainings)))
    third = np.array([np.setdiff1d(np.arange(arm.num_trainings), pair) for pair in every])
    found: dict[str, list[NDArray[Any]]] = {"alone": [], "beside": [], "patients": [], "reach": []}
    for start in range(0, len(every), _PAIRS_AT_ONCE):
        pair, others = every[start : start + _PAIRS_AT_ONCE], third[start : start + _PAIRS_AT_ONCE]
        one, two, rest = (
            Arm(arm.scores[chosen], arm.pseudo[chosen])
            for chosen in (pair[:, 0], pair[:, 1], others)
        )
        alone = difference(one, two, (), 1 - LEVEL, strata)
        beside = difference(one, two, [rest], 1 - LEVEL, strata)
        low, high = patients_only([one, two], 1 - LEVEL, strata)
        found["alone"].append(alone.p_value < LEVEL)
        found["beside"].append(beside.p_value < LEVEL)
        found["patients"].append((low > 0) | (high < 0))
        found["reach"].append((beside.high - beside.low) / 2)
    whole = {name: np.concatenate(blocks) for name, blocks in found.items()}
    share = {name: float(whole[name].mean()) for name in ("alone", "beside", "patients")}
    reach = float(np.median(whole["reach"]))
    return Shares(len(every), share["alone"], share["beside"], share["patients"], reach)


def missed(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Shares that miss their bars, as a reader sees them."""
    found = []
    for key, way in (("alone", "two arms alone"), ("beside", "a third arm beside them")):
        for row in rows:
            if row[key] > MOST_SHOWN:
                found.append(f"{row['set']}, {way}: {row[key]:.1%}, at most {MOST_SHOWN:.0%}")
        mean = float(np.mean([row[key] for row in rows]))
        if mean > MOST_SHOWN_ON_AVERAGE:
            found.append(f"on average, {way}: {mean:.1%}, at most {MOST_SHOWN_ON_AVERAGE:.0%}")
    return found
