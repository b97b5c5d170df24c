"""The numbers of an audit, by the names that --require knows them by."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from audit.statistics import largest_share
from audit.verdict import succeeded
from display.copies import worst_kind
from gates.figures import Figure, counted, of_entry
from gates.rules import Rule

_MOST_IMAGES = 10_000_000
_FEWEST_PATIENTS = 2


def figures_of(result: Mapping[str, Any]) -> dict[str, Figure]:
    """All numbers that rules may be about.

    `copies` is the share of the set that are copies, mixed evenly over the planted kinds: the
    excess of flagged images over the held-out rate, over the share of copies that is found, with
    its upper 95 % bound. `copies_of_any_kind` is the same were all of the kind with the highest
    bound. A planted disguise is `found:plain`, and attacks and scores of the set have their keys,
    such as `membership_auc` or `coverage`.

    Args:
        result: audit.json's content.
    """
    worst = worst_kind(result["planted"])
    found = {
        "copies": _copies(
            result,
            result["planted_found_share"],
            result["planted_found_share"],
            result["copies_at_most"],
            "planted copies",
        ),
        "copies_of_any_kind": _copies(
            result,
            worst["found"],
            worst["low"] or 0.0,
            worst["copies_at_most"],
            f"planted copies of the kind “{worst['disguise']}”",
        ),
        "held_out_flagged": Figure(
            result["held_out_flagged_share"],
            result["held_out_flagged_low"],
            result["held_out_flagged_high"],
            unit="held-out patient",
            number=result["num_held_out_patients"],
        ),
        "smallest_share_shown": counted(
            result["smallest_share_shown"], "not even a set of nothing but copies would be shown"
        ),
        "like_a_plain_copy": counted(
            result["like_a_plain_copy"], "plain copies and chance likenesses are not told apart"
        ),
    }
    for key in (
        "flagged", "flagged_share", "above_every_held_out", "planted_found_share",
        "num_synthetic", "num_held_out_images", "num_held_out_patients", "num_training_patients",
    ):  # fmt: skip
        found[key] = counted(result[key])
    for row in result["planted"]:
        found[f"found:{row['disguise']}"] = Figure(
            row["found"], row["low"], row["high"], unit="planted copy", number=row["num"]
        )
    if "by_distance" not in result:  # audits of before there were attacks: the rest may be judged
        return found
    found["attacks_succeeded"] = counted(len(succeeded(result)))
    for name, entry in _by_distance(result):
        # Of several extractors the first one's has the short name.
        found.setdefault(
            name,
            of_entry(entry, "held-out patient", result["num_held_out_patients"], _FEWEST_PATIENTS),
        )
    return found


def _by_distance(result: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Attacks and scores of the set: `membership_auc`, `coverage`, `coverage:held_out`, ..."""
    for extractor, one in result["by_distance"].items():
        parts = {
            **{("", key): value for key, value in one["membership"].items()},
            **{("reidentification", key): v for key, v in one["reidentification"].items()},
        }
        for side in ("synthetic", "held_out"):
            for key, value in ((one.get("fidelity") or {}).get(side) or {}).items():
                parts[key, "" if side == "synthetic" else side] = value
        for names, entry in parts.items():
            if isinstance(entry, dict) and {"value", "low", "high"} <= set(entry):
                name = ":".join(filter(None, names))
                yield name, entry
                yield f"{name}:{extractor}", entry


def _copies(
    result: Mapping[str, Any], found: float, sure: float, at_most: float, what: str
) -> Figure:
    """The share of the set that are copies of which `found` are found, and `sure` at the least."""
    share, held_out = result["flagged_share"], result["held_out_flagged_share"] or 0.0
    power = found - held_out
    alike = result["num_synthetic"] / result["num_synthetic_independent"]
    return Figure(
        min(1.0, max(0.0, share - held_out) / power) if power > 0 else None,
        None,
        at_most,
        unit="synthetic image",
        number=result["num_synthetic"],
        lacking="" if power > 0 else f"{what} were found no oftener than held-out images",
        needed=lambda rule: _images_needed(result, rule, alike, sure),
    )


def _images_needed(result: Mapping[str, Any], rule: Rule, alike: float, found: float) -> int | None:
    """The smallest set that would show a share of copies below the limit, flagged as often."""
    share, low = result["flagged_share"], result["held_out_flagged_low"]

    def shows(number: int) -> bool:
        return rule.allows(largest_share(math.floor(share * number), number, low, found))

    if not rule.reads_upper or not shows(_MOST_IMAGES):
        return None
    short, enough = 1, _MOST_IMAGES
    while enough - short > 1:
        middle = (short + enough) // 2
        short, enough = (short, middle) if shows(middle) else (middle, enough)
    return max(result["num_synthetic"] + 1, math.ceil(enough * alike))
