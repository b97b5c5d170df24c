"""From likenesses to shares of copies, with what is known of images that cannot be copies.

Nothing here rests on images being independent: held-out images count by their patients.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.intervals import Interval, patient_interval

FALSE_RATE = 0.01
"""Share of held-out images that lie above the threshold."""

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_SPREAD_TO = 0.9  # quantile; a higher one is unsteady with a hundred images
PERMUTATIONS = 2000


@dataclass(frozen=True)
class Scale:
    """What held-out images look like, so that several likenesses can be read as one.

    Attributes:
        middle: (K,) median of each likeness.
        reach: (K,) from there to the 90th percentile.
    """

    middle: FloatArray
    reach: FloatArray

    @staticmethod
    def of(likenesses: FloatArray) -> "Scale":
        """Of (N, K) likenesses."""
        middle, high = np.quantile(likenesses, [0.5, _SPREAD_TO], axis=0)
        return Scale(middle, np.maximum(high - middle, 1e-6))

    def scores(self, likenesses: FloatArray) -> FloatArray:
        """(N,) the largest of K standardised likenesses: a copy betrays itself in one of them."""
        found: FloatArray = ((likenesses - self.middle) / self.reach).max(1)
        return found


def threshold_of(scores: FloatArray, rate: float = FALSE_RATE) -> float:
    """Above which a share of `rate` lies, at most."""
    return float(np.quantile(scores, 1 - rate, method="higher"))


def held_out_flags(likenesses: FloatArray, patients: Sequence[str], seed: int) -> BoolArray:
    """(N,) which held-out images would be flagged, had they not set the threshold themselves.

    Half of the patients sets scale and threshold for the other half, and the other way round.
    """
    names = np.array(patients, str)
    different = np.random.default_rng(seed).permutation(np.unique(names))
    first = np.isin(names, different[: len(different) // 2])
    flags = np.zeros(len(names), bool)
    for measured, judged in ((first, ~first), (~first, first)):
        scale = Scale.of(likenesses[measured])
        threshold = threshold_of(scale.scores(likenesses[measured]))
        flags[judged] = scale.scores(likenesses[judged]) > threshold
    return flags


@dataclass(frozen=True)
class Chance:
    """How often labels given by chance to whole patients would show as much.

    Attributes:
        flagged: p of the share of images above the held-out threshold.
        above_all: p of the number of images above every held-out one.
    """

    flagged: float
    above_all: float


def by_chance(
    likenesses: FloatArray,
    patients: Sequence[str],
    held_out: FloatArray,
    held_out_patients: Sequence[str],
    seed: int,
    on_draw: Callable[[int], object] = lambda _: None,
) -> Chance:
    """Permutation test by patient: is the audited set more like the training images?

    Args:
        likenesses: (n, K) of the audited images.
        patients: Whose each is; their own where nobody's.
        held_out: (m, K) likewise.
        held_out_patients: Likewise.
        seed: Of the permutations.
        on_draw: Called with the number of permutations that are done since, for a progress bar.
    """
    both = np.concatenate([likenesses, held_out])
    seen = _statistics(both, np.arange(len(both)) < len(likenesses))
    reached = np.zeros(2, int)
    for drawn in _labellings(patients, held_out_patients, seed):
        reached += np.array(_statistics(both, drawn)) >= np.array(seen) - 1e-12
        on_draw(1)
    flagged, above_all = ((1 + reached) / (1 + PERMUTATIONS)).tolist()
    return Chance(flagged, above_all)


def difference_by_chance(
    values: FloatArray | BoolArray,
    patients: Sequence[str],
    held_out: FloatArray | BoolArray,
    held_out_patients: Sequence[str],
    seed: int,
) -> float:
    """How often chance makes the mean of values (n,) stand as far above that of held-out ones (m,).

    Permutations of whole patients, as in `by_chance`.
    """
    both = np.concatenate([values, held_out]).astype(float)

    def difference(audited: BoolArray) -> float:
        return float(both[audited].mean() - both[~audited].mean())

    seen = difference(np.arange(len(both)) < len(values))
    reached = sum(
        difference(drawn) >= seen - 1e-12
        for drawn in _labellings(patients, held_out_patients, seed)
    )
    return (1 + reached) / (1 + PERMUTATIONS)


def _labellings(
    patients: Sequence[str], held_out_patients: Sequence[str], seed: int
) -> Iterator[BoolArray]:
    """(n + m,) which images are called audited: whole patients, drawn by chance."""
    # A patient of either side is a block; one name on both sides is two blocks.
    names = [f"a {one}" for one in patients] + [f"h {one}" for one in held_out_patients]
    _, owner = np.unique(np.array(names, str), return_inverse=True)
    size = np.bincount(owner)
    random = np.random.default_rng(seed)
    for _ in range(PERMUTATIONS):
        order = random.permutation(len(size))
        # Blocks until the audited set's number of images is reached, as nearly as they fit.
        ends = size[order].cumsum()
        taken = 1 + int(np.abs(ends - len(patients)).argmin())
        drawn = np.zeros(len(size), bool)
        drawn[order[: min(taken, len(size) - 1)]] = True
        yield drawn[owner]


def _statistics(likenesses: FloatArray, audited: BoolArray) -> tuple[float, float]:
    """All that depends on who is called held-out is done again: so the test is exact."""
    scale = Scale.of(likenesses[~audited])
    scores = scale.scores(likenesses)
    ours, others = scores[audited], scores[~audited]
    return float((ours > threshold_of(others)).mean()), float((ours > others.max()).mean())


def effective_number(scores: FloatArray, patients: Sequence[str]) -> float:
    """So many independent images tell as much: N where each is its own patient.

    N over the design effect 1 + (k - 1) ICC, k the mean number of images of an image's patient, and
    the intraclass correlation from a one-way analysis of variance, 0 at least (Kish 1965).
    """
    _, owner, counts = np.unique(np.array(patients, str), return_inverse=True, return_counts=True)
    total, groups = len(scores), len(counts)
    if groups == total or groups < 2:
        return float(groups)
    means = np.bincount(owner, scores) / counts
    between = float((counts * (means - scores.mean()) ** 2).sum()) / (groups - 1)
    within = float(((scores - means[owner]) ** 2).sum()) / (total - groups)
    usual = (total - (counts**2).sum() / total) / (groups - 1)
    whole = between + (usual - 1) * within
    icc = max(0.0, (between - within) / whole) if whole > 0 else 0.0
    return float(total / (1 + ((counts**2).sum() / total - 1) * icc))


def largest_share(flagged: float, number: float, false_rate: float, found: float) -> float:
    """Upper 95 % bound of the share of copies in a set.

    A flag is a copy that was found, or a false alarm; a share c of copies flags with probability
    false_rate + c (found - false_rate). A set that happens to have fewer flags than false alarms
    were expected is no proof of anything: so the bound is CLs, which with no flag at all is that of
    a test without false alarms, 3 / (number found).

    Args:
        flagged: Images above the threshold.
        number: Of the images, or of independent ones.
        false_rate: Share of false alarms, in [0, 1); a low guess makes the bound higher.
        found: Share of copies that the test finds.

    Returns:
        In [0, 1]; 1 where the test finds copies no oftener than others.

    Source: Read 2002, J. Phys. G 28 2693.
    """
    from scipy.optimize import brentq
    from scipy.stats import binom

    if found <= false_rate or number < 1:
        return 1.0
    whole, count = round(number), int(np.ceil(flagged - 1e-9))
    of_none = binom.cdf(count, whole, false_rate)

    def beyond(share: float) -> float:
        rate = false_rate + share * (found - false_rate)
        return float(binom.cdf(count, whole, rate) - 0.05 * of_none)

    return 1.0 if beyond(1.0) > 0 else float(brentq(beyond, 0.0, 1.0))


def smallest_share_shown(number: float, false_rate: float, found: float) -> float | None:
    """The smallest share of copies that the test shows in 95 of 100 sets of this size.

    Shows: has more flags than sets without a copy have in 99 of 100 cases.

    Args:
        number: Of images, or of independent ones.
        false_rate: Share of false alarms; a high guess makes it harder.
        found: Share of copies that the test finds.

    Returns:
        In (0, 1]; None where not even a set of nothing but copies would be shown.
    """
    from scipy.optimize import brentq
    from scipy.stats import binom

    whole = max(1, round(number))
    needed = int(binom.isf(0.01, whole, false_rate)) + 1

    def short(share: float) -> float:
        rate = false_rate + share * (found - false_rate)
        return float(0.95 - binom.sf(needed - 1, whole, rate))

    if found <= false_rate or short(1.0) > 0:
        return None
    return 0.0 if short(0.0) <= 0 else float(brentq(short, 0.0, 1.0))


def share_of(flags: BoolArray, patients: Sequence[str], confidence: float = 0.95) -> Interval:
    """A share of images with its interval over patients."""
    return patient_interval(flags.astype(float).tolist(), list(patients), confidence, share=True)
