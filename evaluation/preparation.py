"""Were the images that are scored prepared as those that the model was trained on?"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datamodules.open_cache import open_cache
from lightning_modules.loading import path_of_data
from provenance import UserError


def preparation_notes(checkpoint: Path, record: Mapping[str, Any], cache: Any) -> list[str]:
    """Sentences where another window, contrast or shape of pixels was prepared than in training.

    A model need not fail then, but its scores say what it makes of images of another look.

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
            f"{checkpoint} does not tell how its training images were prepared, and they are not "
            "there: whether these have the same window, contrast and shape of pixels is not known."
        ]
    different = [key for key in now if now[key] != trained.get(key)]
    if not different:
        return []
    listed = "; ".join(
        f"{key} {_said(now[key])}, in training {_said(trained.get(key))}" for key in different
    )
    return [
        f"{cache.root} was prepared otherwise than the training images: {listed}. The scores are "
        "those of a model on images of another look; prepare these alike, into another --out."
    ]


def _of_training(checkpoint: Path, record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """From the checkpoint, or of one of an earlier version from its data, if they are there."""
    if "preparation" in record:
        preparation: Mapping[str, Any] = record["preparation"]
        return preparation
    try:
        return open_cache(path_of_data(checkpoint, dict(record), "root", "--root")).preparation
    except (UserError, OSError, KeyError):
        return None


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {part}" for key, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_said, value))
    return "none" if value in (None, False) else f"{value}"
