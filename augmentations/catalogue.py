"""Every operation by its name in a policy."""

from dataclasses import fields
from typing import Any

from augmentations.geometric import Geometric
from augmentations.operation import BatchOperation, Operation
from augmentations.spatial import (
    Crop,
    HorizontalFlip,
    QuarterTurns,
    Rotation,
    Shear,
    Shift,
    Transpose,
    VerticalFlip,
    Zoom,
)

OPERATIONS: dict[str, type[Operation]] = {
    "horizontal_flip": HorizontalFlip,
    "vertical_flip": VerticalFlip,
    "quarter_turns": QuarterTurns,
    "transpose": Transpose,
    "rotation": Rotation,
    "shift": Shift,
    "zoom": Zoom,
    "shear": Shear,
    "crop": Crop,
    "geometric": Geometric,
}
"""On one image and its mask."""

BATCH_OPERATIONS: dict[str, type[BatchOperation]] = {}
"""On a batch, after those on its images."""


def name_of(operation: Operation | BatchOperation) -> str:
    """What a policy calls an operation."""
    for name, kind in (*OPERATIONS.items(), *BATCH_OPERATIONS.items()):
        if type(operation) is kind:
            return name
    raise KeyError(type(operation).__name__)


def settings_of(operation: Operation | BatchOperation) -> dict[str, Any]:
    """All settings of an operation as plain values; of operations within it too."""
    settings: dict[str, Any] = {}
    for field in fields(operation):
        value = getattr(operation, field.name)
        if isinstance(value, tuple):
            value = [{name_of(one): settings_of(one)} for one in value]
        settings[field.name] = value
    return settings
