"""ROC curves and the reliability of probabilities as pictures. Told by more than colour alone."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from display.colours import ImageArray
from display.figures import COLOURS, new_figure, styled
from display.numbers import interval, number
from evaluation.classification.comparison import OtherEvaluation
from evaluation.classification.summary import columns_of
from metrics.ranking import auroc, roc_curve

_DPI = 150
_DASHES: tuple[Any, ...] = ((0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (8, 3)))
# From this AUROC on the curve hugs its corner, which is drawn again enlarged.
_CROWDED = 0.93
_MARKS = {"default": "o", "youden": "D", "sensitivity_95": "^", "specificity_95": "v"}
_MARK_TITLES = {
    "default": "threshold 0.5",
    "youden": "Youden's threshold",
    "sensitivity_95": "for 95 % sensitivity",
    "specificity_95": "for 95 % specificity",
}


@styled
def roc_plot(result: Mapping[str, Any], others: Sequence[OtherEvaluation] = ()) -> ImageArray:
    """ROC curve with its band, other classifiers' curves, and what the chosen thresholds do.

    Args:
        result: evaluation.json's content, with a "roc".
        others: Further evaluations on the same films.

    Returns:
        (H, W, 3) uint8.
    """
    figure, axes = new_figure(figsize=(6.2, 6.2))
    _draw_curves(axes, result, others)
    if result["summary"]["auroc"]["value"] > _CROWDED:
        corner = axes.inset_axes((0.36, 0.08, 0.6, 0.6))
        _draw_curves(corner, result, others, clip=True)
        corner.set_xlim(0, 0.25)
        corner.set_ylim(0.75, 1.0)
        corner.tick_params(labelsize=8)
        axes.indicate_inset_zoom(corner, edgecolor="#777777")
    axes.set_xlabel(f"{result['class_names'][0]} films called positive (1 - specificity)")
    axes.set_ylabel(f"{result['class_names'][1]} films called positive (sensitivity)")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_aspect("equal")
    _legend(axes)
    return as_array(figure)


def _draw_curves(
    axes: Any, result: Mapping[str, Any], others: Sequence[OtherEvaluation], clip: bool = False
) -> None:
    roc = result["roc"]
    axes.plot([0, 1], [0, 1], color="#999999", lw=1, ls=(0, (2, 3)), label="guessing")
    if roc["band"]:
        band = roc["band"]
        axes.fill_between(
            band["false_positive_rate"], band["low"], band["high"],
            color=COLOURS[0], alpha=0.18, lw=0, label="95 % band over patients, point by point",
        )  # fmt: skip
    axes.plot(
        roc["false_positive_rate"], roc["true_positive_rate"],
        color=COLOURS[0], lw=2, label=f"this classifier, AUROC {_area(result)}",
    )  # fmt: skip
    for index, other in enumerate(others):
        rows = other.result["images"]
        probabilities, labels, _ = columns_of(rows)
        false, true, _ = roc_curve(probabilities, labels)
        area = auroc(probabilities, labels)
        axes.plot(
            false, true,
            color=COLOURS[(index + 1) % len(COLOURS)], lw=1.6,
            ls=_DASHES[index % len(_DASHES)], label=f"{other.name}, AUROC {area:.3f}",
        )  # fmt: skip
    for row in result["thresholds"]:
        if row["rule"] in _MARKS:
            axes.plot(
                1 - row["specificity"], row["sensitivity"], _MARKS[row["rule"]],
                color="white", mec="#222222", ms=8, mew=1.4, zorder=5, clip_on=clip,
                label=_MARK_TITLES[row["rule"]],
            )  # fmt: skip


@styled
def reliability_plot(result: Mapping[str, Any]) -> ImageArray:
    """Forecast beside outcome in bins of equal width, above the number of films in each.

    Args:
        result: evaluation.json's content, with its "reliability" bins.

    Returns:
        (H, W, 3) uint8.
    """
    figure, (upper, lower) = new_figure(2, 1, figsize=(6.2, 6.6), sharex=True, height_ratios=(3, 1))
    bins = [each for each in result["reliability"] if each["count"]]
    upper.plot([0, 1], [0, 1], color="#999999", lw=1, ls=(0, (2, 3)), label="perfect")
    forecast = [each["mean_probability"] for each in bins]
    outcome = [each["share_positive"] for each in bins]
    for each in bins:
        if None not in each["interval"]:
            upper.plot([each["mean_probability"]] * 2, each["interval"], color=COLOURS[0], lw=1.4)
    upper.plot([], [], color=COLOURS[0], lw=1.4, label="95 % interval over patients")
    upper.plot(
        forecast, outcome, "o-", color=COLOURS[0], lw=1, ms=5,
        label=f"bins of films, ECE {result['summary']['ece']['value']:.3f}",
    )  # fmt: skip
    name = result["class_names"][1]
    upper.set_ylabel(f"share that is {name}")
    upper.set_ylim(-0.03, 1.03)
    upper.set_xlim(-0.02, 1.02)
    lows = [each["low"] for each in result["reliability"]]
    width = 1 / len(lows)
    lower.bar(
        lows, [each["count"] for each in result["reliability"]],
        width=0.92 * width, align="edge", color="#8a8a8a",
    )  # fmt: skip
    # Most films lie at the ends: on a plain scale the bins between would vanish.
    lower.set_yscale("symlog", linthresh=1)
    lower.set_ylim(0, None)
    lower.set_ylabel("films (log)")
    lower.set_xlabel(f"probability of {name}")
    _legend(upper)
    return as_array(figure)


def _area(result: Mapping[str, Any]) -> str:
    area = result["summary"]["auroc"]
    ends = interval(area["low"], area["high"], between=", ", missing="")
    return number(area["value"]) + (f" [{ends}]" if ends else "")


def _legend(axes: Any) -> None:
    """Above the axes, where it hides nothing."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.02), frameon=False, fontsize=9)


def as_array(figure: Any) -> ImageArray:
    """A figure as (H, W, 3) uint8."""
    stream = io.BytesIO()
    figure.savefig(
        stream,
        format="png",
        dpi=_DPI,
        bbox_inches="tight",
        facecolor="white",
        pil_kwargs={"compress_level": 0},
    )
    with Image.open(stream) as picture:
        return np.asarray(picture.convert("RGB"))
