"""A set from which an earlier audit's suspicious images were left out.

That no image of it is suspicious is so by choice, and shows nothing of copies that no audit finds.
"""

from collections.abc import Mapping
from typing import Any


def after_leaving_out(
    result: Mapping[str, Any], manifest: Mapping[str, Any]
) -> tuple[float, list[str]]:
    """The upper bound of the share of copies with what was left out in mind, and what to say of it.

    Args:
        result: What was measured, with its own bound "copies_at_most".
        manifest: Of the set.
    """
    without, bound = manifest.get("without_copies"), float(result["copies_at_most"])
    if not without:
        return bound, []
    missed = most_missed(without["left_out"], without["planted_found_share"])
    share = min(1.0, missed / result["num_synthetic"])
    note = (
        f"An earlier audit flagged {without['left_out']:,} of {without['of']:,} images, and they "
        "were left out of this set. So few flags are no evidence here: an audit sees again what "
        f"it saw then. If all of those were copies, at most {missed:,} that were missed are "
        "still here (upper 95 % bound, for copies of the planted kinds), which the bound allows "
        "for."
    )
    return max(bound, share), [note]


def most_missed(found: int, chance: float) -> int:
    """Upper 95 % bound of how many copies an audit missed.

    The largest number of which so few would be found in more than 1 of 20 audits.

    Args:
        found: Copies that it found; false alarms among them make the bound higher.
        chance: Of each copy to be found, in [0, 1].
    """
    from scipy.stats import binom

    if chance <= 0:
        raise ValueError("An audit that finds no copy bounds nothing.")
    missed = 0
    while binom.cdf(found, found + missed + 1, chance) > 0.05:
        missed += 1
    return missed
