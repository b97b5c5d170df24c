"""Scores of one segmenter on one split, with intervals over patients and a sheet of images."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from datamodules.slice_cache import SliceCache, SliceItem
from display.colours import ImageArray, overlay
from display.numbers import number
from display.png import save_png
from display.sheet import sheet
from evaluation.checkpoint import OpenedCheckpoint
from evaluation.figures import figures_of
from evaluation.folder import RESULT, write_csv
from gates.judge import judged
from gates.rules import Rule
from metrics.grey_range import GreyLevels
from metrics.intervals import patient_interval
from metrics.segmentation import SegmentationScores
from output_folder import check_folder
from provenance import library_versions, write_json_atomic

_FILES = ("images.csv", "patients.csv", "predictions.png")
_IMAGES_OF_A_KIND = 2


def score_segmenter(
    opened: OpenedCheckpoint,
    out: Path,
    absent_class: Literal["skip", "one"] | None,
    show_progress: bool,
    rules: Sequence[Rule] = (),
) -> dict[str, Any]:
    """Score a segmenter: evaluation.json, images.csv, patients.csv and predictions.png.

    Args:
        opened: The segmenter and its data.
        out: Folder for the results.
        absent_class: See `evaluate`; None takes the checkpoint's setting.
        show_progress: A progress bar with the time left.
        rules: What is required of the scores.

    Returns:
        The content of evaluation.json.

    Raises:
        UserError: The folder holds something else, or the model predicts NaN.
    """
    started = time.perf_counter()
    datamodule, split = opened.datamodule, opened.split
    cache: SliceCache = datamodule.cache
    identity = {
        **opened.identity("segmentation"),
        "slices": datamodule.slices,
        "absent_class": absent_class or opened.module.absent_class,
    }
    check_folder(out, RESULT, identity, "evaluation", _FILES)
    items = {item.id: item for item in datamodule.items(split)}
    scores = SegmentationScores(datamodule.class_names, identity["absent_class"])
    grey_levels = [GreyLevels(len(datamodule.class_names)) for _ in range(cache.num_channels)]
    loader = datamodule.evaluation_loader(split)
    for batch in tqdm(loader, f"score {split}", unit="batch", disable=not show_progress):
        scores.update(
            batch["id"],
            batch["patient_id"],
            opened.logits(batch).argmax(dim=1),
            batch["mask"].to(opened.device),
            slice_index=batch["slice_index"],
            spacing_mm=[_spacing_mm(items[name]) for name in batch["id"]],
        )
        for levels, greys in zip(grey_levels, batch["image"].numpy().swapaxes(0, 1), strict=True):
            levels.update(batch["patient_id"], greys, batch["mask"].numpy())
    found = scores.compute()
    result = {
        **identity,
        "checkpoint": str(opened.checkpoint),
        "images_seen": opened.record.get("images_seen"),
        "data_root": str(cache.root),
        "split_by": cache.split_by,
        "num_images": len(found["images"]),
        "num_patients": len(found["patients"]),
        "class_names": datamodule.class_names,
        **opened.of_seen,
        "notes": opened.notes,
        **found,
        "trivial_grey_range": _best_ranges(grey_levels, cache),
        "summary": _with_intervals(found),
        "versions": library_versions(),
        "seconds": round(time.perf_counter() - started, 3),
    }
    if rules:
        result["require"] = judged(rules, figures_of(result))
    write_json_atomic(out / RESULT, result)
    write_csv(out / _FILES[0], found["images"])
    write_csv(out / _FILES[1], found["patients"])
    save_png(out / _FILES[2], prediction_sheet(opened, found["images"]))
    return result


def prediction_sheet(opened: OpenedCheckpoint, images: Sequence[Mapping[str, Any]]) -> ImageArray:
    """Best, median and worst images by foreground IoU: image, truth, prediction.

    Args:
        opened: The segmenter and its data.
        images: Entries of evaluation.json's "images", in the split's order.

    Returns:
        (H', W', 3) uint8.
    """
    datamodule, names = opened.datamodule, opened.datamodule.class_names
    samples = datamodule.evaluation_set(opened.split)
    index = {image["id"]: position for position, image in enumerate(images)}
    size = datamodule.image_size
    cell = 256 if size >= 256 else size * -(-160 // size)
    opacity, contour = (0.3, size // 256) if size >= 256 else (0.45, 0)
    rows, titles = [], []
    for kind, image in _best_median_worst(images):
        batch = datamodule.collate([samples[index[image["id"]]]])
        pixels, truth = batch["image"][0, 0].numpy(), batch["mask"][0].numpy()
        prediction = opened.logits(batch)[0].argmax(dim=0).cpu().numpy()
        drawn = [overlay(pixels, labels, opacity, contour) for labels in (truth, prediction)]
        rows.append([pixels, *drawn])
        lines = [kind, str(image["id"])]
        lines += [f"{name} {number(image[f'iou_{name}'], '.2f', '-')}" for name in names[1:]]
        titles.append("\n".join(lines))
    return sheet(
        rows,
        titles,
        ["image", "truth", "prediction"],
        cell,
        f"IoU of {len(rows)} of {len(images)} images, ranked by the mean over the classes other "
        "than background. A hyphen: in neither truth nor prediction.",
        legend=names,
    )


def _best_median_worst(
    images: Sequence[Mapping[str, Any]],
) -> list[tuple[str, Mapping[str, Any]]]:
    ranked = sorted(
        (image for image in images if image["iou_foreground"] is not None),
        key=lambda image: (-image["iou_foreground"], image["id"]),
    ) or list(images)
    rank = {image["id"]: position for position, image in enumerate(ranked)}
    from_the_middle = sorted(ranked, key=lambda image: abs(rank[image["id"]] - len(ranked) // 2))
    chosen: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for kind, order in (
        ("best", ranked),
        ("worst", ranked[::-1]),
        ("median", from_the_middle),
    ):
        free = [image for image in order if image["id"] not in chosen]
        for image in _of_different_patients(free)[:_IMAGES_OF_A_KIND]:
            chosen[image["id"]] = (kind, image)
    return [chosen[image["id"]] for image in ranked if image["id"] in chosen]


def _of_different_patients(images: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The same images with the first one of every patient in front."""
    first: dict[str, Mapping[str, Any]] = {}
    for image in images:
        first.setdefault(image["patient_id"], image)
    leaders = {image["id"] for image in first.values()}
    return [*first.values(), *(image for image in images if image["id"] not in leaders)]


