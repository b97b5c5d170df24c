"""Hugging Face's metadata of a card, as its documentation names them."""

import re
from collections.abc import Sequence
from typing import Any

from licences import Licence

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LARGEST = "1M<n<10M"
_TAGS = ["medical", "synthetic", "understudy"]


def licence_fields(licences: Sequence[Licence]) -> dict[str, str]:
    """The header's licence: that of the data behind it, where there is one that allows sharing.

    Which licence a set or a generator gets is chosen by whoever releases it, within the terms of
    the data; until then the header repeats those.
    """
    if any(not one.is_stated for one in licences):
        return {"license": "unknown"}
    names = {one.hugging_face for one in licences}
    if len(names) == 1 and not any(one.needs_leave for one in licences) and names != {"other"}:
        return {"license": names.pop()}
    alike = len({one.name for one in licences}) == 1
    name = _slug(licences[0].name) if alike else "terms-of-several-data"
    return {"license": "other", "license_name": name, "license_link": "README.md"}


def dataset_header(
    title: str, number: int, licences: Sequence[Licence], data: Sequence[str], task: str
) -> dict[str, Any]:
    """Of a synthetic set.

    Args:
        title: Of the card.
        number: Images.
        licences: Of the data behind it.
        data: What these are called.
        task: What its images can train, as Hugging Face names it.
    """
    return {
        "pretty_name": title,
        **licence_fields(licences),
        "annotations_creators": ["machine-generated"],
        "size_categories": [next((name for most, name in _SIZES if number < most), _LARGEST)],
        "source_datasets": [f"extended|other-{_slug(one)}" for one in data],
        "task_categories": [task],
        "tags": _TAGS,
    }


def model_header(
    title: str, licences: Sequence[Licence], task: str, results: dict[str, Any] | None
) -> dict[str, Any]:
    """Of a generator.

    Args:
        title: Of the card.
        licences: Of the data behind it.
        task: What it does, as Hugging Face names it.
        results: A model-index's entry of its metrics; None without any.
    """
    return {
        "model_name": title,
        **licence_fields(licences),
        "library_name": "understudy",
        "pipeline_tag": task,
        "tags": _TAGS,
        **({"model-index": [{"name": title, "results": [results]}]} if results else {}),
    }


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-") or "data"
