"""Policies by name, each with its source."""

from typing import Any

PRESETS: dict[str, list[Any]] = {
    "none": [],
    "geometric": ["geometric"],
}
