"""Where a classifier's score comes from, drawn over films that it got right, nearly, and wrong."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from display.numbers import probability
from display.sheet import ImageArray, sheet
from display.tensor_images import image_arrays
from evaluation.checkpoint import OpenedCheckpoint
from provenance import UserError

FILMS_OF_A_KIND = 4
_CELL = 192  # pixels, at least
_HEAT = np.array([255, 120, 0], dtype=np.float32)
_MOST_OPAQUE = 0.7

Row = Mapping[str, Any]


def grad_cam_sheet(opened: OpenedCheckpoint, rows: Sequence[Row]) -> ImageArray:
    """Three blocks of films with their maps: surest right calls, closest calls, worst mistakes.

    The map is of the class that the film was called.

    Args:
        opened: The classifier and its data.
        rows: evaluation.json's "images", in the split's order.

    Returns:
        (H, W, 3) uint8.
    """
    chosen = {kind: films for kind, films in films_to_show(rows).items() if films}
    datamodule, class_names = opened.datamodule, opened.datamodule.class_names
    samples = datamodule.evaluation_set(opened.split)
    index = {row["id"]: position for position, row in enumerate(rows)}
    blocks = []
    for kind, films in chosen.items():
        image = opened.unit_images(datamodule.collate([samples[index[r["id"]]] for r in films]))
        called = [row["prediction"] for row in films]
        maps = grad_cam(opened.module.network, image, called).cpu().numpy()
        blocks.append(
            sheet(
                [
                    _enlarged(film, heat)
                    for film, heat in zip(image_arrays(image), maps, strict=True)
                ],
                [_title(row, class_names) for row in films],
                [kind, "Grad-CAM"],
            )
        )
    return _beside(blocks)


def films_to_show(rows: Sequence[Row], number: int = FILMS_OF_A_KIND) -> dict[str, list[Row]]:
    """Kind -> films of different patients; a film is shown once.

    Args:
        rows: evaluation.json's "images".
        number: Of each kind.
    """
    wrong = sorted((row for row in rows if not row["correct"]), key=_loss)[::-1]
    right = sorted((row for row in rows if row["correct"]), key=_loss)
    close = sorted(rows, key=lambda row: (_margin(row), row["id"]))
    # The surest of every class in turn: otherwise all could be of the easier one.
    turns: dict[int, int] = {}
    ranked = []
    for row in right:
        turns[row["label"]] = turns.get(row["label"], 0) + 1
        ranked.append((turns[row["label"]], row["label"], row))
    alternating = [row for _, _, row in sorted(ranked, key=lambda entry: entry[:2])]
    found: dict[str, list[Row]] = {}
    used: set[str] = set()
    for kind, order in (
        ("worst mistakes", wrong),
        ("closest calls", close),
        ("surest right calls", alternating),
    ):
        patients: set[str] = set()
        found[kind] = []
        for row in order:
            if len(found[kind]) < number and row["id"] not in used | patients:
                if row["patient_id"] in patients:
                    continue
                patients.add(row["patient_id"])
                used.add(row["id"])
                found[kind].append(row)
    return {kind: found[kind] for kind in ("surest right calls", "closest calls", "worst mistakes")}


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


def _loss(row: Row) -> tuple[float, str]:
    return row["log_loss"], row["id"]


def _margin(row: Row) -> float:
    """How far the call was from another one."""
    if "probabilities" in row:
        first, second = sorted(row["probabilities"])[-1:-3:-1]
        return float(first - second)
    return abs(row["probability"] - 0.5)


def _title(row: Row, class_names: Sequence[str]) -> str:
    """Id, truth and probability, to stand beside a film."""
    share = row["probabilities"][row["prediction"]] if "probabilities" in row else None
    told = (
        f"p({class_names[1]}) {probability(row['probability'])}"
        if share is None
        else f"p({class_names[row['prediction']]}) {probability(share)}"
    )
    return "\n".join((row["id"], f"is {class_names[row['label']]}", told))


def _enlarged(film: ImageArray, heat: NDArray[np.float32]) -> list[ImageArray]:
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


def _beside(blocks: Sequence[ImageArray]) -> ImageArray:
    height = max(block.shape[0] for block in blocks)
    padded = [
        np.pad(block, ((0, height - block.shape[0]), (0, 0), (0, 0)), constant_values=255)
        for block in blocks
    ]
    return np.concatenate(padded, axis=1)
