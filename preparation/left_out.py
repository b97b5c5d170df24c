"""A file that cannot be used never ends a batch: it is listed, and the exit status says so.

The one place for what all sources do about it, of films and of slices. A film that was not asked
for, such as a lateral one where PA is wanted, is not left out in this sense.
"""

from collections.abc import Iterable
from pathlib import Path

from preparation.raised import raised
from provenance import UserError

# Of a preparation that is whole but for what was left out; 1 is damage, 2 that there is none.
LEFT_OUT_STATUS = 3
MAY_NOT_BE_READ = (
    "may not be read by whoever runs this: its permissions forbid it. Left out; allow it and give "
    "the same command again."
)


def cannot_be_read(error: BaseException, *files: Path) -> str:
    """A sentence for what a library raised and nobody foresaw, without names.

    Args:
        error: What was raised; its type and its sentence are said.
        files: Those that were read.
    """
    if isinstance(error, PermissionError):
        return MAY_NOT_BE_READ
    return f"cannot be read ({raised(error, *files)}). Left out."


def stop_at_the_first(left_out: Iterable[tuple[str, str]]) -> None:
    """With --strict, end the batch at the first (file, reason) that there is.

    Raises:
        UserError: There is one; names it.
    """
    for file, reason in left_out:
        raise UserError(
            f"{file}: {reason} Stopped here, as --strict says; what is finished is kept. Mend it "
            "and give the same command again, or leave --strict out: then the others are prepared "
            "and this one is listed."
        )


def grouped(entries: Iterable[tuple[str, str]]) -> list[str]:
    """A line for each reason: the first file that it holds for, and how many more there are."""
    files: dict[str, list[str]] = {}
    for file, reason in entries:
        files.setdefault(reason, []).append(file)
    return [
        f"{first}{f' and {len(more):,} more' if more else ''}: {reason}"
        for reason, (first, *more) in files.items()
    ]


def left_out_line(count: int, listed_in: Path) -> str:
    """The line of a summary that goes with the exit status."""
    were = "1 was" if count == 1 else f"{count:,} were"
    return (
        f"{were} left out, so the exit status is {LEFT_OUT_STATUS}. Each is listed with its reason "
        f"in {listed_in}; --strict stops at the first."
    )
