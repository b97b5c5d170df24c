"""What a preparation left out: listed, or the end of it with --strict."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from preparation import left_out
from preparation.private_table import SKIPPED, replace_rows
from preparation.volumes.volume import Found
from provenance import write_text_atomic


def stop_at_the_first(found: Found, skipped: Sequence[tuple[str, str]]) -> None:
    """Raise a UserError where something was left out; it names it as the source does."""
    in_text = found.own_names.in_text
    left_out.stop_at_the_first((in_text(file), in_text(reason)) for file, reason in skipped)


def write_skipped(
    out: Path, found: Found, skipped: list[tuple[str, str]]
) -> tuple[list[tuple[str, str]], Path]:
    """Write what was left out, and return it by the source's names, and where that list is."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "reason"))
    writer.writerows(sorted(skipped))
    write_text_atomic(out / SKIPPED, text.getvalue())
    in_text = found.own_names.in_text
    own = sorted((in_text(file), in_text(reason)) for file, reason in skipped)
    rows = own if own != sorted(skipped) and not found.naming.is_nobodys else []
    return own, replace_rows(out, SKIPPED, ("file", "reason"), rows) or out / SKIPPED
