"""Helpers of the notebooks: the data of the course, folders for its runs, and its pictures.

Environment variables choose what the notebooks run on:

- COURSE_SIZE: "full", the default, for a classroom; "small" only shows that everything runs.
- COURSE_FILMS: a film cache that prepare.py made, with two classes. Without it films are drawn.
- COURSE_SLICES: a cache of CT slices. Without it slices are drawn.
- COURSE_DATA: folder of what is drawn and trained; runs/course of the project without it.
"""

import csv
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
for _folder in (ROOT, ROOT / "docs" / "course"):
    if str(_folder) not in sys.path:
        sys.path.append(str(_folder))

import drawn_films  # noqa: E402

from provenance import UserError  # noqa: E402

SIZES = ("full", "small")
SIZE = os.environ.get("COURSE_SIZE", "full")
if SIZE not in SIZES:
    raise UserError(f"COURSE_SIZE is {SIZE!r}; expected full or small.")
SMALL = SIZE == "small"

QUIET = ["--wandb=disabled", "--samples_every_epochs=0", "--trainer.enable_progress_bar=false"]
"""Flags of train.py that leave out what a notebook does not show."""

_COLOURS = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#ccbb44", "#66ccee")


def start() -> None:
    """Work in the project's folder, as its commands do, and let only errors be printed."""
    os.chdir(ROOT)
    os.environ.setdefault("TQDM_DISABLE", "1")
    warnings.filterwarnings("ignore")
    importlib.import_module("lightning.pytorch")  # it sets its loggers' levels, once
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    print(f"Course in the {SIZE} setting; runs are written to {data_folder()}")


def data_folder() -> Path:
    """Folder of the drawn data and the runs; see COURSE_DATA."""
    return Path(os.environ.get("COURSE_DATA") or "runs/course")


def films() -> Path:
    """A film cache: the one that COURSE_FILMS names, or drawn films, made at the first call.

    Of the drawn films those with a large heart or an effusion are the abnormal ones. Faint ones and
    the other drawn findings would need more films and larger images than a class has time for.

    Raises:
        UserError: COURSE_FILMS names no film cache, or one without exactly two classes.
    """
    given = os.environ.get("COURSE_FILMS")
    if not given:
        return _drawn_films(*((56, 32, 20) if SMALL else (600, 64, 0)))
    from datamodules.film_cache import FilmCache

    cache = FilmCache.open(given)
    columns = cache.label_columns
    if not columns or len(cache.class_names(columns[0])) != 2:
        raise UserError(f"COURSE_FILMS={given}: the course needs films with labels of two classes.")
    return Path(given)


def side(cache: Path, largest: int = 32) -> int:
    """Side in pixels of the networks' input: `largest`, or what fits the stored films.

    Raises:
        UserError: No size of 32 to `largest` pixels comes out of the films by averaging squares.
    """
    from datamodules.film_cache import FilmCache

    whole = FilmCache.open(cache).image_size
    for candidate in (64, 32, *range(64, 31, -1)):
        if candidate <= largest and whole % candidate == 0:
            return candidate
    raise UserError(
        f"COURSE_FILMS: {cache} holds films of {whole} pixels, which cannot be averaged to 32 to "
        f"{largest}. Prepare them with --image-size 64."
    )


def slices() -> Path:
    """A cache of CT slices: the one that COURSE_SLICES names, or drawn ones."""
    given = os.environ.get("COURSE_SLICES")
    if given:
        return Path(given)
    out = data_folder() / f"slices_{SIZE}"
    patients, image_size = (10, 32) if SMALL else (40, 64)
    flags = ["--num-patients", str(patients), "--image-size", str(image_size)]
    return _prepared(["phantom_ct", "--out", str(out), *flags], out)


def new_run(name: str) -> Path:
    """A folder that no run has used: name, name_2, name_3, ... A cell can be run again."""
    runs, number = data_folder() / "runs", 1
    while (folder := runs / (name if number == 1 else f"{name}_{number}")).exists():
        number += 1
    return folder


