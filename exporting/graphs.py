"""What is handed on of a module as a graph: the network that makes results, its inputs and outputs.

A graph draws nothing at random and holds no weights that evaluation does not use.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exporting.painters import graph_of_cyclegan, graph_of_infilling, graph_of_pix2pix
from exporting.ports import GREY, Graph, Port
from lightning_modules import (
    GAN,
    Classifier,
    CycleGAN,
    FindingsClassifier,
    LesionInfilling,
    Pix2Pix,
    Segmenter,
)
from networks.growth import Growth
from networks.style_generator import StyledNetwork
from provenance import UserError


def graph_of(module: Any, record: Any, source: Any, to: str = "target") -> Graph:
    """The graph of a module as `load_module` gives it.

    Args:
        module: A segmenter, a classifier, or a generator of images.
        record: What its checkpoint says.
        source: The checkpoint, for the sentence.
        to: CycleGAN: the domain that is made, "target" or "source".

    Raises:
        UserError: Another kind of module.
    """
    module = module.to("cpu").float().eval()
    if isinstance(module, Segmenter | Classifier | FindingsClassifier):
        return _of_predictions(module, record)
    if isinstance(module, GAN):
        return _of_gan(module)
    if isinstance(module, Pix2Pix):
        return graph_of_pix2pix(module)
    if isinstance(module, CycleGAN):
        return graph_of_cyclegan(module, record, to)
    if isinstance(module, LesionInfilling):
        return graph_of_infilling(module)
    raise UserError(
        f"{source}: holds a {type(module).__name__}. Segmenters, classifiers, GANs, Pix2Pix, "
        "CycleGANs and lesion infillings can be exported."
    )


def names_of(module: Any) -> list[str]:
    """Names of a module's classes or findings; none for a generator."""
    return [*getattr(module, "finding_names", getattr(module, "class_names", ()))]


class _Predicting(nn.Module):
    def __init__(self, network: nn.Module, of_findings: bool) -> None:
        super().__init__()
        self.network, self.of_findings = network, of_findings

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        logits: Tensor = self.network(image)
        return logits, logits.sigmoid() if self.of_findings else logits.softmax(dim=1)


def _of_predictions(module: Any, record: Any) -> Graph:
    size, channels = int(record["image_size"]), _channels_of(record)
    side = (size, size) if isinstance(module, Segmenter) else ()
    names = ", ".join(f"{index}: {name}" for index, name in enumerate(names_of(module)))
    of_findings = isinstance(module, FindingsClassifier)
    shares = "of each finding by itself (sigmoid)" if of_findings else "sum 1 (softmax)"
    return Graph(
        _Predicting(module.network, of_findings),
        [Port("image", (channels, size, size), "float32", "grey in [-1, 1]; see preprocessing")],
        [
            Port("logits", (module.num_classes, *side), "float32", f"unbounded; classes {names}"),
            Port(
                "probabilities",
                (module.num_classes, *side),
                "float32",
                f"in [0, 1], {shares}",
            ),
        ],
        "segmentation" if isinstance(module, Segmenter) else "classification",
    )


def _channels_of(record: Any) -> int:
    return int(record["model"].get("init_args", {}).get("image_channels") or 1)


class _FromNoise(nn.Module):
    def __init__(self, generator: nn.Module, growth: Growth | None, size: int) -> None:
        super().__init__()
        self.generator, self.growth, self.size = generator, growth, size

    def forward(self, latent: Tensor) -> Tensor:
        return _shown(self.generator(latent, self.growth)[0], self.size)


class _FromStyles(nn.Module):
    def __init__(self, generator: StyledNetwork, growth: Growth | None, size: int) -> None:
        super().__init__()
        self.generator, self.growth, self.size = generator, growth, size

    def forward(self, z: Tensor, noise: Tensor, truncation: Tensor) -> Tensor:
        # Second style and crossover are read in training alone.
        row = torch.cat([z, torch.zeros_like(z), torch.zeros_like(z[:, :1]), noise], dim=1)
        styles = self.generator.mapping(row, growth=self.growth)
        average = self.generator.average_style.to(styles.dtype)
        styles = average + truncation * (styles - average)
        return _shown(self.generator.synthesis(styles, noise, self.growth), self.size)


def _shown(image: Tensor, size: int) -> Tensor:
    """As generate.py shows it: clamped, and with larger pixels while a network grows."""
    image = image.clamp(-1, 1)
    if image.shape[-1] == size:
        return image
    return F.interpolate(image, scale_factor=float(size // image.shape[-1]), mode="nearest")


def _of_gan(module: GAN) -> Graph:
    generator: Any = module.averaged_generator()  # as evaluation and generate.py use it
    growth, size = module.growth_now(), module.image_size
    image = Port(
        "image",
        (module.image_channels, size, size),
        "float32",
        GREY,
    )
    if isinstance(generator, StyledNetwork):
        inputs = [
            Port("z", (generator.style_size,), "float32", "standard normal numbers: the style"),
            Port(
                "noise",
                (generator.noise_size,),
                "float32",
                "standard normal numbers: the noise maps of all layers, flat; zeros for none",
            ),
            Port(
                "truncation",
                (1,),
                "float32",
                "1 leaves images as they are, down to 0 they become the average one",
                has_batch=False,
            ),
        ]
        return Graph(_FromStyles(generator, growth, size), inputs, [image], "images from noise")
    length = module.latent_rows([0]).shape[1]
    latent = Port("latent", (length,), "float32", "standard normal numbers")
    return Graph(_FromNoise(generator, growth, size), [latent], [image], "images from noise")