def _best_ranges(grey_levels: Sequence[GreyLevels], cache: SliceCache) -> dict[str, dict[str, Any]]:
    """The range of one channel's grey values that finds each class best, of all channels.

    It is in HU too where the cache knows them, and names its channel where there are several.
    """
    ranges = {}
    for label, name in enumerate(cache.class_names[1:], start=1):
        found = ((place, levels.best(label)) for place, levels in enumerate(grey_levels))
        of_channels = [(place, best) for place, best in found if best is not None]
        if not of_channels:
            continue
        place, best = max(of_channels, key=lambda one: one[1].dice)  # the first of equal ones
        ranges[name] = asdict(best)
        if cache.num_channels > 1:
            ranges[name]["channel"] = cache.channels[place]
        if scale := cache.grey_scale(place):
            for end in ("low", "high"):
                ranges[name][f"{end}_hu"] = scale.low_hu + ranges[name][end] / 255 * scale.width_hu
    return ranges


def _spacing_mm(item: SliceItem) -> tuple[float, float, float] | None:
    if item.pixel_spacing_mm is None or item.slice_spacing_mm is None:
        return None
    return (float(item.slice_spacing_mm), *item.pixel_spacing_mm)


def _with_intervals(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The summary with an interval over patients beside each mean."""
    summary = {}
    of_images = set(found["images"][0]) if found["images"] else set()
    for key, mean in found["summary"].items():
        rows = found["images"] if key in of_images else found["patients"]
        if key.startswith("hd95_"):
            rows = [row for row in rows if row["hd95_unit"] == found["hd95_unit"]]
        interval = patient_interval([r[key] for r in rows], [r["patient_id"] for r in rows])
        summary[key] = {**interval.as_dict(), "value": mean}
    return summary
