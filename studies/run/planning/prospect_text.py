"""What `study.py plan` prints of the differences that a study could show."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.film_cache import UNLABELLED, FilmCache
from datamodules.prepared_cache import PreparedCache
from display.numbers import count
from studies.run.downstream.from_data import label_column_of, tells_findings
from studies.run.planning.plan_text import aligned, shortened, whole
from studies.specification.specification import Specification
from studies.statistics.cells import Record
from studies.statistics.prospects import (
    WANTED,
    assumed_prospects,
    can_assume,
    first_level,
    kept_prospects,
    lack_of_patients,
    share_of_a_class,
)
from studies.statistics.reach import POWER
from studies.statistics.whole_set import is_set_metric

_WITHOUT_CACHE = (10, 30, 100)
_OF_TWO_CLASSES = (50, 100, 300)  # a score that ranks has no interval with few of a class
_WITH_MORE_SEEDS = (3, 5)

Kept = tuple[Specification, Sequence[Record]]


def prospect_lines(
    specification: Specification, source: Path, cache: PreparedCache | None, kept: Kept | None
) -> list[str]:
    """The smallest difference that each primary comparison could show.

    Args:
        specification: The study.
        source: Its YAML, where more seeds are written.
        cache: Says how many test patients there are; None: for a few numbers of them.
        kept: A finished study, whose spreads are taken; None: assumed ones.

    Raises:
        UserError: The kept study cannot tell.
    """
    trainings = len(specification.seeds)
    lines = ["", f"What it could show in {specification.metric.title}"]
    if trainings < 2:
        lines += [
            "  One seed: no verdict on the method is possible, whatever comes out. The report is",
            "  about the one training of each. For a verdict write `seeds: [0, 1, 2]`, or more, in",
            f"  {source}",
        ]
    if specification.kind == "generators":
        return [
            *lines,
            "  Distances have no scale on which a spread could be assumed. From two seeds on the",
            "  report says which generators are farther than the nearest, at 0.05 over all pairs.",
        ]
    few = None if cache is None else _too_few(specification, cache)
    if few is not None:
        return [*lines, f"  No interval and no verdict of {specification.metric.title}: {few}."]
    if specification.metric.name == "ece":
        return [
            *lines,
            "  The calibration error has no interval, so no comparison of it has a verdict.",
        ]
    size, level = first_level(specification)
    at = f"{100 * POWER:.0f} % of such studies would show it"
    family = f"{count(size, 'claim')} in Holm's family, the first tested at {level:.2g}"
    lines += [f"  The smallest true difference where {at}.", f"  {family[0].upper()}{family[1:]}."]
    if any(
        len(one.controls) > 1 for one in specification.scenarios if isinstance(one.controls, tuple)
    ):
        lines.append(
            "  Each line is about one comparison; a claim with two controls needs both, and shows "
            "less often."
        )
    if kept is None and not can_assume(specification):
        return [
            *lines,
            f"  Nothing is assumed of how {specification.metric.title} spreads. Give a finished "
            "study of the same",
            "  metric: --from STUDY_FOLDER",
        ]
    for number in (trainings,) if trainings > 1 else _WITH_MORE_SEEDS:
        told = f"{number} seeds" + ("" if trainings > 1 else " in place of one")
        lines += ["", *_table(specification, told, number, cache, kept)]
    return lines + _footnotes(specification, kept)


def _table(
    specification: Specification,
    told: str,
    trainings: int,
    cache: PreparedCache | None,
    kept: Kept | None,
) -> list[str]:
    """Differences by spread, in columns for the test patients that there are or may be."""
    percent = specification.metric.percent
    known = None if cache is None else len(cache.patients("test"))
    ranked = is_set_metric(specification.metric.name)
    unknown = _OF_TWO_CLASSES if ranked else _WITHOUT_CACHE
    patients = unknown if known is None else (known,)
    positive = _rarer_class(specification, cache)
    found = [
        assumed_prospects(specification, trainings, number, positive)
        if kept is None
        else kept_prospects(specification, *kept, trainings, number)
        for number in patients
    ]
    auroc = specification.metric.name == "auroc"
    needs, wanted = known is not None and (percent or auroc), _wanted(percent)
    head = ["comparison", "sd trainings", "patients", "both"]
    if known is None:
        head += [f"on {count(number, 'patient')}" for number in patients]
    else:
        head += ["smallest difference"]
        told += f", {count(known, 'test patient')}"
    head += [f"seeds for {wanted}", f"patients for {wanted}"] if needs else []
    rows = [head]
    for alike in zip(*found, strict=True):
        one, spread = alike[0], alike[0].spread
        row = [shortened(one.name, 36)]
        row += [
            _points(value, percent) for value in (spread.trainings, spread.patients, spread.both)
        ]
        row += [_points(each.difference, percent) for each in alike]
        if needs:
            row += ["over 100" if one.seeds is None else str(one.seeds)]
            row += ["over 100 000" if one.patients is None else whole(one.patients)]
        rows.append(row)
    if kept is None:
        told += ", every comparison alike; spreads ASSUMED, none of them is measured:"
        if auroc:
            told = f"{told[:-1]}, {100 * positive:.0f} % of patients of one class:"
        rows = rows if auroc else [row[1:] for row in rows]
    else:
        told += f"; spreads as measured in the study {kept[0].name}:"
    return [f"  {told}", *aligned(rows, left=1 if kept is not None or auroc else 0)]


def _wanted(percent: bool) -> str:
    return f"{100 * WANTED:g}" if percent else f"{WANTED:g}"


def _points(value: float | None, percent: bool) -> str:
    if value is None:
        return "none"
    return f"{100 * value:.1f}" if percent else f"{value:.3g}"


def _footnotes(specification: Specification, kept: Kept | None) -> list[str]:
    unit = (
        "points (hundredths) of the score" if specification.metric.percent else "the score's unit"
    )
    lines = [
        f"  In {unit}. sd: standard deviation between trainings of one arm;",
        "  between patients, of the difference of two arms; both: of one training on one patient.",
    ]
    percent = specification.metric.percent
    if percent or specification.metric.name == "auroc":
        lines.append(
            f"  seeds, patients for {_wanted(percent)}: how many would show so much, with the "
            "other as it is."
        )
    if kept is None and specification.metric.name == "auroc":
        lines.append(
            "  Films of either class score normally, as in benchmarks/placebo.py; both follows "
            "from the AUROC."
        )
    if kept is None:
        name = specification.metric.name
        lines.append(f"  Measured spreads, of a finished study of {name}: --from STUDY_FOLDER")
    else:
        lines.append(
            "  *: not compared there, or once only; the spread is the widest of that study, its "
            "placebo left out."
        )
    return lines


def _too_few(specification: Specification, cache: PreparedCache) -> str | None:
    """Why a ranking score has no interval on the test films; None where it has one."""
    films = _test_films(specification, cache)
    return None if films is None else lack_of_patients(specification, *films)


def _rarer_class(specification: Specification, cache: PreparedCache | None) -> float:
    """Share of the test patients of the rarer of two classes; half where nothing says it."""
    films = None if cache is None else _test_films(specification, cache)
    return 0.5 if films is None else share_of_a_class(*films)


def _test_films(
    specification: Specification, cache: PreparedCache
) -> tuple[NDArray[np.integer], list[str]] | None:
    """Class and patient of each labelled film of the test split; None where there are no labels."""
    if not isinstance(cache, FilmCache) or not cache.label_columns:
        return None
    if tells_findings(specification):  # each has its own; the report says which are too few
        return None
    column = label_column_of(specification.arguments) or cache.label_columns[0]
    films = cache.indices("test")
    labels = cache.labels(column)[films]
    labelled = labels != UNLABELLED
    patients = cache.patient_ids[films][labelled].tolist()
    return labels[labelled], patients
