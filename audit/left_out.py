"""A set from which an earlier audit's suspicious images were left out.

That no image of it is suspicious is so by choice, and shows nothing of copies that no audit finds.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

_MOST = 1_000_000_000


def after_leaving_out(
    result: Mapping[str, Any], manifest: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The bounds of the share of copies with what was left out in mind, and what to say of it.

    Of one kind alone the earlier audit found as many as this one does: with few found, those that
    were left out leave room for many.

    Args:
        result: What was measured, with its own bounds "copies_at_most", also of the "planted".
        manifest: Of the set.

    Returns:
        Both entries of the result as they are to be, and the sentences.
    """
    without = manifest.get("without_copies")
    kept = {"copies_at_most": float(result["copies_at_most"]), "planted": result["planted"]}
    if not without:
        return kept, []

    def still_here(chance: float) -> float:
        here = most_missed(without["left_out"], chance) if chance > 0 else math.inf
        return min(1.0, here / result["num_synthetic"])

    missed = most_missed(without["left_out"], without["planted_found_share"])
    note = (
        f"An earlier audit flagged {without['left_out']:,} of {without['of']:,} images, and they "
        "were left out of this set. So few flags are no evidence here: this audit detects the same "
        f"copies as that one. If all of those were copies, at most {missed:,} missed ones are "
        "still here (upper 95 % bound, for copies mixed evenly over the planted kinds); the bound "
        "includes them."
    )
    rows = [
        {**row, "copies_at_most": max(row["copies_at_most"], still_here(row["low"] or 0.0))}
        for row in result["planted"]
    ]
    bound = max(kept["copies_at_most"], still_here(without["planted_found_share"]))
    return {"copies_at_most": bound, "planted": rows}, [note]


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

    def too_many(missed: int) -> bool:
        return bool(binom.cdf(found, found + missed + 1, chance) <= 0.05)

    return bisect_left(range(_MOST), True, key=too_many)
