"""Tables of an audit's page: the set beside its controls."""

from collections.abc import Mapping
from typing import Any

from display.copies import percent
from display.numbers import interval
from display.tables import Table, text_table


def groups_table(result: Mapping[str, Any]) -> Table:
    """The set beside held-out images, from audit.json's content."""
    reached = result["like_a_plain_copy"]
    untold = "not told apart"
    rows = [
        (
            "synthetic",
            f"{result['num_synthetic']:,}",
            f"{result['flagged']:,} ({percent(result['flagged_share'])})",
            str(result["above_every_held_out"]),
            untold if reached is None else str(reached),
        ),
        (
            f"held-out, {result['num_held_out_patients']:,} patients",
            f"{result['num_held_out_images']:,}",
            f"{percent(result['held_out_flagged_share'])} "
            f"[{percent(result['held_out_flagged_low'])} to "
            f"{percent(result['held_out_flagged_high'])}]",
            "0, as it must be",
            untold if reached is None else str(result["held_out_like_a_plain_copy"]),
        ),
    ]
    return text_table(
        ("", "Images", "Above the threshold", "Above every held-out", "Like a plain copy"),
        rows,
        "Threshold: 1 % of held-out images lie above it. Their own share is that of each half of "
        "the patients by the other half's threshold, with its 90 % interval over patients. Like a "
        "plain copy: above 95 % of planted copies without a disguise.",
    )


def planted_table(result: Mapping[str, Any]) -> Table:
    """What planted copies, and images that are none, came to."""
    rows = [
        (
            row["disguise"],
            percent(row["found"]),
            interval(row["low"], row["high"], percent),
            percent(row["above_every_held_out"]),
            percent(row["source_named"]),
            percent(row["copies_at_most"]),
        )
        for row in result["planted"]
    ]
    others = [(f"no copies: {row['what']}", row) for row in result["no_copies"]]
    if result["control_set"] is not None:
        others.append(("control set", result["control_set"]))
    rows += [
        (
            what,
            percent(row["found"]),
            interval(row["low"], row["high"], percent),
            percent(row["above_every_held_out"]),
            "",
            "",
        )
        for what, row in others
    ]
    columns = ("Disguise", "Found", "95 % interval", "Above every held-out", "Source named")
    return text_table(
        (*columns, "Such copies in the set, at most"),
        rows,
        f"{result['planted'][0]['num']} copies of training images in each disguise were made on "
        "the spot and judged as the set was. Source named: the training image that lies on it best "
        "is the one that it is a copy of. At most: upper 95 % bound, taking the share that is "
        "found at its lower end. Rebuilt copies, and those that a small generator made which had "
        "seen nothing but 50 of the images, stand for what generators make of a copy. No copies: "
        "few of them should be found, as blurred as they are.",
    )
