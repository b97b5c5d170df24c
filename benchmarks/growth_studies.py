"""Studies, evaluations and audits of any size for `growth.py`; a training takes nothing here."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks import growth_inputs as inputs
from studies.run.verbs import Verbs

_SCENARIOS, _IMAGES_OF_A_CELL = 10, 60
_CELLS = (100, 1000, 3000)
_OF_PATIENT = 2
_QUERIES = 32
_DIMENSIONS = 64


@dataclass(frozen=True)
class _Fit:
    run_folder: Path
    best_checkpoint: Path
    last_checkpoint: Path
    images_seen: int = 768
    real_images_seen: int = 768
    seconds: float = 1.0


def load_verbs() -> Verbs:
    """Verbs that train nothing, and score images by chance."""
    nothing: Callable[..., Any] = lambda *_, **__: None  # noqa: E731
    return Verbs(_fit, nothing, _evaluate, nothing, nothing, _rehearse, nothing)


def _fit(words: list[str]) -> _Fit:
    folder = Path(words[words.index("--run_folder") + 1])
    (folder / "checkpoints").mkdir(parents=True)
    fit = _Fit(folder, folder / "checkpoints/best.ckpt", folder / "checkpoints/last.ckpt")
    for path in (fit.best_checkpoint, fit.last_checkpoint):
        path.write_text("weights", encoding="utf-8")
    rows = [f"{64 * (epoch + 1)},{epoch},train/loss,{1 / (epoch + 1)}" for epoch in range(12)]
    lines = "\n".join(["images_seen,epoch,name,value", *rows])
    (folder / "metrics.csv").write_text(lines, encoding="utf-8")
    return fit


def _rehearse(words: list[str], timed: bool) -> Any:
    return SimpleNamespace(
        steps=96, images=768, real_images=768, device="", seconds=None, num_timed=0,
        checkpoint_bytes=None, task="segmentation",
        class_names=("background", "kidney", "tumour"),
    )  # fmt: skip


def _evaluate(checkpoint: Path, out: Path, root: Path, split: str, seen: str = "") -> Any:
    out.mkdir(parents=True, exist_ok=True)
    seed = int(hashlib.sha256(out.parent.name.encode()).hexdigest()[:8], 16)
    return segmentation(_IMAGES_OF_A_CELL, seed)


def segmentation(images: int, seed: int) -> dict[str, Any]:
    """What evaluate.py finds of a segmenter on so many slices."""
    random = np.random.default_rng(seed)
    kidney, tumour = random.uniform(0.6, 0.9, images), random.uniform(0.1, 0.6, images)
    patients = [f"case_{row // inputs.SLICES_PER_VOLUME:05d}" for row in range(images)]
    rows = [
        {
            "id": f"{patient}/{row:04d}",
            "patient_id": patient,
            "iou_mean": float(0.3 + (kidney[row] + tumour[row]) / 3),
            "iou_foreground": float((kidney[row] + tumour[row]) / 2),
            "iou_background": 0.98,
            "iou_kidney": float(kidney[row]),
            "iou_tumour": float(tumour[row]) if row % 3 else None,
        }
        for row, patient in enumerate(patients)
    ]
    of_patients = [
        {
            "patient_id": patient,
            "num_images": inputs.SLICES_PER_VOLUME,
            **{f"dice_{name}": float(random.uniform(0.5, 1)) for name in ("kidney", "tumour")},
            **{f"hd95_{name}": float(random.uniform(2, 9)) for name in ("kidney", "tumour")},
            "hd95_unit": "mm",
        }
        for patient in dict.fromkeys(patients)
    ]
    scores = [key for key in rows[0] if key.startswith("iou")]
    of_volumes = (key for key in of_patients[0] if key.startswith(("dice", "hd95_")))
    scores += [key for key in of_volumes if key != "hd95_unit"]
    return {
        "task": "segmentation",
        "split": "test",
        "split_by": "patient",
        "class_names": ["background", "kidney", "tumour"],
        "absent_class": "skip",
        "summary": {key: {"value": 0.5} for key in scores},
        "images": rows,
        "patients": of_patients,
        "trivial_all_background": {"iou_mean": 0.41, "iou_foreground": 0.0},
        "hd95_undefined": 0,
    }


def films(count: int, seed: int, classes: int = 2) -> list[dict[str, Any]]:
    """A classifier's calls of so many films; one patient in four has films of two classes."""
    random = np.random.default_rng(seed)
    labels = (np.arange(count) // _OF_PATIENT) % classes
    labels[7::8] = (labels[7::8] + 1) % classes
    logits = random.normal(0, 1, (count, classes))
    logits[np.arange(count), labels] += 1.5
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return [
        {
            "id": f"film_{row}",
            "patient_id": f"patient_{row // _OF_PATIENT}",
            "label": int(labels[row]),
            "prediction": int(shares[row].argmax()),
            "probability": float(shares[row, 1]),
            "correct": int(shares[row].argmax() == labels[row]),
            "log_loss": float(-np.log(shares[row, labels[row]])),
            "brier": float((shares[row, 1] - (labels[row] == 1)) ** 2),
            **({} if classes == 2 else {"probabilities": shares[row].tolist()}),
        }
        for row in range(count)
    ]


def classification(count: int, seed: int) -> dict[str, Any]:
    """What evaluate.py finds of a classifier on so many films."""
    return {
        "task": "classification",
        "split": "test",
        "split_by": "patient",
        "class_names": ["normal", "abnormal"],
        "images": films(count, seed),
        "summary": {"auroc": {"value": 0.8}, "accuracy": {"value": 0.7}},
        "roc": {"false_positive_rate": [0.0, 0.3, 1.0], "true_positive_rate": [0.0, 0.8, 1.0]},
        "trivial_majority_class": {"class": "normal", "accuracy": 0.5, "auroc": 0.5},
    }


def _specification(seeds: int, metric: str = "iou_mean", scenarios: int = _SCENARIOS) -> Any:
    from studies.specification.read import parse_specification

    plan = {
        "name": "growth",
        "title": "Growth",
        "question": "How does a study grow?",
        "seeds": list(range(seeds)),
        "metric": {"name": metric, "title": metric},
        "scenarios": [
            {"id": number + 1, "name": f"scenario {number + 1}"} for number in range(scenarios)
        ],
        "models": [{"name": "unet", "title": "U-Net", "config": "configs/kits19/unet_light.yaml"}],
        "baseline_scenario": 1,
    }
    return parse_specification(plan, "growth.yaml")


def run(folder: Path, cells: int) -> None:
    """A study whose trainings take nothing, from its folder's state on."""
    import os

    from studies.run.runner import run_study

    os.environ["WANDB_MODE"] = "disabled"
    root = folder / "data"
    if not root.exists():
        inputs.write_slice_cache(root, 200)
    specification = _specification(cells // _SCENARIOS)
    run_study(
        specification, root, folder / "out", load_verbs, workers=0, say=lambda _: None,
        wandb="disabled",
    )  # fmt: skip


def report(folder: Path, size: int) -> None:
    """The report of a study's folder."""
    from studies.report.write import build_report

    build_report(folder / "out")


def _with_evaluations(
    folder: Path, metric: str, evaluation: Callable[[int, int], Any], images: int
) -> None:
    """A finished study of two scenarios and three seeds, each cell with so many test images."""
    import json

    from studies.run.runner import run_study

    root = inputs.write_slice_cache(folder / "data", 200)
    specification = _specification(3, scenarios=2)
    run_study(
        specification, root, folder / "out", load_verbs, workers=0, say=lambda _: None,
        wandb="disabled",
    )  # fmt: skip
    study = folder / "out/study.json"
    content = json.loads(study.read_text(encoding="utf-8"))
    content["specification"]["metric"] = {"name": metric, "title": metric}
    study.write_text(json.dumps(content), encoding="utf-8")
    for seed, path in enumerate(sorted((folder / "out/cells").glob("*.json"))):
        record = json.loads(path.read_text(encoding="utf-8"))
        record["evaluation"] = evaluation(images, seed)
        path.write_text(json.dumps(record), encoding="utf-8")


def make_slices(folder: Path, images: int) -> None:
    """A finished study of segmenters."""
    _with_evaluations(folder, "iou_mean", segmentation, images)


def make_films(folder: Path, images: int) -> None:
    """A finished study of classifiers."""
    _with_evaluations(folder, "auroc", classification, images)


def _score(classes: int) -> Callable[[Path, int], None]:
    def score(folder: Path, count: int) -> None:
        from evaluation.classification.summary import (
            reliability_rows,
            roc_of,
            summary_of,
            threshold_rows,
            trivial,
        )
        from evaluation.folder import write_csv
        from provenance import write_json_atomic

        rows, names = films(count, 0, classes), [f"class {one}" for one in range(classes)]
        found: dict[str, Any] = {"summary": summary_of(rows, names)}
        found["trivial"] = trivial(rows, names)
        if classes == 2:
            found |= {"thresholds": threshold_rows(rows, rows), "roc": roc_of(rows)}
            found["reliability"] = reliability_rows(rows)
        write_csv(folder / "images.csv", rows)
        write_json_atomic(folder / "evaluation.json", {**found, "images": rows})

    return score


def score_slices(folder: Path, count: int) -> None:
    """A segmenter's predictions, batch by batch, to its tables."""
    import torch

    from evaluation.folder import write_csv
    from evaluation.segmentation import _with_intervals
    from metrics.grey_range import GreyLevels
    from metrics.segmentation import SegmentationScores
    from provenance import write_json_atomic

    scores = SegmentationScores(["background", "kidney", "tumour"])
    levels = GreyLevels(3)
    random = torch.Generator().manual_seed(0)
    batch = inputs.SLICES_PER_VOLUME
    for start in range(0, count, batch):
        shape = (batch, inputs.SIDE, inputs.SIDE)
        truth, called = (torch.randint(3, shape, generator=random) for _ in range(2))
        grey = torch.randint(256, shape, generator=random, dtype=torch.uint8)
        patients = [f"case_{start // batch:05d}"] * batch
        ids = [f"case_{start // batch:05d}/{row:04d}" for row in range(batch)]
        scores.update(ids, patients, called, truth, range(batch), [(3.0, 1.0, 1.0)] * batch)
        levels.update(patients, grey.numpy(), truth.numpy())
    found = scores.compute()
    write_csv(folder / "images.csv", found["images"])
    write_csv(folder / "patients.csv", found["patients"])
    summary = _with_intervals(found)
    write_json_atomic(folder / "evaluation.json", {**found, "summary": summary})


def search(folder: Path, training: int) -> None:
    """An audit's search for what some images are copies of, by an untrained embedding."""
    import torch
    import torch.nn.functional as F

    from audit.embedding import CopyEmbedding
    from audit.matching import Gallery, match, points_of

    source = torch.Generator().manual_seed(0)
    images = torch.empty(training, 1, 32, 32, dtype=torch.uint8)
    for part in images.split(1024):
        coarse = torch.rand(len(part), 1, 8, 8, generator=source)
        part.copy_(255 * F.interpolate(coarse, size=32, mode="bilinear"))
    network = CopyEmbedding().eval()
    gallery = Gallery(images, torch.arange(training) // 2, points_of(network, images))
    match(network, gallery, images[torch.arange(_QUERIES) % training].clone())


def judge(folder: Path, synthetic: int) -> None:
    """What an audit makes of likenesses: flags, chance, and shares of copies."""
    from audit.statistics import (
        Scale,
        by_chance,
        effective_number,
        held_out_flags,
        share_of,
        threshold_of,
    )

    random = np.random.default_rng(0)
    ours, others = random.normal(0, 1, (synthetic, 2)), random.normal(0, 1, (2000, 2))
    own = [f"patient {row // 4}" for row in range(synthetic)]
    strangers = [f"patient {row // 4}" for row in range(len(others))]
    scores = Scale.of(others).scores(ours)
    held_out_flags(others, strangers, 0)
    by_chance(ours, own, others, strangers, 0)
    effective_number(scores, own)
    share_of(scores > threshold_of(Scale.of(others).scores(others)), own)


def compare(folder: Path, images: int) -> None:
    """Distances and scores of two sets from their features, as `evaluate.py images` has them."""
    from metrics.image_sets import set_distances, set_fidelity

    random = np.random.default_rng(0)
    real, made = (random.normal(0, 1, (images, _DIMENSIONS)) for _ in range(2))
    patients = [f"patient {row // 2}" for row in range(images)]
    set_distances("drawn", real, made, patients)
    set_fidelity("drawn", real, made, patients)


def _nothing(folder: Path, size: int) -> None:
    pass


_DECADES, _IMAGES = (1000, 10_000, 100_000), (1000, 10_000, 30_000)
ENTRIES: dict[str, tuple[Any, ...]] = {
    "run_study": ("`study.py run`, cells that take nothing", _nothing, run, _CELLS),
    "run_again": ("the same command on a finished study, cells", run, run, _CELLS),
    "report_cells": ("report of a study, cells", run, report, _CELLS),
    "report_slices": ("the same, test slices of a cell", make_slices, report, _DECADES),
    "report_films": ("the same, test films of a cell", make_films, report, _DECADES),
    "score_films": ("scores of a classifier, films", _nothing, _score(2), _DECADES),
    "score_classes": ("the same of five classes", _nothing, _score(5), _DECADES),
    "score_slices": ("scores of a segmenter, slices", _nothing, score_slices, _DECADES),
    "search": ("audit: search of 32 images among training images", _nothing, search, _DECADES),
    "judge": ("audit: judging likenesses of images", _nothing, judge, _DECADES),
    "compare": ("distances of two sets, features of each", _nothing, compare, _IMAGES),
}
