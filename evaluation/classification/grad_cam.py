"""Where a classifier's score comes from, drawn over films that it got right, nearly, and wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from display.colours import ImageArray
from display.grad_cam import grad_cam, under_map
from display.numbers import probability
from display.sheet import sheet
from display.tensor_images import image_arrays
from evaluation.checkpoint import OpenedCheckpoint

FILMS_OF_A_KIND = 4

Row = Mapping[str, Any]


def grad_cam_sheet(opened: OpenedCheckpoint, rows: Sequence[Row]) -> ImageArray:
    """Three blocks of films with their maps: surest right calls, closest calls, worst mistakes.

    The map is of the class that the film was called.

    Args:
        opened: The classifier and its data.
        rows: evaluation.json's "images", in the split's order.

    Returns:
        (H, W, 3) uint8.
    """
    chosen = {kind: films for kind, films in films_to_show(rows).items() if films}
    datamodule, class_names = opened.datamodule, opened.datamodule.class_names
    samples = datamodule.evaluation_set(opened.split)
    index = {row["id"]: position for position, row in enumerate(rows)}
    blocks = []
    for kind, films in chosen.items():
        image = opened.unit_images(datamodule.collate([samples[index[r["id"]]] for r in films]))
        called = [row["prediction"] for row in films]
        maps = grad_cam(opened.module.network, image, called).cpu().numpy()
        blocks.append(
            sheet(
                [
                    under_map(film, heat)
                    for film, heat in zip(image_arrays(image), maps, strict=True)
                ],
                [_title(row, class_names) for row in films],
                [kind, "Grad-CAM"],
            )
        )
    return beside(blocks)


def films_to_show(rows: Sequence[Row], number: int = FILMS_OF_A_KIND) -> dict[str, list[Row]]:
    """Kind -> films of different patients; a film is shown once.

    Args:
        rows: evaluation.json's "images".
        number: Of each kind.
    """
    wrong = sorted((row for row in rows if not row["correct"]), key=_loss)[::-1]
    right = sorted((row for row in rows if row["correct"]), key=_loss)
    close = sorted(rows, key=lambda row: (_margin(row), row["id"]))
    # The surest of every class in turn: otherwise all could be of the easier one.
    turns: dict[int, int] = {}
    ranked = []
    for row in right:
        turns[row["label"]] = turns.get(row["label"], 0) + 1
        ranked.append((turns[row["label"]], row["label"], row))
    alternating = [row for _, _, row in sorted(ranked, key=lambda entry: entry[:2])]
    found: dict[str, list[Row]] = {}
    used: set[str] = set()
    for kind, order in (
        ("worst mistakes", wrong),
        ("closest calls", close),
        ("surest right calls", alternating),
    ):
        patients: set[str] = set()
        found[kind] = []
        for row in order:
            if len(found[kind]) < number and row["id"] not in used | patients:
                if row["patient_id"] in patients:
                    continue
                patients.add(row["patient_id"])
                used.add(row["id"])
                found[kind].append(row)
    return {kind: found[kind] for kind in ("surest right calls", "closest calls", "worst mistakes")}


def _loss(row: Row) -> tuple[float, str]:
    return row["log_loss"], row["id"]


def _margin(row: Row) -> float:
    """How far the call was from another one."""
    if "probabilities" in row:
        first, second = sorted(row["probabilities"])[-1:-3:-1]
        return float(first - second)
    return abs(row["probability"] - 0.5)


def _title(row: Row, class_names: Sequence[str]) -> str:
    """Id, truth and probability, to stand beside a film."""
    share = row["probabilities"][row["prediction"]] if "probabilities" in row else None
    told = (
        f"p({class_names[1]}) {probability(row['probability'])}"
        if share is None
        else f"p({class_names[row['prediction']]}) {probability(share)}"
    )
    return "\n".join((row["id"], f"is {class_names[row['label']]}", told))


def beside(blocks: Sequence[ImageArray]) -> ImageArray:
    """Sheets side by side, on white."""
    height = max(block.shape[0] for block in blocks)
    padded = [
        np.pad(block, ((0, height - block.shape[0]), (0, 0), (0, 0)), constant_values=255)
        for block in blocks
    ]
    return np.concatenate(padded, axis=1)


def below(blocks: Sequence[ImageArray]) -> ImageArray:
    """Sheets one below the other, on white."""
    width = max(block.shape[1] for block in blocks)
    padded = [
        np.pad(block, ((0, 0), (0, width - block.shape[1]), (0, 0)), constant_values=255)
        for block in blocks
    ]
    return np.concatenate(padded)
