"""How much predictions of one image differ."""

import math

from torch import Tensor

from losses.precision import at_least_float32


def jensen_shannon(logits: Tensor) -> Tensor:
    """Jensen-Shannon divergence of what is said of V views of each image.

    mean_v KL(p_v || m), m = mean_v p_v, p_v = softmax of view v's logits.

    Args:
        logits: (V, N, K) unbounded scores.

    Returns:
        (N,) in [0, log V], float32 at least; 0 where all views are called the same.

    Source: Hendrycks et al. 2019, arXiv:1912.02781 (AugMix). Deviation: the mean is taken of
    logarithms, so that it needs no lower bound.
    """
    log_p = at_least_float32(logits).log_softmax(dim=-1)
    log_mean = log_p.logsumexp(dim=0) - math.log(len(logits))
    return (log_p.exp() * (log_p - log_mean)).sum(dim=-1).mean(dim=0).clamp(min=0)
