"""The folder that an evaluation writes into."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from provenance import UserError, read_json, write_text_atomic
from spelling import meant_path

RESULT = "evaluation.json"
Split = Literal["train", "val", "test", "all"]
"""Of a cache; "all" is every image of it, as of one that no training has to do with"""

_KINDS = (
    "segmentation",
    "classification",
    "findings",
    "images",
    "robustness",
    "lesions",
    "survival",
    "labels",
)


def read_evaluation(folder: Path) -> dict[str, Any]:
    """The content of a finished evaluation's folder.

    Raises:
        UserError: There is none.
    """
    path = Path(folder) / RESULT
    if not path.parent.is_dir():
        lacks = "is no folder" if path.parent.exists() else "there is no such folder"
        raise UserError(
            f"{folder}: {lacks}.{meant_path(path.parent)} Expected the --out folder of a finished "
            "evaluation or audit."
        )
    if not path.is_file():
        raise UserError(f"{folder}: holds no {RESULT}, so no evaluation was finished there.")
    result = read_json(path)
    if not isinstance(result, dict) or result.get("task") not in _KINDS:
        raise UserError(f"{path}: is not what evaluate.py writes.")
    return result


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of equal keys with a header, whole or not at all; None becomes an empty cell."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_text_atomic(path, text.getvalue())
