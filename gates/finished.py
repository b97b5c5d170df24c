"""A finished evaluation or audit, whose numbers rules are judged by."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provenance import UserError


@contextmanager
def whole(file: Path) -> Iterator[None]:
    """A sentence where a finished evaluation lacks what every one holds now.

    Raises:
        UserError: Inside, something was missing or not as expected.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        what = f"has no {error}" if isinstance(error, KeyError) else f"is not as expected ({error})"
        raise UserError(
            f"{file}: {what}. It was changed, or an earlier version of this software wrote it, so "
            "no rule was judged. Evaluate or audit the set again, into another folder."
        ) from error
