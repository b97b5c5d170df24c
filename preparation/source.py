"""The raw data, which are only read."""

from pathlib import Path

from provenance import UserError


def existing_folder(source: Path) -> Path:
    """Return the folder, or raise a UserError that says it is missing."""
    if not source.is_dir():
        raise UserError(
            f"--source {source}: there is no such folder. Give the folder that holds the raw data."
        )
    return source
