"""Score a checkpoint on corrupted images: figures of its scores against severity, and a page."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from augmentations.corruptions import MEANINGS, PARAMETERS
from display.colours import ImageArray, overlay
from display.png import save_png
from display.sheet import sheet
from evaluation.checkpoint import OpenedCheckpoint
from evaluation.figures import figures_of
from evaluation.folder import RESULT, write_csv
from evaluation.robustness.conditions import (
    Condition,
    CorruptedCheckpoint,
    conditions_of,
    rows_of,
)
from evaluation.robustness.page import page
from evaluation.robustness.plot import severity_plot
from evaluation.robustness.scores import ConditionScores, classifier_scores, segmenter_scores
from evaluation.robustness.trivial import nothing_to_lose, trivial_classifier, trivial_segmenter
from gates.judge import judged
from gates.rules import Rule
from lightning_modules import Segmenter
from metrics.segmentation import AbsentClass
from output_folder import check_folder
from provenance import library_versions, write_json_atomic, write_text_atomic

FILES = ("corruptions.csv", "severity.png", "corrupted.png", "report.html")


def score_corrupted(
    opened: OpenedCheckpoint,
    out: Path,
    corruptions: Sequence[str],
    seed: int,
    absent_class: AbsentClass | None,
    show_progress: bool,
    rules: Sequence[Rule] = (),
) -> dict[str, Any]:
    """Score a split clean and under every severity of the corruptions asked for.

    Writes evaluation.json, corruptions.csv, severity.png, corrupted.png and report.html.

    Args:
        opened: A classifier or a segmenter, and its data.
        out: Folder for the results.
        corruptions: Names of `augmentations.corruptions`, or "all".
        seed: Of noise, trails and squares; with it and an image its corruption is decided.
        absent_class: Of segmenters; see `evaluate`.
        show_progress: A progress bar with the time left.
        rules: What is required of the scores.

    Returns:
        The content of evaluation.json.

    Raises:
        UserError: An unknown corruption, a folder that holds something else, or NaN.
    """
    started = time.perf_counter()
    datamodule, of_segmenter = opened.datamodule, isinstance(opened.module, Segmenter)
    conditions = conditions_of(corruptions)
    names = list(dict.fromkeys(each.corruption for each in conditions if each.corruption))
    identity: dict[str, Any] = {**opened.identity("robustness"), "corruptions": names, "seed": seed}
    if of_segmenter:
        identity["slices"] = datamodule.slices
        identity["absent_class"] = absent_class or opened.module.absent_class
    check_folder(out, RESULT, identity, "evaluation", FILES)
    passes = [
        rows_of(opened, each, seed, absent_class)
        for each in tqdm(conditions, "corruptions", unit="pass", disable=not show_progress)
    ]
    class_names = datamodule.class_names
    scores = segmenter_scores(passes, class_names) if of_segmenter else classifier_scores(passes)
    if of_segmenter:
        absent = absent_class or opened.module.absent_class
        trivial = trivial_segmenter(passes[0], class_names, absent)
    else:
        trivial = trivial_classifier(passes[0], class_names)
    corrupted = range(1, len(conditions))
    summary = _summary(scores, corrupted)
    result: dict[str, Any] = {
        **identity,
        "kind": "segmenter" if of_segmenter else "classifier",
        "checkpoint": str(opened.checkpoint),
        "images_seen": opened.record.get("images_seen"),
        "data_root": str(datamodule.cache.root),
        "split_by": datamodule.cache.split_by,
        "image_size": datamodule.image_size,
        "num_images": len(passes[0]),
        "num_patients": len({row["patient_id"] for row in passes[0]}),
        "class_names": class_names,
        "primary": scores[0].name,
        **opened.of_seen,
        "summary": summary,
        "trivial": trivial,
        "corruption_scores": {
            name: {
                "meaning": MEANINGS[name],
                **_means(scores, [k for k in corrupted if conditions[k].corruption == name]),
            }
            for name in names
        },
        "conditions": [
            {
                "corruption": each.corruption,
                "severity": each.severity,
                "parameter": _parameter(each),
                "scores": {score.name: score.values[k].as_dict() for score in scores},
                "lost": {
                    score.name: score.mean([k], minus_clean=True).as_dict() for score in scores
                },
            }
            for k, each in enumerate(conditions)
        ],
        "notes": [*nothing_to_lose(summary, trivial), *opened.notes],
        "versions": library_versions(),
    }
    if rules:
        result["require"] = judged(rules, figures_of(result))
    plot, pictures = severity_plot(result), _sheet(opened, names, seed)
    result["seconds"] = round(time.perf_counter() - started, 3)
    write_csv(out / FILES[0], _table(result))
    save_png(out / FILES[1], plot)
    save_png(out / FILES[2], pictures)
    write_text_atomic(out / FILES[3], page(result, plot, pictures))
    write_json_atomic(out / RESULT, result)
    return result


def _summary(scores: Sequence[ConditionScores], corrupted: Sequence[int]) -> dict[str, Any]:
    """Each score clean, as a mean over all corruptions and severities, and what is lost."""
    found = {}
    for score in scores:
        found[score.name] = score.values[0].as_dict()
        found[f"{score.name}_corrupted"] = score.mean(corrupted).as_dict()
        found[f"{score.name}_lost"] = score.mean(corrupted, minus_clean=True).as_dict()
    return found


def _means(scores: Sequence[ConditionScores], conditions: Sequence[int]) -> dict[str, Any]:
    return {
        "scores": {score.name: score.mean(conditions).as_dict() for score in scores},
        "lost": {score.name: score.mean(conditions, True).as_dict() for score in scores},
    }


def _parameter(condition: Condition) -> Any:
    if condition.corruption is None:
        return None
    return PARAMETERS[condition.corruption][condition.severity - 1]


def _table(result: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each condition and score."""
    return [
        {
            "corruption": each["corruption"] or "clean",
            "severity": each["severity"],
            "score": name,
            "value": entry["value"],
            "low": entry["low"],
            "high": entry["high"],
            "lost": each["lost"][name]["value"],
            "lost_low": each["lost"][name]["low"],
            "lost_high": each["lost"][name]["high"],
        }
        for each in result["conditions"]
        for name, entry in each["scores"].items()
    ]


