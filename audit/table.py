"""Audits of several sets side by side, such as of one generator's checkpoints."""

from collections.abc import Mapping
from typing import Any

from audit.verdict import NOTHING_FOUND
from display.copies import percent, worst_kind
from display.numbers import NONE
from display.tables import Table, text_table


def table_of_audits(results: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row for each audit, in the order of the images that its generator had seen.

    Args:
        results: audit.json's contents by what they are called.
    """
    order = sorted(results, key=lambda name: results[name].get("generator_images_seen") or 0)
    rows = [_row(name, results[name]) for name in order]
    free = [name for name in order if results[name]["verdict"] == NOTHING_FOUND]
    seen = {results[name].get("generator_images_seen") for name in order}
    note = (
        [f"The longest trained of which these tests found no copies: {free[-1]}."]
        if free and None not in seen and len(seen) > 1
        else []
    )
    columns = (
        "Audit", "Images seen by the generator", "Images", "Above the threshold", "Held-out",
        "Above every held-out", "Copies mixed evenly, at most", "Copies of any one kind, at most",
        "Answer",
    )  # fmt: skip
    return text_table(columns, rows, *note)


def _row(name: str, result: Mapping[str, Any]) -> tuple[str, ...]:
    seen = result.get("generator_images_seen")
    return (
        name,
        NONE if seen is None else f"{seen:,}",
        f"{result['num_synthetic']:,}",
        f"{result['flagged']:,} ({percent(result['flagged_share'])})",
        percent(result["held_out_flagged_share"]),
        str(result["above_every_held_out"]),
        percent(result["copies_at_most"]),
        percent(worst_kind(result["planted"])["copies_at_most"]),
        result["verdict"],
    )
