"""Scores of one classifier on one split, with intervals over patients, plots and a page."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from display.colours import ImageArray
from display.grad_cam import grad_cam_layer
from display.png import save_png
from evaluation.checkpoint import OpenedCheckpoint
from evaluation.classification.comparison import compared, read_evaluation
from evaluation.classification.grad_cam import grad_cam_sheet
from evaluation.classification.page import page
from evaluation.classification.plots import reliability_plot, roc_plot
from evaluation.classification.summary import (
    chosen_on,
    notes,
    reliability_rows,
    roc_of,
    summary_of,
    threshold_rows,
    trivial,
)
from evaluation.figures import figures_of
from evaluation.folder import RESULT, write_csv
from gates.judge import judged
from gates.rules import Rule
from output_folder import check_folder
from provenance import UserError, library_versions, write_json_atomic, write_text_atomic

FILES = ("images.csv", "roc.png", "reliability.png", "grad_cam.png", "report.html")


def score_classifier(
    opened: OpenedCheckpoint,
    out: Path,
    compare: Sequence[Path],
    show_progress: bool,
    rules: Sequence[Rule] = (),
) -> dict[str, Any]:
    """Score a classifier on a split of films.

    Writes evaluation.json, images.csv, roc.png, reliability.png, grad_cam.png and report.html.
    Thresholds are chosen on the validation split and scored on the split asked for. With more than
    two classes scores are means over classes of each against the others, and there are no
    thresholds, ROC and reliability plots.

    Args:
        opened: The classifier and its data.
        out: Folder for the results.
        compare: Folders of finished evaluations of other classifiers on the same films.
        show_progress: A progress bar with the time left.
        rules: What is required of the scores.

    Returns:
        The content of evaluation.json.

    Raises:
        UserError: The folder holds something else, evaluations to compare with are not of these
            films, or the model predicts NaN.
    """
    started = time.perf_counter()
    module, datamodule, split = opened.module, opened.datamodule, opened.split
    class_names, two, cache = datamodule.class_names, module.num_classes == 2, datamodule.cache
    if compare and not two:
        raise UserError(
            f"--compare: DeLong's test is for two classes, and {opened.checkpoint} tells apart "
            f"{module.num_classes}. Leave it out."
        )
    ids = cache.ids[datamodule.items(split)].tolist()
    others = [read_evaluation(Path(folder), ids) for folder in compare]
    splits = splits_to_predict(opened)
    identity = opened.identity("classification")
    check_folder(out, RESULT, identity, "evaluation", FILES)
    images = {each: predictions(opened, each, show_progress) for each in splits}
    rows = images[split]
    choice = chosen_on(images)
    result = {
        **identity,
        "checkpoint": str(opened.checkpoint),
        "images_seen": opened.record.get("images_seen"),
        "data_root": str(cache.root),
        "label_column": datamodule.label_column,
        "split_by": cache.split_by,
        "num_images": len(rows),
        "num_patients": len({row["patient_id"] for row in rows}),
        "class_names": class_names,
        "class_counts": {
            name: sum(row["label"] == label for row in rows)
            for label, name in enumerate(class_names)
        },
        **opened.of_seen,
        "images": rows,
        "summary": summary_of(rows, class_names),
        "trivial_majority_class": trivial(rows, class_names),
        "thresholds_chosen_on": choice,
        "thresholds": threshold_rows(images[choice] if choice else None, rows) if two else [],
        "roc": roc_of(rows) if two else None,
        "reliability": reliability_rows(rows) if two else [],
        "comparisons": [compared(rows, other) for other in others],
        "versions": library_versions(),
    }
    result["notes"] = notes(result) + opened.notes + opened.notes_beside(splits)
    if rules:
        result["require"] = judged(rules, figures_of(result))
    shape = (1, datamodule.channels, datamodule.image_size, datamodule.image_size)
    result["grad_cam"] = grad_cam_layer(module.network, torch.zeros(shape, device=opened.device))
    drawn: dict[str, ImageArray | None] = {
        "roc.png": roc_plot(result, others) if result["roc"] else None,
        "reliability.png": reliability_plot(result) if two else None,
        "grad_cam.png": grad_cam_sheet(opened, rows),
    }
    result["seconds"] = round(time.perf_counter() - started, 3)
    write_csv(out / FILES[0], [_flat(row) for row in rows])
    for name, image in drawn.items():
        if image is not None:
            save_png(out / name, image)
    write_text_atomic(out / FILES[-1], page(result, drawn))
    write_json_atomic(out / RESULT, result)
    return result


def predictions(opened: OpenedCheckpoint, split: str, show_progress: bool) -> list[dict[str, Any]]:
    """One row per film of a split: evaluation.json's "images".

    A film of two classes is called positive from a probability of 0.5, as sensitivity counts it.
    "brier" is (p - y)^2 of the positive class, or the sum of squares over more than two classes.

    Raises:
        UserError: The model predicts NaN.
    """
    rows = []
    loader = opened.datamodule.evaluation_loader(split)
    for batch in tqdm(loader, f"score {split}", unit="batch", disable=not show_progress):
        logits = opened.logits(batch).double().cpu()
        rows += _rows(batch["id"], batch["patient_id"], batch["label"], logits)
    return rows


def _rows(
    ids: Sequence[str], patients: Sequence[str], labels: Tensor, logits: Tensor
) -> list[dict[str, Any]]:
    shares = logits.softmax(dim=1)
    losses = -logits.log_softmax(dim=1).gather(1, labels[:, None])[:, 0]
    two = logits.shape[1] == 2
    called = (shares[:, 1] >= 0.5).long() if two else shares.argmax(dim=1)
    squares = (shares - torch.nn.functional.one_hot(labels, logits.shape[1])).square()
    brier = squares[:, 1] if two else squares.sum(dim=1)
    return [
        {
            "id": ids[row],
            "patient_id": patients[row],
            "label": int(labels[row]),
            "prediction": int(called[row]),
            "probability": float(shares[row, 1]),
            **({} if two else {"probabilities": shares[row].tolist()}),
            "correct": int(called[row] == labels[row]),
            "log_loss": float(losses[row]),
            "brier": float(brier[row]),
        }
        for row in range(len(ids))
    ]


def splits_to_predict(opened: OpenedCheckpoint) -> list[str]:
    """The split asked for, and the validation split to choose thresholds on, if it has films.

    Where all are scored, none is left to choose on.
    """
    if opened.split in ("val", "all"):
        return [opened.split]
    try:
        opened.datamodule.items("val")
    except UserError:
        return [opened.split]
    return (
        [opened.split] if opened.compared_with_seen("val").leaves_nothing else [opened.split, "val"]
    )


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row for the table: a list becomes columns."""
    plain = {key: value for key, value in row.items() if key != "probabilities"}
    every = enumerate(row.get("probabilities", []))
    return {**plain, **{f"probability_{label}": value for label, value in every}}
