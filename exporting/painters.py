"""Graphs of generators that take images or label maps, and not noise alone."""

from typing import Any

import torch
from torch import Tensor, nn

from exporting.ports import GREY, Graph, Port
from lightning_modules import CycleGAN, LesionInfilling, Pix2Pix


def _one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """Label maps (N, H, W) as planes (N, num_classes, H, W)."""
    classes = torch.arange(num_classes).reshape(1, -1, 1, 1)
    return (labels[:, None] == classes).float()


class _FromLabels(nn.Module):
    def __init__(self, generator: nn.Module, num_classes: int, dropout: bool) -> None:
        super().__init__()
        self.generator, self.num_classes, self.dropout = generator, num_classes, dropout

    def forward(self, labels: Tensor, noise: Tensor | None = None) -> Tensor:
        one_hot = _one_hot(labels, self.num_classes)
        image: Tensor = self.generator(one_hot, noise, dropout=self.dropout)
        return image


def graph_of_pix2pix(module: Pix2Pix) -> Graph:
    """Label maps to images."""
    size = module.image_size
    labels = Port("labels", (size, size), "int64", "label map: a class for each pixel")
    image = Port("image", (module.image_channels, size, size), "float32", GREY)
    network = _FromLabels(module.generator, module.num_classes, dropout=True)
    return Graph(network, [labels, *_noise_of(module)], [image], "images from label maps")


def _noise_of(module: Pix2Pix | LesionInfilling) -> list[Port]:
    """The noise of a generator that paints by label maps; nothing where it has none."""
    length = module.noise_rows([0]).shape[1]
    meaning = "standard normal numbers: what varies images of one label map, its dropout too"
    return [Port("noise", (length,), "float32", meaning)] if length else []


class _Translated(nn.Module):
    def __init__(self, generator: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.generator, self.num_classes = generator, num_classes

    def forward(self, image: Tensor, labels: Tensor | None = None) -> Tensor:
        if labels is not None:
            if labels.dim() == 1:
                labels = labels[:, None, None].expand(-1, *image.shape[2:])
            image = torch.cat([image, _one_hot(labels, self.num_classes)], dim=1)
        made: Tensor = self.generator(image)
        return made.clamp(-1, 1)


def graph_of_cyclegan(module: CycleGAN, record: Any, to: str) -> Graph:
    """Images of one domain to images of the other, `to`."""
    size, names = module.image_size, ", ".join(record["class_names"])
    shape = (module.image_channels, size, size)
    inputs = [Port("image", shape, "float32", "grey in [-1, 1]; see preprocessing")]
    if module.conditioned:
        of_films = "clahe" in record["preparation"]  # which is said of films alone
        inputs.append(
            Port("labels", (), "int64", f"class of the film, 0 for the first of {names}")
            if of_films
            else Port("labels", (size, size), "int64", f"label map, 0 for the first of {names}")
        )
    made = Port("translated", shape, "float32", GREY)
    network = _Translated(module.generators[to], module.num_conditions)
    return Graph(network, inputs, [made], "images from images", made=to)


class _Infilled(nn.Module):
    def __init__(self, generator: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.generator, self.num_classes = generator, num_classes

    def forward(
        self, image: Tensor, labels: Tensor, region: Tensor, noise: Tensor | None = None
    ) -> Tensor:
        inside = region[:, None]
        planes = [_one_hot(labels, self.num_classes), inside.float(), image.masked_fill(inside, 0)]
        painted: Tensor = self.generator(torch.cat(planes, dim=1), noise, dropout=True)
        return torch.where(inside, painted, image)


def graph_of_infilling(module: LesionInfilling) -> Graph:
    """Windows of images, with a region painted anew as label maps wish."""
    side, image = module.window, module.image_size
    shape = (module.image_channels, side, side)
    names = ", ".join(module.class_names)
    where = "" if side == image else f"a square of {side} px out of {image}, around the region; "
    inputs = [
        Port("image", shape, "float32", f"{where}grey in [-1, 1]; see preprocessing"),
        Port("labels", (side, side), "int64", f"label map that is wished, 0 the first of {names}"),
        Port(
            "region",
            (side, side),
            "bool",
            f"what is painted anew: the lesion and all pixels up to {module.margin} px from it",
        ),
        *_noise_of(module),
    ]
    made = Port("infilled", shape, "float32", f"{GREY}; outside of the region the bits of image")
    network = _Infilled(module.generator, module.num_classes)
    return Graph(network, inputs, [made], "a region of images")
