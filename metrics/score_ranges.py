"""What a score of image sets can be at least and at most, by the beginning of its name."""

import math

_RANGES = {
    "frechet": (0.0, math.inf),
    "fid": (0.0, math.inf),
    "kernel": (-math.inf, math.inf),  # unbiased, so below 0 by chance
    "kid": (-math.inf, math.inf),
    "diversity": (0.0, math.inf),
    "precision": (0.0, 1.0),
    "recall": (0.0, 1.0),
    "density": (0.0, math.inf),
    "coverage": (0.0, 1.0),
    "inception_score": (1.0, math.inf),
    "ms_ssim": (0.0, 1.0),
}


def within_range(name: str, low: float, high: float) -> tuple[float, float]:
    """An interval's ends, cut off at what the score can be.

    Args:
        name: Such as "recall" or "frechet_random_vgg".
        low: Lower end.
        high: Upper end.

    Raises:
        KeyError: no such score.
    """
    kind = next((kind for kind in _RANGES if f"{name}_".startswith(f"{kind}_")), name)
    lowest, highest = _RANGES[kind]
    return max(lowest, low), min(highest, high)
