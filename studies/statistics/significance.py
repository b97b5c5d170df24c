"""Paired tests for few patients, and the correction for testing many things at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_PATIENTS_EXACT = 16
MONTE_CARLO_DRAWS = 100_000


@dataclass(frozen=True)
class SignFlipTest:
    """Outcome of a two-sided paired permutation test.

    Attributes:
        p_value: None without patients.
        smallest_p: The smallest p that any data of so many patients could give.
        num_patients: Patients tested.
        exact: All sign patterns were counted, not drawn.
    """

    p_value: float | None
    smallest_p: float | None
    num_patients: int
    exact: bool


def sign_flip_test(differences: Sequence[float], seed: int = 0) -> SignFlipTest:
    """Could these paired differences have come out so far from zero by chance?

    Under "no difference" each patient's difference could as well have had the other sign. The p
    value is the share of sign patterns whose mean is at least as far from zero as the one seen:
    all 2^n patterns up to `MOST_PATIENTS_EXACT` patients, else `MONTE_CARLO_DRAWS` seeded draws
    with the pattern seen counted in, (1 + hits) / (1 + draws), so that p is never zero.

    Args:
        differences: (P,) one finite difference per patient.
        seed: Of the drawn patterns.

    Source: Fisher 1935, section 21; Phipson & Smyth 2010 for the drawn version.
    """
    values = np.asarray(differences, dtype=float)
    if not np.isfinite(values).all():
        raise ValueError("a difference is not finite; leave out patients without one.")
    number = len(values)
    if number == 0:
        return SignFlipTest(None, None, 0, True)
    seen = abs(values.sum())
    # Sums that are equal on paper may differ in the last bits, by an amount that grows with them.
    threshold = seen - 1e-12 * max(1.0, float(np.abs(values).sum()))
    if number <= MOST_PATIENTS_EXACT:
        # The other half of the patterns are mirror images, with the same distance from zero.
        patterns = np.arange(2 ** (number - 1))[:, None] >> np.arange(number) & 1
        hits = (np.abs((1 - 2 * patterns) @ values) >= threshold).mean()
        return SignFlipTest(float(hits), 2 / 2**number, number, True)
    generator = np.random.default_rng(seed)
    hits_drawn = 0
    for start in range(0, MONTE_CARLO_DRAWS, 10_000):
        rows = min(10_000, MONTE_CARLO_DRAWS - start)
        signs = 1 - 2 * generator.integers(0, 2, size=(rows, number), dtype=np.int8)
        hits_drawn += int((np.abs(signs @ values) >= threshold).sum())
    p_value = (1 + hits_drawn) / (1 + MONTE_CARLO_DRAWS)
    return SignFlipTest(p_value, 1 / (1 + MONTE_CARLO_DRAWS), number, False)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values of a family of tests, in the order given.

    The k-th smallest p is multiplied by the number of tests not yet rejected (m - k + 1), and no
    adjusted p is below an earlier one. Controls the chance of any false claim in the family.

    Source: Holm 1979.
    """
    number = len(p_values)
    adjusted = [0.0] * number
    highest = 0.0
    for rank, index in enumerate(sorted(range(number), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (number - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def patients_needed(family_size: int, level: float) -> int:
    """Fewest patients with which one test of the family could reach the level after Holm."""
    return math.ceil(math.log2(2 * max(1, family_size) / level))
