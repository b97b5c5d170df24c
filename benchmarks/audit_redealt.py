"""How many films without a copy are flagged, when patients are dealt anew to both sides?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audit.statistics import FloatArray, Scale, threshold_of

_TIMES = 200


@dataclass(frozen=True)
class Redealt:
    """Shares of fresh films flagged, over many ways to deal the same films.

    Attributes:
        mean: Of them.
        largest: Of them.
    """

    mean: float
    largest: float


def redealt(likenesses: FloatArray, patients: Sequence[str], count: int, seed: int) -> Redealt:
    """Deal whole patients to a fresh side of at least `count` films and a held-out one.

    Args:
        likenesses: (N, K) of films of whom none is a copy.
        patients: (N,) whose each is.
        count: Fresh films, at least; the last patient's may be more.
        seed: Of the deals.
    """
    names, owner = np.unique(np.array(patients, str), return_inverse=True)
    random = np.random.default_rng(seed)
    shares = []
    for _ in range(_TIMES):
        place = random.permutation(len(names))[owner]
        last = np.sort(place)[count - 1]
        fresh = place <= last
        scale = Scale.of(likenesses[~fresh])
        threshold = threshold_of(scale.scores(likenesses[~fresh]))
        shares.append(float((scale.scores(likenesses[fresh]) > threshold).mean()))
    return Redealt(float(np.mean(shares)), float(np.max(shares)))
