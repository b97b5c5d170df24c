"""The folder that an evaluation writes into: whose it is, and its files."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from provenance import UserError, read_json, write_text_atomic

RESULT = "evaluation.json"
Split = Literal["train", "val", "test"]


def claim_folder(out: Path, identity: Mapping[str, Any], others: Sequence[str]) -> Path:
    """Make sure that a folder is free, or holds this very evaluation.

    Args:
        out: The folder; need not exist.
        identity: What makes an evaluation this one; equal values mean that it is computed again.
        others: Names of the files written besides evaluation.json.

    Raises:
        UserError: The folder holds another evaluation, or files of those names from elsewhere.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: is a file, expected a folder. Choose another.")
    if (out / RESULT).exists():
        earlier = read_json(out / RESULT)
        held = earlier if isinstance(earlier, dict) else {}
        differing = [key for key, value in identity.items() if held.get(key) != value]
        if differing:
            key = differing[0]
            raise UserError(
                f"--out {out}: holds another evaluation ({key} there: {held.get(key)}, "
                f"here: {identity[key]}). It is kept; choose another folder or remove it."
            )
    else:
        foreign = [name for name in others if (out / name).exists()]
        if foreign:
            raise UserError(
                f"--out {out}: holds {foreign[0]} but no {RESULT}, so it is not the folder of an "
                "evaluation. Nothing was written; choose another folder."
            )
    return out


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of equal keys with a header, whole or not at all; None becomes an empty cell."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_text_atomic(path, text.getvalue())
