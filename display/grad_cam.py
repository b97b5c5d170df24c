"""Where a classifier's score comes from: Grad-CAM of a network, and a film under its map."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from display.colours import ImageArray
from provenance import UserError

_CELL = 192  # pixels, at least
_HEAT = np.array([255, 120, 0], dtype=np.float32)
_MOST_OPAQUE = 0.7


def grad_cam(network: nn.Module, image: Tensor, classes: Sequence[int]) -> Tensor:
    """Grad-CAM of one class of each image, through MONAI.

    Args:
        network: From (N, C, H, W) to logits; its `last_convolution`, or else its last Conv2d, is
            looked at. Left as it was.
        image: (N, C, H, W) in [-1, 1].
        classes: The class to explain of each image.

    Returns:
        (N, H, W) in [0, 1]; each map is divided by its maximum, and one without any positive
        evidence is all 0.

    Raises:
        UserError: The network has no convolution.

    Source: Selvaraju et al. 2017, arXiv:1610.02391; MONAI's GradCAM without its scaling, which
    stretches each map and turns it round.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MONAI's import, about libraries not needed here
        from monai.visualize import GradCAM

    target = _target_layer(network)
    name = next(name for name, module in network.named_modules() if module is target)
    frozen = [parameter for parameter in network.parameters() if not parameter.requires_grad]
    rewriting = [m for m in network.modules() if getattr(m, "inplace", False) is True]
    hooks = [(m, dict(m._forward_hooks), dict(m._backward_hooks)) for m in network.modules()]
    training = network.training
    try:
        # Gradients must reach the layer through frozen ones, and see what it gave out.
        for parameter in frozen:
            parameter.requires_grad_(True)
        for layer in rewriting:
            layer.inplace = False  # type: ignore[assignment]
        network.eval()
        with torch.inference_mode(False), torch.enable_grad():
            camera = GradCAM(nn_module=network, target_layers=name, postprocessing=lambda x: x)
            maps = [
                camera(x=one[None].clone(), class_idx=each)[0, 0].detach()
                for one, each in zip(image, classes, strict=True)
            ]
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
        for layer in rewriting:
            layer.inplace = True  # type: ignore[assignment]
        for layer, forward, backward in hooks:
            for kept, now in ((forward, layer._forward_hooks), (backward, layer._backward_hooks)):
                for key in [key for key in now if key not in kept]:
                    del now[key]
        network.zero_grad(set_to_none=True)
        network.train(training)
    stacked = torch.stack(maps).float()
    largest = stacked.amax(dim=(1, 2), keepdim=True)
    return stacked / largest.clamp_min(torch.finfo(torch.float32).tiny)


def grad_cam_layer(network: nn.Module, image: Tensor) -> dict[str, Any]:
    """The layer whose output `grad_cam` draws, and the size of its map.

    Args:
        network: As in `grad_cam`.
        image: (1, C, H, W) in [-1, 1].

    Returns:
        "layer", its name, and "rows" and "columns" of its output.
    """
    target = _target_layer(network)
    shapes: list[torch.Size] = []
    hook = target.register_forward_hook(lambda layer, given, found: shapes.append(found.shape))
    with torch.inference_mode():
        network(image)
    hook.remove()
    name = next(name for name, module in network.named_modules() if module is target)
    return {"layer": name, "rows": shapes[0][-2], "columns": shapes[0][-1]}


def _target_layer(network: nn.Module) -> nn.Module:
    target = getattr(network, "last_convolution", None)
    if isinstance(target, nn.Module):
        return target
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    if not convolutions:
        raise UserError(f"{type(network).__name__}: has no convolution for Grad-CAM to look at.")
    return convolutions[-1]


def under_map(film: ImageArray, heat: NDArray[np.float32]) -> list[ImageArray]:
    """The film as the network saw it, and the same under the map, at a legible size."""
    factor = max(1, -(-_CELL // film.shape[0]))
    large = film.repeat(factor, axis=0).repeat(factor, axis=1)
    if large.ndim == 2:
        large = large[:, :, None].repeat(3, axis=2)
    smooth = torch.nn.functional.interpolate(
        torch.from_numpy(heat)[None, None], size=large.shape[:2], mode="bilinear"
    )[0, 0].numpy()
    weight = _MOST_OPAQUE * smooth[:, :, None]
    mixed = large + weight * (_HEAT - large)
    return [large, np.rint(mixed).clip(0, 255).astype(np.uint8)]
