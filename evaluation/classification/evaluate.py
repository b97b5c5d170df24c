"""Scores of one classifier on one split, with intervals over patients, pictures and a page."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from display.sheet import save_png
from evaluation.checkpoint import (
    check_classes_and_size,
    check_unseen,
    checked_finite,
    datamodule_to_evaluate,
)
from evaluation.classification.comparison import check_same_films, comparisons, opened
from evaluation.classification.grad_cam import grad_cam_sheet, looked_at
from evaluation.classification.page import page
from evaluation.classification.plots import reliability_picture, roc_picture
from evaluation.classification.scores import (
    chosen_on,
    notes,
    reliability_rows,
    roc_of,
    summary_of,
    threshold_rows,
    trivial,
)
from evaluation.folder import RESULT, Split, write_csv
from lightning_modules.classifier import Classifier
from lightning_modules.device import Device, chosen_device
from lightning_modules.loading import data_root, load_module
from output_folder import is_begun
from provenance import UserError, library_versions, sha256_of, write_json_atomic, write_text_atomic

FILES = ("images.csv", "roc.png", "reliability.png", "grad_cam.png", "report.html")


def evaluate_classifier(
    checkpoint: Path,
    out: Path,
    root: Path | None = None,
    split: Split = "test",
    batch_size: int = 32,
    num_workers: int = 0,
    device: Device = "auto",
    compare: list[Path] | None = None,
    show_progress: bool = True,
    loaded: tuple[L.LightningModule, dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Score a classifier's checkpoint on one split of a cache of films.

    Writes evaluation.json, images.csv, roc.png, reliability.png, grad_cam.png and report.html.
    Thresholds are chosen on the validation split and scored on the split asked for. With more than
    two classes scores are means over classes of each against the others, and there are no
    thresholds, ROC and reliability pictures.

    Args:
        checkpoint: A classifier's checkpoint, as train.py wrote it.
        out: Folder for the results. One that holds another evaluation is refused, never
            overwritten; the same evaluation is computed again.
        root: The cache to score on. Default: the one that the checkpoint was trained on.
        split: Which split to score.
        batch_size: Films scored at once; the scores do not depend on it.
        num_workers: Processes that load images; 0 loads in this one.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        compare: Folders of finished evaluations of other classifiers on the same films.
        show_progress: A progress bar with the time left.
        loaded: What `load_module` gave for the checkpoint, where it is open already.

    Returns:
        The content of evaluation.json.

    Raises:
        UserError: Wrong input; the sentence says which and what to do.
    """
    started = time.perf_counter()
    checkpoint, out = Path(checkpoint), Path(out)
    module, record = loaded if loaded is not None else load_module(checkpoint)
    if not isinstance(module, Classifier):
        raise UserError(f"{checkpoint}: holds a {type(module).__name__}, expected a Classifier.")
    root = root if root is not None else data_root(checkpoint, record, "--root")
    datamodule = datamodule_to_evaluate(record, root, batch_size, num_workers)
    class_names = _checked_classes(checkpoint, module, record, datamodule, root)
    cache = datamodule.cache
    if compare and module.num_classes != 2:
        raise UserError(
            f"--compare: DeLong's test is for two classes, and {checkpoint} tells apart "
            f"{module.num_classes}. Leave it out."
        )
    others = [opened(Path(folder)) for folder in compare or []]
    check_same_films(cache.ids[datamodule.items(split)].tolist(), others)
    splits = dict.fromkeys((split, *_splits_to_choose_on(datamodule, split)))
    for each in splits:
        patients = cache.patient_ids[datamodule.items(each)].tolist()
        check_unseen(checkpoint, record, cache.root, cache.split_id, patients, each)
    identity = {
        "task": "classification",
        "checkpoint_sha256": sha256_of(checkpoint),
        "split": split,
        "split_id": cache.split_id,
    }
    is_begun(out, RESULT, identity, "evaluation", FILES)
    place = chosen_device(device)
    module.to(place)
    images = {
        each: predictions(module, datamodule, each, place, checkpoint, show_progress)
        for each in splits
    }
    rows = images[split]
    compared = comparisons(rows, others)
    choice = chosen_on(images, split)
    two = module.num_classes == 2
    result = {
        **identity,
        "checkpoint": str(checkpoint),
        "images_seen": record.get("images_seen"),
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
        "images": rows,
        "summary": summary_of(rows, class_names),
        "trivial_majority_class": trivial(rows, class_names),
        "thresholds_chosen_on": choice,
        "thresholds": threshold_rows(images[choice] if choice else None, rows) if two else [],
        "roc": roc_of(rows) if two else None,
        "reliability": reliability_rows(rows) if two else [],
        "comparisons": compared,
        "versions": library_versions(),
    }
    result["notes"] = notes(result)
    shape = (1, datamodule.channels, datamodule.image_size, datamodule.image_size)
    result["grad_cam"] = looked_at(module.network, torch.zeros(shape, device=place))
    pictures: dict[str, NDArray[np.uint8] | None] = {
        "roc.png": roc_picture(result, others) if result["roc"] else None,
        "reliability.png": reliability_picture(result) if two else None,
        "grad_cam.png": grad_cam_sheet(module, datamodule, split, rows, class_names, place),
    }
    result["seconds"] = round(time.perf_counter() - started, 3)
    write_csv(out / FILES[0], [_flat(row) for row in rows])
    for name, picture in pictures.items():
        if picture is not None:
            save_png(out / name, picture)
    write_text_atomic(out / FILES[-1], page(result, pictures))
    write_json_atomic(out / RESULT, result)
    return result


def predictions(
    module: Classifier,
    datamodule: Any,
    split: str,
    place: torch.device,
    checkpoint: Path,
    show_progress: bool,
) -> list[dict[str, Any]]:
    """One row per film of a split: evaluation.json's "images".

    A film of two classes is called positive from a probability of 0.5, as sensitivity counts it.
    "brier" is (p - y)^2 of the positive class, or the sum of squares over more than two classes.

    Raises:
        UserError: The model predicts NaN.
    """
    rows = []
    loader = datamodule.evaluation_loader(split)
    for batch in tqdm(loader, f"score {split}", unit="batch", disable=not show_progress):
        with torch.inference_mode():
            image = datamodule.to_unit({"image": batch["image"].to(place)})["image"]
            logits = checked_finite(module(image), checkpoint).double().cpu()
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


def _checked_classes(
    checkpoint: Path, module: Classifier, record: Mapping[str, Any], datamodule: Any, root: Path
) -> list[str]:
    """The class names of cache and checkpoint, which must be the same in the same order."""
    names = list(getattr(datamodule, "class_names", []))
    if getattr(datamodule, "label_column", None) is None:
        raise UserError(
            f"{root}: its films have no labels, so there is nothing to compare predictions with. "
            "Prepare it with --labels TABLE."
        )
    size = datamodule.image_size
    check_classes_and_size(checkpoint, record, module.num_classes, root, names, size)
    return names


def _splits_to_choose_on(datamodule: Any, split: str) -> list[str]:
    """The validation split, where the cache has films in it."""
    try:
        datamodule.items("val")
    except UserError:
        return []
    return ["val"]


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row for the table: a list becomes columns."""
    plain = {key: value for key, value in row.items() if key != "probabilities"}
    every = enumerate(row.get("probabilities", []))
    return {**plain, **{f"probability_{place}": value for place, value in every}}
