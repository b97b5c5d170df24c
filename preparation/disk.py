"""What lies in a cache while it is made: records of finished shards, and the end of the disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provenance import DISK_FULL, DiskFullError, UserError


def record_path(out: Path, shard: str) -> Path:
    """Return where a shard's record lies; it exists only when the shard is whole."""
    return out / "records" / f"{shard}.json"


def is_about(out: Path, error: OSError) -> bool:
    """Whether an error is about writing the cache, not about reading the source."""
    return error.errno in DISK_FULL or Path(error.filename or out).is_relative_to(out)


@contextmanager
def full_disk_as_user_error(out: Path, unit: str) -> Iterator[None]:
    """Turn an OSError into a UserError: disk full or cache not writable, finished `unit` kept."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise UserError(
                f"{out}: cannot be written ({error.strerror or error}). Finished {unit} are kept."
            ) from error
        told = error.strerror if isinstance(error, DiskFullError) else "the disk is full"
        raise UserError(
            f"{error.filename or out}: {told}. Finished {unit} are kept. Make room and run "
            "the same command again; it goes on where it stopped."
        ) from error
