"""Were the images that are scored prepared as those that the model was trained on?"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datamodules.open_cache import open_cache
from lightning_modules.loading import path_of_data
from provenance import UserError


def preparation_notes(checkpoint: Path, record: Mapping[str, Any], cache: Any) -> list[str]:
    """Sentences where the images were prepared with other settings than those of training.

    Such as another window, contrast or shape of pixels. A model need not fail then, but its scores
    hold for images that look different from those of training.

    Args:
        checkpoint: The model's file.
        record: What it says of itself; see `load_module`.
        cache: The data to score on.
    """
    now, trained = cache.preparation, _of_training(checkpoint, record)
    if trained is None:
        if record.get("content_sha256") == cache.content_sha256:
            return []
        return [
            f"{checkpoint} does not say how its training images were prepared, and they are not "
            "there: whether these have the same window, contrast and shape of pixels is not known."
        ]
    different = [key for key in now if now[key] != trained.get(key)]
    if not different:
        return []
    listed = "; ".join(
        f"{key} {_said(key, now)}, in training {_said(key, trained)}" for key in different
    )
    return [
        f"{cache.root} was prepared with other settings than the training images: {listed}. So the "
        "scores are those of a model on images that look different. " + _advice(now, trained)
    ]


def _window_is_unknown(preparation: Mapping[str, Any]) -> bool:
    """Whether grey values were kept as they were, as those of PNG slices are."""
    entries = (preparation.get(key) for key in ("window", "channels"))
    return "window" in preparation and not any(entries)


def _advice(now: Mapping[str, Any], trained: Mapping[str, Any]) -> str:
    if _window_is_unknown(trained):
        return (
            "Which window made the training images is not known, so these cannot be prepared to "
            "match. Train on a cache whose window is known, or read the scores with this in mind."
        )
    again = "the settings of training, into another --out"
    if _window_is_unknown(now):
        return (
            "Which window made these images is not known, and no preparation changes it. If their "
            f"CT volumes (NIfTI or DICOM) are at hand, prepare those with {again}."
        )
    return f"For comparable scores, prepare these images with {again}."


def _of_training(checkpoint: Path, record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """From the checkpoint, or of one of an earlier version from its data, if they are there."""
    if "preparation" in record:
        preparation: Mapping[str, Any] = record["preparation"]
        return preparation
    try:
        return open_cache(path_of_data(checkpoint, dict(record), "root", "--root")).preparation
    except (UserError, OSError, KeyError):
        return None


def _said(key: str, preparation: Mapping[str, Any]) -> str:
    if key == "window" and _window_is_unknown(preparation):
        return "unknown"
    return _in_words(preparation.get(key))


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {part}" for key, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_in_words, value))
    return "none" if value in (None, False) else f"{value}"