def history(run_folder: Path, name: str) -> tuple[list[float], list[float]]:
    """Images seen and values of a metric, one for each epoch, from a run's metrics.csv.

    Training is logged several times an epoch: its value is their mean, so it is the loss *during*
    the epoch, with dropout, while validation comes after it.

    Raises:
        UserError: The run has no such metric; the sentence lists those that there are.
    """
    with open(Path(run_folder) / "metrics.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    chosen = [row for row in rows if row["name"] == name]
    if not chosen:
        known = ", ".join(sorted({row["name"] for row in rows}))
        raise UserError(f"{run_folder}: has no metric {name}, only {known}.")
    epochs = sorted({int(row["epoch"]) for row in chosen})
    parts = [[row for row in chosen if int(row["epoch"]) == epoch] for epoch in epochs]
    return (
        [max(float(row["images_seen"]) for row in part) for part in parts],
        [float(np.mean([float(row["value"]) for row in part])) for part in parts],
    )


def show(
    pictures: Any,
    titles: Sequence[str] = (),
    columns: int = 8,
    side: float = 1.5,
    white: float | None = None,
) -> None:
    """Films in rows: (N, 1, H, W) tensors in [-1, 1], or (H, W) arrays of any range.

    Arrays are drawn from 0 to `white`, or each from its smallest to its largest value.
    """
    from matplotlib import pyplot as plt

    drawn = [np.asarray(picture, dtype=float).squeeze() for picture in pictures]
    columns = min(columns, len(drawn))
    rows = -(-len(drawn) // columns)
    height = side * (1.18 if titles else 1.0)
    _, grid = plt.subplots(
        rows, columns, figsize=(side * columns, height * rows), squeeze=False, layout="constrained"
    )
    for index, axes in enumerate(grid.flat):
        axes.axis("off")
        if index < len(drawn):
            limits = (-1, 1) if drawn[index].min() < 0 else (None if white is None else 0, white)
            axes.imshow(drawn[index], cmap="gray", vmin=limits[0], vmax=limits[1])
            axes.set_title(titles[index] if index < len(titles) else "", fontsize=8)
    plt.show()


def plot_losses(
    runs: Mapping[str, Path],
    names: Sequence[str] = ("train/loss", "val/loss"),
    logarithmic: bool = False,
) -> None:
    """One panel for each run, all with the same axes: metrics against images seen.

    `logarithmic` shows small losses beside a run that began with large ones.
    """
    from matplotlib import pyplot as plt

    from display import figures

    _, panels = plt.subplots(
        1,
        len(runs),
        figsize=(2.8 + 3 * len(runs), 3),
        squeeze=False,
        sharey=True,
        layout="constrained",
    )
    for axes, (title, folder) in zip(panels[0], runs.items(), strict=True):
        for name, colour in zip(names, _COLOURS, strict=False):
            axes.plot(*history(folder, name), color=colour, label=name, marker=".")
        axes.set(title=title, xlabel="images seen")
        axes.locator_params(axis="x", nbins=5)  # five numbers do not run into one another
        if logarithmic:
            figures.logarithmic(axes, "y")
    panels[0][-1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    plt.show()


def plot_roc(evaluations: Mapping[str, Mapping[str, Any]]) -> None:
    """ROC curves of several evaluations of the same films in one picture."""
    from matplotlib import pyplot as plt

    from metrics.ranking import roc_curve

    _, axes = plt.subplots(figsize=(4.6, 4.6), layout="constrained")
    for (name, result), colour in zip(evaluations.items(), _COLOURS * 4, strict=False):
        images = result["images"]
        curve = roc_curve([i["probability"] for i in images], [i["label"] for i in images])
        axes.plot(curve[0], curve[1], color=colour, label=f"{name}: {in_words(result)}")
    axes.plot([0, 1], [0, 1], color="0.7", linestyle="--", label="guessing")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False, title="AUROC")
    plt.show()


def in_words(result: Mapping[str, Any], score: str = "auroc") -> str:
    """A score with its 95 % interval over patients, for example "0.91 [0.85 to 0.95]"."""
    from display.numbers import interval, number

    entry = result["summary"][score]
    if entry["value"] is None:
        return "not defined: a class is missing"
    few = "too few patients for an interval"
    ends = interval(entry["low"], entry["high"], ".2f", missing=few)
    return f"{number(entry['value'], '.2f')} [{ends}]"


def _drawn_films(num_patients: int, image_size: int, split_seed: int) -> Path:
    out = data_folder() / f"films_{SIZE}"
    if not (out / "manifest.json").is_file():
        print(f"Drawing films of {num_patients} patients; later notebooks find them in {out}.")
        drawn = data_folder() / f"films_{SIZE}_drawn"
        table = drawn_films.draw(drawn, num_patients, image_size)
        flags = ["--source", str(drawn), "--labels", str(table), "--image-size", str(image_size)]
        flags += ["--split-seed", str(split_seed)]
        _prepared(["chest_xray", "--out", str(out), *flags], out)
    return out


def _prepared(command: list[str], out: Path) -> Path:
    import prepare

    if not (out / "manifest.json").is_file():
        prepare.main([*command, "--split-ratios", "0.6", "0.2", "0.2"])
    return out
