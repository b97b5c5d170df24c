"""The correction for testing many things at once."""

from collections.abc import Sequence


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
