"""Inception Score: of generated images alone, without a look at real ones."""

import numpy as np
import torch
from torch import Tensor


def inception_score(logits: Tensor, num_splits: int = 10, seed: int = 2020) -> tuple[float, float]:
    """Exponential of the mean divergence between an image's classes and the set's.

    exp(mean KL(p(y|x) | p(y))). High when each image looks like one class for certain and the set
    shows many. Classes are those of ImageNet, so for films it says little: it is here because the
    literature reports it, and neither blur nor copied patients lower it reliably.

    Args:
        logits: (N, C) of `InceptionExtractor.features_and_logits`.
        num_splits: The images are shuffled and cut into as many parts, each scored by itself. A
            part needs many images per class, or the score sinks with their number.
        seed: Of the shuffling; the default and the draw are torch-fidelity's.

    Returns:
        Mean and standard deviation over the parts, each in 1..C; computed in float64. The deviation
        is that of a part, no interval of the mean.

    Raises:
        ValueError: Fewer images than parts, another shape, or values that are not finite.

    Source: Salimans 2016, arXiv:1606.03498.
    """
    if logits.ndim != 2 or not 1 <= num_splits <= len(logits):
        raise ValueError(
            f"logits are {tuple(logits.shape)} and num_splits is {num_splits}, expected (N, C) and "
            "1..N."
        )
    if not bool(torch.isfinite(logits).all()):
        raise ValueError("logits hold NaN or infinity; the score would be meaningless.")
    count = len(logits)
    order = torch.from_numpy(np.random.RandomState(seed).permutation(count))
    log_p = logits.detach().cpu().double()[order].log_softmax(dim=1)
    scores = []
    for part in range(num_splits):
        rows = log_p[part * count // num_splits : (part + 1) * count // num_splits]
        marginal = torch.logsumexp(rows, dim=0) - np.log(len(rows))
        scores.append(float((rows.exp() * (rows - marginal)).sum(dim=1).mean().exp()))
    return float(np.mean(scores)), float(np.std(scores))
