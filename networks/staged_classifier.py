"""What the image classifiers share: stages, frozen ones, pretrained weights, checks of images."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from networks.encoder_weights import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    load_encoder_weights,
    read_weights,
)

SMALLEST_SIDE = 32
"""Pixels: VGG-16 halves an image five times, and nothing is left of a smaller one."""


@runtime_checkable
class StagedNetwork(Protocol):
    """A network whose layers form stages, which can learn at rates of their own."""

    def stages(self) -> list[nn.Module]:
        """Parts from the input to the head, which is the last; each parameter is in one of them."""
        ...


class StagedClassifier(nn.Module):
    """A classifier whose layers form stages from the input to the head.

    Subclasses build their layers, then call `prepare`.

    With pretrained weights, images in [-1, 1] are brought to what the weights were trained on:
    colour by ImageNet's mean and deviation of each colour; any other number of channels by the mean
    of the three (0.449 and 0.226), for then the first convolution's three filters of a grey image
    add up to one, also at the zero-padded border. Against a mean of their own that shifts a colour
    by 0.19 deviations at most. Without pretrained weights, images are taken as they are.

    Args:
        image_channels: 1 for films.
        weights: None (or the word none), "imagenet" (downloaded), "restored" (built for pretrained
            weights, which a checkpoint will fill in), or the path of a state-dict file in
            torchvision's naming.

    Attributes:
        frozen_stages: How many stages from the input are not trained.
        initial_weights: What `weights` says; None where all layers start at random.
    """

    def __init__(self, image_channels: int, weights: str | None) -> None:
        super().__init__()
        if image_channels < 1:
            raise ValueError(f"{self.title}: image_channels is {image_channels}, expected 1 or up.")
        self.image_channels = image_channels
        self.frozen_stages = 0
        # jsonargparse hands the null of a nested class's flag on as the word None.
        unused = weights is None or weights.lower() == "none"
        self.initial_weights = None if unused else weights
        scale, shift = torch.ones(1), torch.zeros(1)
        if self.initial_weights is not None:
            mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
            if image_channels != 3:
                mean, std = mean.mean(0, keepdim=True), std.mean(0, keepdim=True)
            scale, shift = 0.5 / std, (0.5 - mean) / std
        # In the checkpoint, so that weights are never parted from the normalisation they need.
        self.register_buffer("scale", scale.expand(image_channels).reshape(1, -1, 1, 1).clone())
        self.register_buffer("shift", shift.expand(image_channels).reshape(1, -1, 1, 1).clone())
        self.scale: Tensor
        self.shift: Tensor

    @property
    def title(self) -> str:
        """Name for messages."""
        return type(self).__name__

    def stages(self) -> list[nn.Module]:
        """Parts from the input to the head, which is the last; each parameter is in one of them."""
        raise NotImplementedError

    @property
    def last_convolution(self) -> nn.Module:
        """Its output (N, D, h, w) is the last feature map, which Grad-CAM reads."""
        raise NotImplementedError

    def prepare(
        self,
        freeze: int,
        body: dict[str, nn.Module],
        first: str,
        download: Callable[[], dict[str, Tensor]],
    ) -> None:
        """Fill in pretrained weights, then freeze.

        Args:
            freeze: Stages from the input that are not trained; the head always is.
            body: Everything but the head, which keeps its random start, by torchvision's names.
            first: Name of the first convolution's weight.
            download: Fetches torchvision's own weights.

        Raises:
            ValueError: Weights that cannot be had, read or fitted; more stages than there are.
        """
        most = len(self.stages()) - 1
        if not 0 <= freeze <= most:
            raise ValueError(
                f"{self.title}: freeze is {freeze}, expected 0 (train all) to {most} (train the "
                "head only)."
            )
        weights = self.initial_weights
        if weights is not None and weights != "restored":
            state = self._read(weights, download)
            if first in state and self.image_channels not in (1, 3):
                # Every channel stands for the same share of a grey image.
                filters = state[first].sum(dim=1, keepdim=True) / self.image_channels
                state = {**state, first: filters.repeat(1, self.image_channels, 1, 1)}
            load_encoder_weights(
                nn.ModuleDict(body),
                state,
                origin=f"{self.title}: {weights}",
                part="network",
                settings="the network's settings or weights",
            )
        self.frozen_stages = freeze
        for stage in self.stages()[:freeze]:
            stage.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> "StagedClassifier":
        """As of any module, but frozen stages keep their batch statistics and drop nothing."""
        super().train(mode)
        if self.frozen_stages:
            for stage in self.stages()[: self.frozen_stages]:
                stage.eval()
        return self

    def checked(self, image: Tensor) -> Tensor:
        """An image batch as the first layer wants it.

        Args:
            image: (N, image_channels, H, W) in [-1, 1], H and W >= 32.

        Raises:
            ValueError: Another shape.
        """
        if image.dim() != 4 or image.shape[1] != self.image_channels:
            raise ValueError(
                f"{self.title}: image is {tuple(image.shape)}, expected "
                f"(N, {self.image_channels}, H, W). Set image_channels to the data's channels."
            )
        self.check_size((image.shape[-2], image.shape[-1]))
        return image * self.scale + self.shift

    @classmethod
    def check_size(cls, sides: tuple[int, int]) -> None:
        """Refuse images that are too small, also before a network is built for them.

        Raises:
            ValueError: A side of less than 32 pixels.
        """
        height, width = sides
        if min(sides) < SMALLEST_SIDE:
            raise ValueError(
                f"{cls.__name__}: image of {height}x{width} pixels, expected {SMALLEST_SIDE} or "
                "more. Prepare the data at a larger size."
            )

    def _read(self, weights: str, download: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        if weights != "imagenet":
            return read_weights(Path(weights), f"{self.title}: {weights}", setting="weights")
        try:
            return download()
        # Hub and network raise kinds of errors with no common base.
        except Exception as error:
            raise ValueError(
                f"{self.title}: ImageNet weights could not be downloaded ({type(error).__name__}: "
                f"{error}). Check the network, or set weights to the path of a state-dict file."
            ) from None  # train.py shows the innermost cause, which does not name the way out
