"""What a model without any skill scores on the clean images, and whether there is more to lose."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from metrics.segmentation import AbsentClass, confusion_iou

_SHARE = 0.1
"""Below this share of the way from the trivial score to 1 a model has nothing to lose."""

Rows = Sequence[Mapping[str, Any]]


def trivial_classifier(rows: Rows, class_names: Sequence[str]) -> dict[str, Any]:
    """Of always calling the most frequent class; "what" and "scores"."""
    label, held = Counter(int(row["label"]) for row in rows).most_common(1)[0]
    scores = {"auroc": 0.5, "accuracy": held / len(rows)}
    return {"what": f"always {class_names[label]}", "scores": scores}


def trivial_segmenter(
    rows: Rows, class_names: Sequence[str], absent_class: AbsentClass
) -> dict[str, Any]:
    """Of background everywhere; "what" and "scores", None where undefined."""
    tables = torch.stack([torch.as_tensor(row["confusion"]) for row in rows])
    background = torch.zeros_like(tables)
    background[:, :, 0] = tables.sum(2)
    iou = confusion_iou(background, absent_class)
    means = {"iou_foreground": iou[:, 1:].nanmean(dim=1), "iou_mean": iou.nanmean(dim=1)}
    scores: dict[str, float | None] = {}
    for name, values in means.items():
        mean = float(values.nanmean())
        scores[name] = None if mean != mean else mean
    scores |= {f"dice_{name}": 0.0 for name in class_names[1:]}
    return {"what": "background everywhere", "scores": scores}


def nothing_to_lose(summary: Mapping[str, Any], trivial: Mapping[str, Any]) -> list[str]:
    """A sentence for each score that is hardly above that of no skill."""
    sentences = []
    for name, least in trivial["scores"].items():
        value = summary.get(name, {}).get("value")
        if value is None or least is None or value - least >= _SHARE * (1 - least):
            continue
        sentences.append(
            f"{name} is {value:.3f} clean, and {trivial['what']} scores {least:.3f}: there is "
            "nothing to lose, and a small loss does not mean that the model stands corruptions."
        )
    return sentences
