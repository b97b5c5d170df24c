"""Text files that people hand in: tables, lists, maps. UTF-8, or said where they are not."""

import codecs
import csv
import gzip
import io
import zlib
from pathlib import Path

from provenance import UserError

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MOST_UNPACKED = 2**30  # of a packed table, in bytes; the largest that is published has 60 MB


def as_text(name: str) -> str:
    r"""The name of a file as text: bytes of it that are no UTF-8 become such as `\xfc`."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def text_of(path: Path, what: str) -> str:
    """Read a text file in UTF-8, or in UTF-16 with its mark, as spreadsheets save "Unicode text".

    No other encoding is guessed: names with wrong letters would match nothing.

    Args:
        path: The file; one called `.gz` is unpacked.
        what: What it is, for the sentence: `the label table`.

    Raises:
        UserError: It cannot be read, or is in another encoding; names the line and the byte.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(
            f"{path}: {what} is a pipe or a device, which may never end and can be read only once. "
            "Write it into a file and give that."
        )
    try:
        data = _unpacked(path, what) if path.suffix == ".gz" else path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {what} cannot be read ({error.strerror or error}).") from error
    if data.startswith(_UTF16):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path}: begins as UTF-16, but is no text ({error.reason}). Save {what} in UTF-8 "
                "and give it again."
            ) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        byte = data[error.start : error.start + 1]
        letter = byte.decode("cp1252", errors="replace")
        usual = f", in Windows-1252 the letter {letter}" if letter.isalpha() else ""
        raise UserError(
            f"{path}: line {line} is not UTF-8: it holds the byte 0x{byte.hex()}{usual}. Save "
            f"{what} in UTF-8 (in a spreadsheet: CSV UTF-8) and give it again."
        ) from error


def _unpacked(path: Path, what: str) -> bytes:
    try:
        with gzip.open(path) as stream:
            data = stream.read(_MOST_UNPACKED + 1)
    except (EOFError, zlib.error) as error:
        raise UserError(
            f"{path}: {what} is damaged or truncated ({error}). Copy it again."
        ) from error
    if len(data) > _MOST_UNPACKED:
        raise UserError(
            f"{path}: {what} would be more than {_MOST_UNPACKED / 2**30:g} GiB when unpacked. "
            "Unpack it yourself, and give what films it needs."
        )
    return data


def separator_of(text: str) -> str:
    """Which of comma, semicolon and tab cuts a table's header into most columns."""
    header = text.lstrip().splitlines()[:1]
    return max(",;\t", key=lambda mark: len(next(csv.reader(header, delimiter=mark), [])))


def csv_lines(path: Path, what: str) -> list[tuple[int, list[str]]]:
    """Number and stripped cells of each line of a table that holds something.

    Args:
        path: The table; of any encoding and separator that `text_of` and `separator_of` know.
        what: What it is, for the sentences.

    Raises:
        UserError: It cannot be read, or is no such table.
    """
    text = text_of(path, what)
    try:
        # strict: a quote that is never closed would else swallow the rest of the table.
        table = io.StringIO(text, newline="")
        reader = csv.reader(table, delimiter=separator_of(text), strict=True)
        lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise UserError(f"{path}: is not a readable CSV table ({error}).") from error
    return [(number, cells) for number, cells in lines if any(cells)]