def _sheet(opened: OpenedCheckpoint, names: Sequence[str], seed: int) -> ImageArray:
    """One image of the split under every corruption; of slices what is predicted, over it."""
    datamodule = opened.datamodule
    samples = datamodule.evaluation_set(opened.split)
    batch = datamodule.collate([samples[_to_show(datamodule, opened.split, len(samples))]])
    rows = []
    for name in names:
        row = []
        for condition in (Condition(), *conditions_of([name])[1:]):
            seen = CorruptedCheckpoint.of(opened, condition, seed)
            unit = seen.unit_images(batch)[0].float().cpu()
            levels = ((unit + 1) * 127.5).round().clamp(0, 255).byte().numpy()
            pixels = levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0)
            if isinstance(opened.module, Segmenter):
                labels = seen.logits(batch)[0].argmax(dim=0).cpu().numpy()
                pixels = overlay(pixels, labels, 0.45, 0)
            row.append(pixels)
        rows.append(row)
    size = datamodule.image_size
    return sheet(
        rows,
        [name.replace("_", " ") for name in names],
        ["clean", *(f"severity {each}" for each in range(1, 6))],
        max(size, 128 // size * size),
        "One image of the split as the model sees it"
        + (", with what it predicts." if isinstance(opened.module, Segmenter) else "."),
        legend=datamodule.class_names if isinstance(opened.module, Segmenter) else None,
    )


def _to_show(datamodule: Any, split: str, number: int) -> int:
    """The image in the middle; of slices the one with most foreground."""
    items = datamodule.items(split)
    if hasattr(items[0], "class_pixels"):
        return max(range(number), key=lambda index: (sum(items[index].class_pixels[1:]), -index))
    return number // 2
