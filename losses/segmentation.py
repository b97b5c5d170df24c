"""Losses of a segmenter. All are means of a number per image.

A mean over images is the same whether a batch is computed at once, in equal micro-batches, or on
several processes; a ratio of sums over the batch (usual for weighted cross-entropy) is not.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from losses.precision import at_least_float32


def cross_entropy(logits: Tensor, target: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Cross-entropy per pixel, averaged over the pixels of an image, then over images.

    Args:
        logits: (N, C, H, W) unbounded scores.
        target: (N, H, W) int64 labels in 0..C-1.
        class_weights: (C,) factors >= 0 of the pixels of each class; a pixel of weight 2 counts
            double. Divided by the number of pixels, not by the sum of weights as torch does: so a
            tumour pixel weighs the same in every image and batch.

    Returns:
        Scalar >= 0; log C when all scores are equal and no weights are given.

    Raises:
        ValueError: shapes that do not fit.
    """
    _check_shapes(logits, target)
    if class_weights is not None:
        if class_weights.shape != (logits.shape[1],):
            raise ValueError(
                f"cross_entropy: class_weights are {tuple(class_weights.shape)}, expected one per "
                f"class: ({logits.shape[1]},)."
            )
        class_weights = class_weights.to(at_least_float32(logits).dtype)
    per_pixel = F.cross_entropy(
        at_least_float32(logits), target, weight=class_weights, reduction="none"
    )
    # All images have the same number of pixels, so the mean over pixels is the mean over images.
    return per_pixel.mean()


def soft_dice_loss(
    logits: Tensor, target: Tensor, include_background: bool = False, smooth: float = 1.0
) -> Tensor:
    """One minus soft Dice of each class in each image, averaged over classes, then over images.

    1 - (2 sum(p t) + smooth) / (sum(p) + sum(t) + smooth), p = softmax of the logits and sums over
    the pixels of one image. A class absent from an image counts: its loss sinks to 0 as its
    predicted pixels vanish.

    Args:
        logits: (N, C, H, W) unbounded scores.
        target: (N, H, W) int64 labels in 0..C-1.
        include_background: count class 0 as well.
        smooth: pixels added above and below; keeps absent classes defined and their gradient mild.

    Returns:
        Scalar in [0, 1].

    Raises:
        ValueError: shapes that do not fit, or fewer than two classes without background.

    Source: Milletari 2016, arXiv:1606.04797, with the sums of Drozdzal 2016, arXiv:1608.04117
    (probabilities not squared). Equals MONAI's DiceLoss with smooth_nr = smooth_dr = smooth.
    """
    _check_shapes(logits, target)
    num_classes = logits.shape[1]
    if num_classes < 2 and not include_background:
        raise ValueError(
            "soft_dice_loss: one class only, and it is the background; nothing is left."
        )
    probabilities = at_least_float32(logits).softmax(dim=1)
    truth = F.one_hot(target, num_classes).movedim(-1, 1).to(probabilities.dtype)
    if not include_background:
        probabilities, truth = probabilities[:, 1:], truth[:, 1:]
    overlap = (probabilities * truth).sum(dim=(2, 3))
    total = probabilities.sum(dim=(2, 3)) + truth.sum(dim=(2, 3))
    return (1 - (2 * overlap + smooth) / (total + smooth)).mean()


def segmentation_loss(
    logits: Tensor,
    target: Tensor,
    dice_weight: float = 1.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Cross-entropy plus `dice_weight` times soft Dice, a mean over images.

    Args:
        logits: (N, C, H, W) unbounded scores.
        target: (N, H, W) int64 labels in 0..C-1.
        dice_weight: >= 0; 0 leaves Dice out.
        class_weights: (C,) factors of the cross-entropy, or None.

    Returns:
        Scalar >= 0.

    Raises:
        ValueError: see `cross_entropy` and `soft_dice_loss`.

    Source: the sum of both is nnU-Net's loss (Isensee 2021, doi:10.1038/s41592-020-01008-z), which
    however sums Dice over the batch.
    """
    loss = cross_entropy(logits, target, class_weights)
    if dice_weight == 0:
        return loss
    return loss + dice_weight * soft_dice_loss(logits, target)


def _check_shapes(logits: Tensor, target: Tensor) -> None:
    if logits.dim() != 4 or target.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(
            f"Segmentation loss: logits are {tuple(logits.shape)} and target "
            f"{tuple(target.shape)}, expected (N, C, H, W) and (N, H, W)."
        )
    if target.dtype != torch.int64:
        raise ValueError(f"Segmentation loss: target is {target.dtype}, expected int64 labels.")
