"""Scores of one segmenter on one split, with intervals over patients and pictures."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from datamodules.slice_cache import SliceCache, SliceItem
from datamodules.slice_dataset import to_unit
from display.sheet import overlay, save_png, sheet
from evaluation.checkpoint import (
    check_classes_and_size,
    check_unseen,
    checked_finite,
    datamodule_to_evaluate,
)
from evaluation.folder import RESULT, Split, write_csv
from lightning_modules.device import Device, chosen_device
from lightning_modules.loading import data_root, load_module
from lightning_modules.segmenter import Segmenter
from metrics.intervals import patient_bootstrap
from metrics.segmentation import SegmentationScores
from output_folder import is_begun
from provenance import UserError, library_versions, sha256_of, write_json_atomic

_FILES = ("images.csv", "patients.csv", "predictions.png")
_PICTURES_OF_A_KIND = 2


def evaluate_segmenter(
    checkpoint: Path,
    out: Path,
    root: Path | None = None,
    split: Split = "test",
    absent_class: Literal["skip", "one"] | None = None,
    slices: Literal["foreground", "all"] | None = None,
    batch_size: int = 8,
    num_workers: int = 0,
    device: Device = "auto",
    show_progress: bool = True,
    loaded: tuple[L.LightningModule, dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Score a segmenter's checkpoint on one split of a cache.

    Writes evaluation.json, images.csv, patients.csv and predictions.png.

    Args:
        checkpoint: A segmenter's checkpoint, as train.py wrote it.
        out: Folder for the results. One that holds another evaluation is refused, never
            overwritten; the same evaluation is computed again.
        root: The cache to score on; --data.root is understood too. Default: the one that the
            checkpoint was trained on.
        split: Which split to score.
        absent_class: What an image counts for a class that neither truth nor prediction holds:
            "skip" leaves the class out of that image's mean, "one" counts it as 1. Default: the
            checkpoint's setting.
        slices: "foreground" scores slices that hold any foreground, "all" scores every slice.
            Default: as the checkpoint was trained.
        batch_size: Images scored at once; the scores do not depend on it.
        num_workers: Processes that load images; 0 loads in this one.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
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
    if not isinstance(module, Segmenter):
        raise UserError(f"{checkpoint}: holds a {type(module).__name__}, expected a Segmenter.")
    root = root if root is not None else data_root(checkpoint, record, "--root")
    datamodule = datamodule_to_evaluate(record, root, batch_size, num_workers, slices=slices)
    cache: SliceCache = datamodule.cache
    names, size = cache.class_names, cache.image_size
    check_classes_and_size(checkpoint, record, module.num_classes, cache.root, names, size)
    loader = datamodule.evaluation_loader(split)
    items = {item.id: item for item in datamodule.items(split)}
    patients = [item.patient_id for item in items.values()]
    check_unseen(checkpoint, record, cache.root, cache.split_id, patients, split)
    identity = {
        "task": "segmentation",
        "checkpoint_sha256": sha256_of(checkpoint),
        "split": split,
        "split_id": cache.split_id,
        "slices": datamodule.slices,
        "absent_class": absent_class or module.absent_class,
    }
    is_begun(out, RESULT, identity, "evaluation", _FILES)
    place = chosen_device(device)
    module.to(place)

    def predict(image: Tensor) -> Tensor:
        return _labels(module, image.to(place), checkpoint)

    scores = SegmentationScores(cache.class_names, identity["absent_class"])
    for batch in tqdm(loader, f"score {split}", unit="batch", disable=not show_progress):
        scores.update(
            batch["id"],
            batch["patient_id"],
            predict(batch["image"]),
            batch["mask"].to(place),
            slice_index=batch["slice_index"],
            spacing_mm=[_spacing_mm(items[name]) for name in batch["id"]],
        )
    found = scores.compute()
    result = {
        **identity,
        "checkpoint": str(checkpoint),
        "images_seen": record.get("images_seen"),
        "data_root": str(cache.root),
        "split_by": cache.split_by,
        "num_images": len(found["images"]),
        "num_patients": len(found["patients"]),
        "class_names": cache.class_names,
        **found,
        "summary": _with_intervals(found),
        "versions": library_versions(),
        "seconds": round(time.perf_counter() - started, 3),
    }
    write_json_atomic(out / RESULT, result)
    write_csv(out / _FILES[0], found["images"])
    write_csv(out / _FILES[1], found["patients"])
    save_png(out / _FILES[2], prediction_sheet(found["images"], cache, items, predict))
    return result


def prediction_sheet(
    images: Sequence[Mapping[str, Any]],
    cache: SliceCache,
    items: Mapping[str, SliceItem],
    predict: Callable[[Tensor], Tensor],
) -> NDArray[np.uint8]:
    """Best, median and worst images by foreground IoU: image, truth, prediction.

    Args:
        images: Entries of evaluation.json's "images".
        cache: Where they lie.
        items: Slices of the cache by id.
        predict: From uint8 images (N, 1, H, W) to labels (N, H, W).

    Returns:
        (H', W', 3) uint8.
    """
    size = cache.image_size
    cell = 256 if size >= 256 else size * -(-160 // size)
    opacity, contour = (0.3, size // 256) if size >= 256 else (0.45, 0)
    rows, titles = [], []
    for kind, image in _best_median_worst(images):
        item = items[image["id"]]
        picture = np.array(cache.image(item))
        prediction = predict(torch.from_numpy(picture)[None, None])[0].cpu().numpy()
        truth = np.array(cache.mask(item))
        drawn = [overlay(picture, labels, opacity, contour) for labels in (truth, prediction)]
        rows.append([picture, *drawn])
        lines = [kind, str(image["id"])]
        lines += [f"{name} {_shown(image[f'iou_{name}'])}" for name in cache.class_names[1:]]
        titles.append("\n".join(lines))
    return sheet(
        rows,
        titles,
        ["image", "truth", "prediction"],
        cell,
        f"IoU of {len(rows)} of {len(images)} images, ranked by the mean over the classes other "
        "than background. A hyphen: in neither truth nor prediction.",
        legend=cache.class_names,
    )


def _best_median_worst(
    images: Sequence[Mapping[str, Any]],
) -> list[tuple[str, Mapping[str, Any]]]:
    ranked = sorted(
        (image for image in images if image["iou_foreground"] is not None),
        key=lambda image: (-image["iou_foreground"], image["id"]),
    ) or list(images)
    rank = {image["id"]: place for place, image in enumerate(ranked)}
    from_the_middle = sorted(ranked, key=lambda image: abs(rank[image["id"]] - len(ranked) // 2))
    chosen: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for kind, order in (
        ("best", ranked),
        ("worst", ranked[::-1]),
        ("median", from_the_middle),
    ):
        free = [image for image in order if image["id"] not in chosen]
        for image in _of_different_patients(free)[:_PICTURES_OF_A_KIND]:
            chosen[image["id"]] = (kind, image)
    return [chosen[image["id"]] for image in ranked if image["id"] in chosen]


def _of_different_patients(images: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The same images with the first one of every patient in front."""
    first: dict[str, Mapping[str, Any]] = {}
    for image in images:
        first.setdefault(image["patient_id"], image)
    leaders = {image["id"] for image in first.values()}
    return [*first.values(), *(image for image in images if image["id"] not in leaders)]


def _labels(module: Segmenter, image: Tensor, checkpoint: Path) -> Tensor:
    """uint8 (N, 1, H, W) to predicted labels (N, H, W)."""
    with torch.inference_mode():
        logits = module(to_unit({"image": image, "mask": image[:, 0]})["image"])
    checked_finite(logits, checkpoint)
    return logits.argmax(dim=1)


def _spacing_mm(item: SliceItem) -> tuple[float, float, float] | None:
    if item.pixel_spacing_mm is None or item.slice_spacing_mm is None:
        return None
    return (float(item.slice_spacing_mm), *item.pixel_spacing_mm)


def _with_intervals(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The summary with an interval over patients beside each mean."""
    summary = {}
    for key, mean in found["summary"].items():
        rows = found["images"] if key.startswith("iou_") else found["patients"]
        if key.startswith("hd95_"):
            rows = [row for row in rows if row["hd95_unit"] == found["hd95_unit"]]
        interval = patient_bootstrap([r[key] for r in rows], [r["patient_id"] for r in rows])
        summary[key] = {**interval.as_dict(), "value": mean}
    return summary


def _shown(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.2f}"
