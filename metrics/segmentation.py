"""Overlap of predicted and true label maps: IoU per image, Dice and HD95 per patient.

What an image without a class counts is a setting, because it moves the mean by tens of points on
data where most slices hold no tumour. With `absent_class="skip"` a class that is in neither truth
nor prediction is left out of that image's mean; with `"one"` it counts as a perfect 1. Predicted
but absent from the truth is 0 in both, and so is present but missed.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from metrics.surface_distance import patient_hd95

AbsentClass = Literal["skip", "one"]


def image_confusion(prediction: Tensor, target: Tensor, num_classes: int) -> Tensor:
    """Pixels by true class (row) and predicted class (column), one table per image.

    Args:
        prediction: (N, H, W) integer labels in [0, num_classes).
        target: (N, H, W) integer labels in [0, num_classes).
        num_classes: C, background included.

    Returns:
        (N, C, C) int64 on the device of the target.

    Raises:
        ValueError: shapes differ, or a label lies outside.
    """
    if prediction.shape != target.shape or target.ndim != 3:
        raise ValueError(
            f"prediction is {tuple(prediction.shape)} and target {tuple(target.shape)}, "
            "expected both (N, H, W)."
        )
    num_images = target.shape[0]
    for name, labels in (("prediction", prediction), ("target", target)):
        if labels.numel() and not (int(labels.min()) >= 0 and int(labels.max()) < num_classes):
            raise ValueError(
                f"{name} holds labels {int(labels.min())}..{int(labels.max())}, expected "
                f"0..{num_classes - 1}."
            )
    image = torch.arange(num_images, device=target.device)[:, None]
    cell = target.flatten(1).long() * num_classes + prediction.flatten(1).long()
    cell += image * num_classes**2
    counts = torch.bincount(cell.flatten(), minlength=num_images * num_classes**2)
    return counts.view(num_images, num_classes, num_classes)


def confusion_iou(confusion: Tensor, absent_class: AbsentClass = "skip") -> Tensor:
    """IoU per class from tables of pixels; of one image its mean is that of Choe et al. 2022.

    Args:
        confusion: (..., C, C) counts, rows = truth.
        absent_class: "skip" gives nan to a class that is in neither truth nor prediction, "one"
            gives it 1.

    Returns:
        (..., C) float64 in [0, 1] or nan.
    """
    if absent_class not in ("skip", "one"):
        raise ValueError(f'absent_class is {absent_class!r}, expected "skip" or "one".')
    table = confusion.double()
    overlap = table.diagonal(dim1=-2, dim2=-1)
    union = table.sum(-1) + table.sum(-2) - overlap
    absent = torch.full_like(union, math.nan if absent_class == "skip" else 1.0)
    return torch.where(union > 0, overlap / union.clamp(min=1), absent)


class SegmentationScores:
    """Collects predictions batch by batch and gives the scores of `evaluation.json`.

    Holds counts per image, and the label maps of one patient at a time: HD95 needs a patient's
    slices together, so they have to arrive grouped by patient (in any order within one).

    Args:
        class_names: C names, background first; they end the keys, as in `iou_tumour`.
        absent_class: see `confusion_iou`.
    """

    def __init__(self, class_names: Sequence[str], absent_class: AbsentClass = "skip") -> None:
        self.class_names = list(class_names)
        self.absent_class: AbsentClass = absent_class
        self._images: dict[str, dict[str, Any]] = {}
        self._patients: dict[str, dict[str, Any]] = {}
        self._open_patient: str | None = None
        self._open_slices: list[dict[str, Any]] = []

    def update(
        self,
        ids: Sequence[str],
        patient_ids: Sequence[str],
        prediction: Tensor,
        target: Tensor,
        slice_index: Sequence[int] | Tensor | None = None,
        spacing_mm: Sequence[Sequence[float] | None] | None = None,
    ) -> None:
        """Add one batch.

        Args:
            ids: N names, each seen once.
            patient_ids: N patients.
            prediction: (N, H, W) integer labels.
            target: (N, H, W) integer labels.
            slice_index: N positions in the patient's volume, where there is one.
            spacing_mm: N times (slice, row, column) spacing in mm or None; HD95 is then 3-D and in
                mm for volumes without gaps.

        Raises:
            ValueError: an id came before, or a patient came back after another one.
        """
        tables = image_confusion(prediction, target, len(self.class_names)).tolist()
        predicted = prediction.to(torch.uint8).cpu().numpy()
        true = target.to(torch.uint8).cpu().numpy()
        for row, (name, patient) in enumerate(zip(ids, patient_ids, strict=True)):
            if patient != self._open_patient:
                self._close_patient()
                self._open_patient = patient
            if name in self._images:
                raise ValueError(f"{name}: was scored already. Each image counts once.")
            self._images[name] = {"id": name, "patient_id": patient, "confusion": tables[row]}
            self._open_slices.append(
                {
                    "confusion": tables[row],
                    "prediction": predicted[row],
                    "target": true[row],
                    "index": None if slice_index is None else int(slice_index[row]),
                    "spacing_mm": None if spacing_mm is None else spacing_mm[row],
                }
            )

    def compute(self) -> dict[str, Any]:
        """Scores of everything collected.

        Returns:
            "summary": plain means (None where nothing counts) of "images" and "patients"; those two
                lists, sorted by
            patient and id; "trivial_all_background": what a prediction of background everywhere
            scores on the same images;
            "hd95_undefined": comparisons (a volume, or a slice) of one class where only one side
                holds it;
            "hd95_unit": that of the summary, the one that more patients have; the others are left
                out of its mean.
        """
        self._close_patient()
        entries = sorted(
            self._images.values(), key=lambda entry: (entry["patient_id"], entry["id"])
        )
        patients = sorted(self._patients.values(), key=lambda entry: entry["patient_id"])
        size = len(self.class_names)
        tables = torch.tensor([entry["confusion"] for entry in entries], dtype=torch.int64)
        tables = tables.view(-1, size, size)
        trivial = torch.zeros_like(tables)
        trivial[:, :, 0] = tables.sum(2)

        images = self._image_scores(entries, tables)
        unit = self._common_unit(patients)
        summary: dict[str, float | None] = {}
        for key in [key for key in self._image_keys() if images]:
            summary[key] = _mean([image[key] for image in images])
        for kind in ("dice", "hd95"):
            for name in self.class_names[1:]:
                counted = [p for p in patients if kind == "dice" or p["hd95_unit"] == unit]
                summary[f"{kind}_{name}"] = _mean([p[f"{kind}_{name}"] for p in counted])
        background = self._image_scores(entries, trivial)
        return {
            "summary": summary,
            "images": images,
            "patients": [
                {key: value for key, value in p.items() if key != "hd95_undefined"}
                for p in patients
            ],
            "trivial_all_background": {
                key: _mean([image[key] for image in background])
                for key in ("iou_mean", "iou_foreground")
            },
            "hd95_undefined": sum(patient["hd95_undefined"] for patient in patients),
            "hd95_unit": unit,
        }

    def _image_keys(self) -> list[str]:
        return ["iou_mean", "iou_foreground", *(f"iou_{name}" for name in self.class_names)]

    def _image_scores(
        self, entries: Sequence[dict[str, Any]], tables: Tensor
    ) -> list[dict[str, Any]]:
        iou = confusion_iou(tables, self.absent_class)
        columns = torch.cat(
            [iou.nanmean(1, True), iou[:, 1:].nanmean(1, True), iou], dim=1
        ).tolist()
        return [
            {"id": entry["id"], "patient_id": entry["patient_id"]}
            | {key: _none_if_nan(value) for key, value in zip(self._image_keys(), row, strict=True)}
            for entry, row in zip(entries, columns, strict=True)
        ]

    @staticmethod
    def _common_unit(patients: Sequence[dict[str, Any]]) -> str:
        in_mm = sum(patient["hd95_unit"] == "mm" for patient in patients)
        return "mm" if 2 * in_mm >= len(patients) and in_mm else "px"

    def _close_patient(self) -> None:
        """Score the patient whose slices are held, and let go of them."""
        patient, slices = self._open_patient, self._open_slices
        self._open_patient, self._open_slices = None, []
        if patient is None:
            return
        if patient in self._patients:
            raise ValueError(
                f"{patient}: came back after another patient. Group the images by patient: HD95 "
                "needs its slices together."
            )
        table = np.sum([piece["confusion"] for piece in slices], axis=0)
        hd95, unit, undefined = patient_hd95(slices, range(1, len(self.class_names)))
        scores: dict[str, Any] = {"patient_id": patient, "num_images": len(slices)}
        for label, name in enumerate(self.class_names[1:], start=1):
            held = int(table[label].sum() + table[:, label].sum())
            scores[f"dice_{name}"] = 2 * int(table[label, label]) / held if held else None
        for label, name in enumerate(self.class_names[1:], start=1):
            scores[f"hd95_{name}"] = hd95[label]
        self._patients[patient] = scores | {"hd95_unit": unit, "hd95_undefined": undefined}


def _mean(values: Sequence[float | None]) -> float | None:
    counted = [value for value in values if value is not None]
    return math.fsum(counted) / len(counted) if counted else None


def _none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else value
