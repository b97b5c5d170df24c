"""Loss of a classifier: a mean of a number per image.

As every loss here, so that equal micro-batches and processes add up to the global batch exactly;
torch's own weighted cross-entropy divides by the batch's sum of weights, which does not.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from losses.precision import at_least_float32


def classification_losses(
    logits: Tensor,
    target: Tensor,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of each image with a hard or soft target.

    -sum_k w_k t_k log p_k, with t smoothed to (1 - s) t + s / K.

    Args:
        logits: (N, K) unbounded scores.
        target: (N,) int64 labels in 0..K-1, or (N, K) float shares of the classes that sum to 1
            (Mixup, CutMix). A label and its one-hot row give the same loss.
        class_weights: (K,) factors >= 0 of the classes; with a mean of 1 over the training set
            ("balanced") the loss keeps its size.
        label_smoothing: s, 0 to below 1.

    Returns:
        (N,) >= 0, float32 at least; its mean is the loss. log K each when all scores are equal,
        without weights.

    Raises:
        ValueError: shapes that do not fit, or smoothing outside its range.

    Source: label smoothing of Szegedy et al. 2015, arXiv:1512.00567.
    """
    if logits.dim() != 2 or target.shape not in (logits.shape, logits.shape[:1]):
        raise ValueError(
            f"classification_losses: logits are {tuple(logits.shape)} and target "
            f"{tuple(target.shape)}, expected (N, K) and (N,) labels or (N, K) shares."
        )
    if not 0 <= label_smoothing < 1:
        raise ValueError(
            f"classification_losses: label_smoothing is {label_smoothing}, expected 0 to below 1."
        )
    num_classes = logits.shape[1]
    if class_weights is not None and class_weights.shape != (num_classes,):
        raise ValueError(
            f"classification_losses: class_weights are {tuple(class_weights.shape)}, expected one "
            f"per class: ({num_classes},)."
        )
    log_probability = at_least_float32(logits).log_softmax(dim=1)
    if target.dim() == 1:
        target = F.one_hot(target, num_classes)
    shares = target.to(log_probability)
    if label_smoothing:
        shares = shares * (1 - label_smoothing) + label_smoothing / num_classes
    if class_weights is not None:
        shares = shares * class_weights.to(log_probability)
    return -(shares * log_probability).sum(dim=1)


def finding_losses(
    logits: Tensor,
    target: Tensor,
    weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Binary cross-entropy of each image, mean over its findings; unknown ones count nothing.

    1/K sum_k -(w_1k t_k log p_k + w_0k (1 - t_k) log(1 - p_k)) over the known of K findings, with
    p the sigmoid and t smoothed to (1 - s) t + s / 2. Divided by K, not by how many are known: so
    each known finding of each image counts alike, however the images are cut into batches.

    Args:
        logits: (N, K) unbounded scores.
        target: (N, K) in [0, 1], shares where images were mixed; NaN where unknown, which gives no
            loss and no gradient.
        weights: (2, K) factors >= 0 without and with each finding.
        label_smoothing: s, 0 to below 1.

    Returns:
        (N,) >= 0, float32 at least; log 2 each when all is known and undecided.

    Raises:
        ValueError: shapes that do not fit.

    Source: Irvin et al. 2019 (U-Ignore: the sum over what is known).
    """
    if logits.dim() != 2 or target.shape != logits.shape:
        raise ValueError(
            f"finding_losses: logits are {tuple(logits.shape)} and target {tuple(target.shape)}, "
            "expected (N, K) each."
        )
    if weights is not None and weights.shape != (2, logits.shape[1]):
        raise ValueError(
            f"finding_losses: weights are {tuple(weights.shape)}, expected (2, {logits.shape[1]})."
        )
    scores = at_least_float32(logits)
    known = ~target.isnan()
    # A NaN times 0 is NaN, in the gradient too: what is unknown is replaced before it is computed.
    shares = torch.where(known, target, 0.0).to(scores)
    shares = shares * (1 - label_smoothing) + label_smoothing / 2
    positive, negative = -F.logsigmoid(scores) * shares, -F.logsigmoid(-scores) * (1 - shares)
    if weights is not None:
        negative, positive = negative * weights[0].to(scores), positive * weights[1].to(scores)
    return torch.where(known, positive + negative, 0.0).mean(dim=1)


def balanced_weights(counts: Tensor) -> Tensor:
    """Weights n / (K n_k): all classes count alike, and the mean over the n images is 1.

    Args:
        counts: (K,) images of each class, all above 0.

    Raises:
        ValueError: a class without images.

    Source: King & Zeng 2001; scikit-learn's "balanced".
    """
    if counts.min() < 1:
        raise ValueError(f"balanced_weights: counts are {counts.tolist()}, expected 1 or more.")
    return counts.sum() / (len(counts) * counts.to(torch.float64))
