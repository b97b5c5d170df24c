"""Models whose answers are known beforehand, and synthetic sets for them."""

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from cards.finish import finish_synthetic_set
from datamodules.synthetic import SyntheticItem
from lightning_modules import Classifier, Segmenter


class Bright(Classifier):
    """Calls a film abnormal whose centre is bright."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def forward(self, image: Tensor) -> Tensor:
        bright = image[:, 0, 12:20, 12:20].mean(dim=(1, 2))
        return torch.stack([-bright, bright], dim=1)


class Brightest(Classifier):
    """Calls a film abnormal that has a bright spot anywhere, as the tests' abnormal films have."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def forward(self, image: Tensor) -> Tensor:
        bright = image[:, 0].amax(dim=(1, 2)) - 0.5
        return torch.stack([-bright, bright], dim=1)


class Always(Classifier):
    """Calls every film normal."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def forward(self, image: Tensor) -> Tensor:
        return torch.tensor([1.0, 0.0]).repeat(len(image), 1)


class Nothing(Segmenter):
    """Marks no pixel."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def forward(self, image: Tensor) -> Tensor:
        grey = image[:, 0]
        return torch.stack([torch.ones_like(grey), *[torch.zeros_like(grey)] * 2], dim=1)


class Grey(Segmenter):
    """Marks what is bright as kidney, and what is black as tumour."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def forward(self, image: Tensor) -> Tensor:
        grey = image[:, 0]
        return torch.stack([torch.zeros_like(grey), grey - 0.5, -0.5 - grey], dim=1)


def write_set(
    root: Path, images: list[Any], items: list[SyntheticItem], names: list[str], **told: Any
) -> Path:
    """A set of these images; `told` says more of what was translated."""
    (root / "images").mkdir(parents=True)
    for item, image in zip(items, images, strict=True):
        Image.fromarray(image).save(root / f"images/{item.id}.png")
    manifest = {
        "dataset": "test", "image_size": 32, "class_names": names, "synthetic": True, "seed": 0,
        "generator": {"checkpoint_sha256": "0" * 64, "training_patients": [], "images_seen": 1},
        "licences": [], "versions": {"understudy": "0"},
        "translated_from": {
            "dataset": "test", "direction": "forward", "shows_patients": True, **told
        },
    }  # fmt: skip
    finish_synthetic_set(root, items, manifest, "python generate.py")
    return root
