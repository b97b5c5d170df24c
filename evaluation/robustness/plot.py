"""A model's score against the severity of each corruption."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from display.colours import ImageArray
from display.figures import COLOURS, new_figure, png, styled

SCORE_TITLES = {
    "auroc": "AUROC",
    "accuracy": "Accuracy",
    "iou_foreground": "IoU without background",
    "iou_mean": "IoU, mean over classes",
}
_COLUMNS = 4


def score_title(name: str) -> str:
    """What a score is called for a reader."""
    return SCORE_TITLES.get(name, name.replace("dice_", "Dice, ", 1).replace("_", " "))


def corruption_title(name: str) -> str:
    """What a corruption is called for a reader."""
    return "JPEG" if name == "jpeg" else name.replace("_", " ").capitalize()


@styled
def severity_plot(result: Mapping[str, Any]) -> ImageArray:
    """A panel for each corruption: the primary score clean and at severities 1 to 5.

    Args:
        result: evaluation.json's content.

    Returns:
        (H, W, 3) uint8.
    """
    names, primary = result["corruptions"], result["primary"]
    rows, columns = -(-len(names) // _COLUMNS), min(_COLUMNS, len(names))
    figure, panels = new_figure(
        rows, columns, figsize=(max(3.2, 2.4 * columns), 0.7 + 1.9 * rows),
        sharex=True, sharey=True, squeeze=False,
    )  # fmt: skip
    clean = result["conditions"][0]["scores"][primary]
    for panel, name in zip(panels.flat, names, strict=False):
        entries = [clean, *(
            each["scores"][primary]
            for each in result["conditions"]
            if each["corruption"] == name
        )]  # fmt: skip
        drawn = [(k, each) for k, each in enumerate(entries) if each["value"] is not None]
        if clean["value"] is not None:
            panel.axhline(clean["value"], color=COLOURS[6], lw=1, ls=(0, (2, 2)))
        panel.plot([k for k, _ in drawn], [each["value"] for _, each in drawn], color=COLOURS[0])
        for k, each in drawn:
            reach = None
            if each["low"] is not None:
                reach = [[each["value"] - each["low"]], [each["high"] - each["value"]]]
            panel.errorbar(
                k, each["value"], reach, fmt="s" if k == 0 else "o", ms=4, capsize=2,
                color=COLOURS[6] if k == 0 else COLOURS[0], lw=1,
            )  # fmt: skip
        panel.set_title(corruption_title(name), fontsize=10)
        panel.set_xticks(range(6), ["clean", *map(str, range(1, 6))], fontsize=8)
    for panel in list(panels.flat)[len(names) :]:
        panel.set_axis_off()
    figure.supxlabel("severity", fontsize=10)
    figure.supylabel(score_title(primary), fontsize=10)
    return np.asarray(Image.open(io.BytesIO(png(figure))).convert("RGB"))
