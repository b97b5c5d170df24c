"""The page of `benchmarks/placebo.py --real`: what was trained, and how often it differed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.placebo_real import (
    IMBALANCE,
    LEVEL,
    MOST_SHOWN,
    MOST_SHOWN_ON_AVERAGE,
    SIDE,
    FilmSet,
    missed,
    pairs_of,
)
from display.tables import markdown, text_table
from studies.specification.specification import Specification


def set_table(rows: Sequence[dict[str, Any]]) -> str:
    """What was trained on what, as Markdown."""
    columns = ("set", "training films", "test films", "test patients", "AUROC", "sd", "each seed")
    lines = [
        (
            row["set"], _counts(row["train_films"]), _counts(row["test_films"]),
            str(row["test_patients"]), f"{np.mean(row['auroc']):.3f}",
            f"{np.std(row['auroc'], ddof=1):.4f}", ", ".join(f"{one:.3f}" for one in row["auroc"]),
        )
        for row in rows
    ]  # fmt: skip
    return markdown(text_table(columns, lines))


def share_table(rows: Sequence[dict[str, Any]]) -> str:
    """The shares, their mean and their bars, as Markdown."""
    keys = ("alone", "beside", "patients_only")
    columns = (
        "set", "pairs", "shown: two arms", "shown: a third arm beside them",
        "shown by patients only", "half width of an interval",
    )  # fmt: skip
    lines = [
        (
            row["set"],
            f"{row['pairs']:,}",
            *(f"{row[key]:.1%}" for key in keys),
            f"{row['reach']:.3f}",
        )
        for row in rows
    ]
    means = [f"{np.mean([row[key] for row in rows]):.1%}" for key in keys]
    bars = [f"{MOST_SHOWN:.0%} a set, {MOST_SHOWN_ON_AVERAGE:.0%} on average"] * 2
    lines += [("mean", "", *means, ""), ("bar, at most", "", *bars, "", "")]
    return markdown(text_table(columns, lines))


def page(specification: Specification, rows: Sequence[dict[str, Any]], command: str) -> str:
    """What was trained, the shares and their bars, as Markdown."""
    trainings = len(specification.seeds)
    low, high = luck(trainings)
    verdicts = [f"- MISSED: {text}" for text in missed(rows)] or ["- Every share meets its bar."]
    versions = rows[0]["versions"]
    minutes = sum(row["seconds"] for row in rows) / 60
    machines = sorted({machine for row in rows for machine in row["machine"]})
    (model,) = specification.models
    return "\n".join(
        [
            "# Real placebos: one procedure, trained again and again",
            "",
            f"```\n{command}\n```",
            "",
            f"{model.title}, `{model.config}` with `{' '.join(specification.arguments)}`; seeds "
            f"{', '.join(map(str, specification.seeds))}. The seed draws weights, order and "
            f"augmentation, and of a set made {IMBALANCE} to 1 the films that stay. Each training "
            "is scored on all test films at its best checkpoint on the validation films.",
            "",
            set_table(rows),
            "Nothing differs between the trainings of a set but their seeds. Every three of them "
            "are compared with every other three, as a study of two scenarios with three seeds "
            "(two arms), and beside the remaining trainings as a third scenario. How many of these "
            "pairs show a difference in AUROC at 0.05:",
            "",
            share_table(rows),
            *verdicts,
            "",
            f"**The pairs are not independent.** All of a set come from the same {trainings} "
            "trainings and the same test patients, so a share says how these few trainings fell "
            f"out, and not to the digit how often the test errs: Student's t on {trainings} normal "
            f"numbers, which is right in 5 % of studies, shows between {low:.1%} and {high:.1%} of "
            "the pairs in nine of ten such sets. The simulated studies are independent and say it "
            'to the digit. "By patients only" is what intervals show that take the trainings as '
            "given. The half width of the interval, with the third arm, is how large a measured "
            "difference had to be: its median over the pairs.",
            "",
            f"{minutes:.0f} minutes of training on {', '.join(machines)}, beside other work; "
            f"python {versions['python']}, torch {versions['torch']}.",
            "",
        ]
    )


def _counts(films: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in films.items())


def command(sets: Sequence[FilmSet], procedure: Path | None) -> str:
    """The line to type, with caches by their folders' names, as a page may show it."""
    words = ["python benchmarks/placebo.py --real"]
    for flag, imbalance in (("--data.root", None), ("--imbalanced", IMBALANCE)):
        roots = [f"data/{one.root.resolve().name}" for one in sets if one.imbalance == imbalance]
        words += [" ".join((flag, *roots))] if roots else []
    words += [f"--procedure {procedure.name}"] if procedure else []
    return " ".join([*words, "--out runs/placebo"])


def luck(trainings: int, draws: int = 400) -> tuple[float, float]:
    """The middle nine tenths of what a right test would show: t of normal scores, drawn anew."""
    from scipy.stats import t

    every = np.array(list(pairs_of(trainings)))
    scores = np.random.default_rng(0).standard_normal((draws, trainings))
    shown = []
    for drawn in scores:
        sides = drawn[every]
        error = np.sqrt(sides.var(-1, ddof=1).sum(-1) / SIDE)
        ratio = np.abs(sides[:, 0].mean(-1) - sides[:, 1].mean(-1)) / error
        shown.append(float((ratio > t.ppf(1 - LEVEL / 2, 2 * SIDE - 2)).mean()))
    low, high = np.quantile(shown, [0.05, 0.95])
    return float(low), float(high)
