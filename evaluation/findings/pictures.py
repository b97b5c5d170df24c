"""AUROC of every finding, their ROC curves, and films under Grad-CAM, as pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

from display.colours import ImageArray
from display.figures import COLOURS, new_figure, styled
from display.grad_cam import grad_cam, under_map
from display.numbers import number, probability
from display.sheet import sheet
from display.tensor_images import image_arrays
from evaluation.checkpoint import OpenedCheckpoint
from evaluation.classification.grad_cam import below, beside
from evaluation.classification.plots import as_array

_MOST_FINDINGS = 6  # of a sheet of films
_SIDE_BY_SIDE = 2
_COLUMNS = 4

Row = Mapping[str, Any]


@styled
def auroc_plot(result: Mapping[str, Any]) -> ImageArray:
    """AUROC of each finding with its interval, and their mean; a finding without one is named.

    Args:
        result: evaluation.json's content.

    Returns:
        (H, W, 3) uint8.
    """
    names = result["class_names"]
    figure, axes = new_figure(figsize=(7.2, 1.4 + 0.34 * (len(names) + 1)))
    for row, name in enumerate([None, *names]):
        entry = result["summary"]["auroc" if name is None else f"auroc_{name}"]
        colour = COLOURS[0] if name is None else "#333333"
        if entry["value"] is None:
            axes.text(0.5, row, " undefined", va="center", color="#777777", fontsize=9)
            continue
        if entry["low"] is not None:
            axes.plot([entry["low"], entry["high"]], [row, row], color=colour, lw=2)
        axes.plot(
            entry["value"], row, "D" if name is None else "o", color=colour, ms=6,
            mfc=colour if entry["low"] is not None else "white",
        )  # fmt: skip
    axes.axvline(0.5, color="#999999", lw=1, ls=(0, (2, 3)))
    counts = result["finding_counts"]
    axes.set_yticks(
        range(len(names) + 1),
        [
            "mean over findings",
            *(f"{name} ({counts[name]['with']} / {counts[name]['without']})" for name in names),
        ],
    )
    axes.invert_yaxis()
    values = [entry["value"] for entry in _areas(result) if entry["value"] is not None]
    axes.set_xlim(min([0.45, *(value - 0.05 for value in values)]), 1.01)
    axes.set_xlabel("AUROC, 95 % interval over patients; hollow: too few patients for one")
    return as_array(figure)


@styled
def roc_grid(result: Mapping[str, Any]) -> ImageArray | None:
    """A small ROC curve with its band for each finding that has one; None where none has.

    Args:
        result: evaluation.json's content.
    """
    curves = {name: curve for name, curve in result["curves"].items() if curve is not None}
    if not curves:
        return None
    columns = min(_COLUMNS, len(curves))
    rows = -(-len(curves) // columns)
    figure, panels = new_figure(
        rows, columns, figsize=(2.5 * columns + 0.6, 2.7 * rows + 0.3), squeeze=False,
        sharex=True, sharey=True,
    )  # fmt: skip
    for panel, (name, curve) in zip(panels.flat, curves.items(), strict=False):
        panel.plot([0, 1], [0, 1], color="#999999", lw=1, ls=(0, (2, 3)))
        if curve["band"]:
            band = curve["band"]
            panel.fill_between(
                band["false_positive_rate"], band["low"], band["high"], color=COLOURS[0],
                alpha=0.18, lw=0,
            )  # fmt: skip
        panel.plot(
            curve["false_positive_rate"], curve["true_positive_rate"], color=COLOURS[0], lw=1.6
        )
        panel.set_title(
            f"{name}\n{number(result['summary'][f'auroc_{name}']['value'])}", fontsize=9
        )
        panel.set_aspect("equal")
    for place, panel in enumerate(panels.flat):
        panel.set_visible(place < len(curves))
        panel.tick_params(labelbottom=place + columns >= len(curves), labelsize=8)
    figure.supxlabel("1 - specificity", fontsize=9)
    figure.supylabel("sensitivity", fontsize=9)
    return as_array(figure)


def grad_cam_sheet(opened: OpenedCheckpoint, rows: Sequence[Row]) -> ImageArray | None:
    """Of each finding the surest film with it, the one missed worst, and the worst false alarm.

    The map is of the finding's logit. None where no film is known with any.

    Args:
        opened: The classifier and its data.
        rows: evaluation.json's "images", in the split's order.
    """
    datamodule, names = opened.datamodule, opened.datamodule.class_names
    samples, blocks = datamodule.evaluation_set(opened.split), []
    common = sorted(range(len(names)), key=lambda k: -sum(row["findings"][k] == 1 for row in rows))
    for k in sorted(common[:_MOST_FINDINGS]):
        films = films_of_finding(rows, k)
        if not films:
            continue
        image = opened.unit_images(datamodule.collate([samples[index] for index in films.values()]))
        maps = grad_cam(opened.module.network, image, [k] * len(films)).cpu().numpy()
        pictures = [
            under_map(film, heat) for film, heat in zip(image_arrays(image), maps, strict=True)
        ]
        titles = [
            f"{kind}\n{rows[index]['id']}\np({names[k]}) "
            f"{probability(rows[index]['probabilities'][k])}"
            for kind, index in films.items()
        ]
        blocks.append(sheet(pictures, titles, [names[k], "Grad-CAM"]))
    rows_of_blocks = [
        beside(blocks[at : at + _SIDE_BY_SIDE]) for at in range(0, len(blocks), _SIDE_BY_SIDE)
    ]
    return below(rows_of_blocks) if blocks else None


def films_of_finding(rows: Sequence[Row], number: int) -> dict[str, int]:
    """Kind -> index of a film, of different films; empty where none is known with the finding."""
    order = sorted(
        range(len(rows)), key=lambda i: (rows[i]["probabilities"][number], rows[i]["id"])
    )
    having = [i for i in order if rows[i]["findings"][number] == 1]
    lacking = [i for i in order if rows[i]["findings"][number] == 0]
    if not having:
        return {}
    found = {"has it, surest": having[-1]}
    if len(having) > 1:
        found["has it, least sure"] = having[0]
    if lacking:
        found["has it not, surest of it"] = lacking[-1]
    return found


def _areas(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    summary = result["summary"]
    return [summary["auroc"], *(summary[f"auroc_{name}"] for name in result["class_names"])]
