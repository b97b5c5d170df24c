"""What every feature extractor is, what it takes, and how the file of its weights is read."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from provenance import UserError, check_unpacked_size
from spelling import meant_path


class FeatureExtractor(nn.Module):
    """Frozen network from images to features; always in evaluation mode.

    Gradients flow to the images (not to the weights), so it serves as a perceptual loss too.

    Attributes:
        name: short, fit for a metric's name.
        description: network, preprocessing and hash of the weights, for the record of a result.
    """

    name: str
    description: str

    def forward(self, images: Tensor) -> Tensor:
        """Pooled features.

        Args:
            images: (N, 1 | 3, H, W) float in [-1, 1]; grey is repeated where 3 channels are needed.

        Returns:
            (N, D) float32.
        """
        raise NotImplementedError

    def maps(self, images: Tensor) -> list[Tensor]:
        """Feature maps from fine to coarse: list of (N, C, H, W) float32."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> "FeatureExtractor":
        """Stay in evaluation mode whatever the surrounding module does."""
        return super().train(False)


def features_of(network: FeatureExtractor, images: Tensor) -> Tensor:
    """Features of images with any number of channels.

    Args:
        network: Takes grey and colour.
        images: (N, C, H, W) float in [-1, 1].

    Returns:
        (N, D) float32; of other numbers of channels than 1 and 3 those of each channel as a grey
        image, one after another: (N, C * D).
    """
    if images.shape[1] in (1, 3):
        return network(images)
    return torch.cat([network(channel) for channel in images.split(1, dim=1)], dim=1)


def maps_of(network: FeatureExtractor, images: Tensor) -> list[Tensor]:
    """Feature maps of images with any number of channels, as `features_of` has them."""
    if images.shape[1] in (1, 3):
        return network.maps(images)
    of_each = [network.maps(channel) for channel in images.split(1, dim=1)]
    return [torch.cat(level, dim=1) for level in zip(*of_each, strict=True)]


def check_images(images: Tensor) -> None:
    """Refuse (ValueError) what is not float (N, 1 | 3, H, W)."""
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not images.is_floating_point():
        raise ValueError(
            f"images are {images.dtype} {tuple(images.shape)}, expected float (N, 1 | 3, H, W)."
        )


def read_state_dict(path: Path, flag: str = "--weights") -> dict[str, Any]:
    """Tensors of a weights file, `.safetensors` or a torch.save of them; runs no code in it.

    Raises:
        UserError: there is no such file (`flag` names where the path came from), or it is none.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such weights file.{meant_path(path)} Pass {flag} PATH.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        check_unpacked_size(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        return dict(state)
    except Exception as error:  # unpickling and safetensors fail in many ways; all mean one thing
        raise UserError(
            f"{path}: is not a readable file of weights ({type(error).__name__}). "
            "Expected a state dict saved as .safetensors, or by torch.save without code."
        ) from error
