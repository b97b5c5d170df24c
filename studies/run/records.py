"""The JSON of a finished job, as `Job.write` of `studies/run/job.py` writes it, read back."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from provenance import UserError, read_json

_MOST_BYTES_OF_RECORD = 100_000_000
# What every record has.
_KINDS = {
    "settings": dict, "commands": list, "checkpoint_sha256": str, "timings": dict, "machine": str,
    "versions": dict,
}  # fmt: skip


def read_record(path: Path) -> Any:
    """Read the JSON of a job in a study's folder, which may come from others.

    Raises:
        UserError: It is a link that leads out of its folder, larger than any, or no JSON.
    """
    if path.resolve().parent != path.parent.resolve():
        raise UserError(
            f"{path}: is a link to something outside of {path.parent}. It is not read; put the "
            "file itself there, or remove it."
        )
    if path.is_file() and path.stat().st_size > _MOST_BYTES_OF_RECORD:
        raise UserError(f"{path}: is larger than any record of a job. It is not read; remove it.")
    return read_json(path)


def read_records(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Records of finished jobs, by name; a folder from others may hold anything under theirs.

    Raises:
        UserError: A file is no record of the job that it is named after; names it.
    """
    found = []
    for path in sorted(paths):
        if path.name.endswith(".failed.json"):
            continue
        record = read_record(path)
        if not isinstance(record, dict) or record.get("name") != path.stem:
            raise UserError(f"{path}: is no record of the job {path.stem}. Remove it.")
        wrong = [key for key, kind in _KINDS.items() if not isinstance(record.get(key), kind)]
        if path.parent.name == "cells":
            of_cells = {"scenario": str, "model": str, "seed": int, "evaluation": dict}
            wrong += [k for k, kind in of_cells.items() if not isinstance(record.get(k), kind)]
        if wrong:
            raise UserError(
                f"{path}: is damaged ({', '.join(wrong)} missing or of another kind). Remove it, "
                "and run the study again: it makes only what is missing."
            )
        found.append(record)
    return found
