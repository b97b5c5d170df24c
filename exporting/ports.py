"""What a graph takes and gives, and what it is for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

GREY = "in [-1, 1]; grey level round(127.5 * (image + 1))"


@dataclass(frozen=True)
class Port:
    """An input or output of a graph.

    Attributes:
        name: Name in the graph.
        shape: Sizes of the axes after the batch axis, whose size is free.
        kind: Data type: "float32", "int64" or "bool".
        meaning: What it contains, for users of the file.
        has_batch: False for a single number for the whole batch.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    meaning: str
    has_batch: bool = True

    def plain(self) -> dict[str, Any]:
        """Plain values, with "batch" for the first axis."""
        shape = ["batch", *self.shape] if self.has_batch else list(self.shape)
        return {"name": self.name, "shape": shape, "type": self.kind, "meaning": self.meaning}


@dataclass(frozen=True)
class Graph:
    """A network to export.

    Attributes:
        network: From the inputs, in their order, to one tensor or a tuple of such; in evaluation
            mode, on the CPU, in float32.
        inputs: See `Port`.
        outputs: See `Port`.
        task: "segmentation", "classification", "images from noise", "images from label maps",
            "images from images" or "a region of images".
        made: Of a translation: which of the training's domains it makes.
    """

    network: nn.Module
    inputs: Sequence[Port]
    outputs: Sequence[Port]
    task: str
    made: str | None = None
