"""Scores of one classifier of several findings on one split, with intervals over patients."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from display.colours import ImageArray
from display.grad_cam import grad_cam_layer
from display.png import save_png
from evaluation.checkpoint import OpenedCheckpoint
from evaluation.classification.evaluate import splits_to_predict
from evaluation.classification.summary import roc_of, threshold_rows
from evaluation.figures import figures_of
from evaluation.findings.page import page
from evaluation.findings.pictures import auroc_plot, grad_cam_sheet, roc_grid
from evaluation.findings.summary import (
    Row,
    counts_of,
    notes,
    of_finding,
    summary_of,
)
from evaluation.folder import RESULT, write_csv
from gates.judge import judged
from gates.rules import Rule
from output_folder import check_folder
from provenance import library_versions, write_json_atomic, write_text_atomic

FILES = ("images.csv", "findings.csv", "auroc.png", "roc.png", "grad_cam.png", "report.html")


def score_findings(
    opened: OpenedCheckpoint, out: Path, show_progress: bool, rules: Sequence[Rule] = ()
) -> dict[str, Any]:
    """Score a classifier of several findings on a split of films.

    Writes evaluation.json, images.csv, findings.csv, auroc.png, roc.png, grad_cam.png and
    report.html. A finding is scored on the films of which it is known; the mean over findings is
    over those that some films have and some have not. Thresholds are chosen on the validation
    split and scored on the split asked for.

    Args:
        opened: The classifier and its data.
        out: Folder for the results.
        show_progress: A progress bar with the time left.
        rules: What is required of the scores.

    Returns:
        The content of evaluation.json.

    Raises:
        UserError: The folder holds something else, or the model predicts NaN.
    """
    started = time.perf_counter()
    module, datamodule, split = opened.module, opened.datamodule, opened.split
    names, cache = datamodule.class_names, datamodule.cache
    splits = splits_to_predict(opened)
    identity = opened.identity("findings")
    check_folder(out, RESULT, identity, "evaluation", FILES)
    images = {each: predictions(opened, each, show_progress) for each in splits}
    rows = images[split]
    chosen_on = "val" if "val" in images else None
    thresholds, curves = {}, {}
    for k, name in enumerate(names):
        own = of_finding(rows, k)
        choosing = of_finding(images["val"], k) if chosen_on else []
        both = len({row["label"] for row in choosing}) == 2
        thresholds[name] = threshold_rows(choosing if both else None, own) if own else []
        curves[name] = roc_of(own)
    result = {
        **identity,
        "checkpoint": str(opened.checkpoint),
        "images_seen": opened.record.get("images_seen"),
        "data_root": str(cache.root),
        "split_by": cache.split_by,
        "num_images": len(rows),
        "num_patients": len({row["patient_id"] for row in rows}),
        "class_names": names,
        "finding_counts": counts_of(rows, names),
        **opened.of_seen,
        "images": rows,
        "summary": summary_of(rows, names),
        "thresholds_chosen_on": chosen_on,
        "thresholds": thresholds,
        "curves": curves,
        "versions": library_versions(),
    }
    result["notes"] = notes(result) + opened.notes + opened.notes_beside(splits)
    if rules:
        result["require"] = judged(rules, figures_of(result))
    shape = (1, datamodule.channels, datamodule.image_size, datamodule.image_size)
    result["grad_cam"] = grad_cam_layer(module.network, torch.zeros(shape, device=opened.device))
    drawn: dict[str, ImageArray | None] = {
        "auroc.png": auroc_plot(result),
        "roc.png": roc_grid(result),
        "grad_cam.png": grad_cam_sheet(opened, rows),
    }
    result["seconds"] = round(time.perf_counter() - started, 3)
    write_csv(out / FILES[0], [_flat(row, names) for row in rows])
    write_csv(out / FILES[1], _finding_rows(result))
    for name, image in drawn.items():
        if image is not None:
            save_png(out / name, image)
    write_text_atomic(out / FILES[-1], page(result, drawn))
    write_json_atomic(out / RESULT, result)
    return result


def predictions(opened: OpenedCheckpoint, split: str, show_progress: bool) -> list[dict[str, Any]]:
    """One row per film of a split: evaluation.json's "images".

    "findings" are 1, 0, or None for unknown; "log_loss" and "brier" are means over the known.

    Raises:
        UserError: The model predicts NaN.
    """
    rows = []
    loader = opened.datamodule.evaluation_loader(split)
    for batch in tqdm(loader, f"score {split}", unit="batch", disable=not show_progress):
        logits = opened.logits(batch).double().cpu()
        shares, truth = logits.sigmoid(), batch["findings"].double()
        known = ~truth.isnan()
        number = known.sum(dim=1)
        sure = torch.where(truth > 0.5, logits, -logits)
        losses = torch.where(known, -torch.nn.functional.logsigmoid(sure), 0.0).sum(dim=1) / number
        squares = torch.where(known, (shares - truth).square(), 0.0).sum(dim=1) / number
        for row, name in enumerate(batch["id"]):
            said = zip(truth[row].tolist(), known[row].tolist(), strict=True)
            rows.append(
                {
                    "id": name,
                    "patient_id": batch["patient_id"][row],
                    "findings": [int(value) if is_known else None for value, is_known in said],
                    "probabilities": shares[row].tolist(),
                    "log_loss": float(losses[row]),
                    "brier": float(squares[row]),
                }
            )
    return rows


def _flat(row: Row, names: Sequence[str]) -> dict[str, Any]:
    """A row for the table: a column for each finding and for its probability."""
    plain = {key: row[key] for key in ("id", "patient_id")}
    plain |= dict(zip(names, row["findings"], strict=True))
    plain |= {f"probability_{n}": p for n, p in zip(names, row["probabilities"], strict=True)}
    return plain | {key: row[key] for key in ("log_loss", "brier")}


def _finding_rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """A row of scores for each finding."""
    rows = []
    for name, counts in result["finding_counts"].items():
        row: dict[str, Any] = {"finding": name, **counts}
        for score in ("auroc", "average_precision"):
            entry = result["summary"][f"{score}_{name}"]
            row |= {score: entry["value"], f"{score}_low": entry["low"]}
            row |= {f"{score}_high": entry["high"]}
        rows.append(row)
    return rows
