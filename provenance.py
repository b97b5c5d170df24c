"""What every result carries: the version that made it, hashes of its inputs, and whole files.

Every room may import it; it imports none.
"""

import errno
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

__version__ = "0.1.0"

_REPORTED_LIBRARIES = (
    "torch",
    "torchvision",
    "lightning",
    "monai",
    "segmentation-models-pytorch",
    "timm",
    "torchmetrics",
    "numpy",
    "scipy",
    "pydicom",
    "nibabel",
    "wandb",
)


DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UserError(Exception):
    """An expected failure. Its message is a finished sentence for the person at the prompt.

    The verbs print it without a traceback and exit with status 2.
    """


class DiskFullError(OSError):
    """A full disk. Its `strerror` says what the file takes and what is free, see `full_disk`."""


def innermost_cause(error: BaseException) -> BaseException:
    """What first went wrong: jsonargparse wraps a constructor's sentence in several of its own.

    A UserError is a finished sentence, whatever caused it.
    """
    while error.__cause__ is not None and not isinstance(error, UserError):
        error = error.__cause__
    return error


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes as 64 hex digits, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_unpacked_size(path: Path) -> None:
    """Refuse an archive that unpacks to more than its size, as none of torch.save does.

    Other files than zip archives pass.

    Raises:
        ValueError: Its parts are compressed (a megabyte may become a gigabyte), or lie in one
            place.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
        raise ValueError("its parts are compressed")
    if sum(part.file_size for part in parts) > path.stat().st_size:
        raise ValueError("its parts are larger than the file")


def full_disk(folder: Path, needed: str) -> str:
    """What a sentence says of a full disk: what a file takes there, and what is free.

    Args:
        folder: Where the file was to be written; half of it is gone again.
        needed: Such as "12.3 MB".
    """
    free = readable_size(shutil.disk_usage(folder).free)
    return f"the disk is full: the file takes {needed}, {free} are free"


def readable_size(num_bytes: int) -> str:
    """Such as "12.3 MB": thousands are those of the metric system."""
    for unit, name in ((1e9, "GB"), (1e5, "MB")):
        if num_bytes >= unit:
            return f"{num_bytes / max(unit, 1e6):,.1f} {name}"
    return f"{num_bytes / 1e3:.1f} kB"


@contextmanager
def whole_file(path: Path, num_bytes: int | None = None) -> Iterator[BinaryIO]:
    """Open a file that gets its name only when it is whole: a hidden neighbour, then renamed.

    Until then a file of that name stays as it was, and afterwards too if writing fails. What a
    killed process leaves is called `.<name>.<random>.part`.

    Args:
        path: The file.
        num_bytes: That it will take, for the sentence about a full disk; None where nobody knows.

    Raises:
        DiskFullError: The disk is full.
        OSError: Anything else that happens to the file; names it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        with open(temporary, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        fitted = temporary.stat().st_size if temporary.exists() else 0
        temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        error.filename = str(path)  # a full disk names no file by itself
        if error.errno not in DISK_FULL:
            raise
        needed = f"more than {readable_size(fitted)}" if fitted else "more than there is"
        if num_bytes is not None:
            needed = readable_size(num_bytes)
        sentence = full_disk(path.parent, needed)
        raise DiskFullError(error.errno, sentence, str(path)) from error


def write_text_atomic(path: Path, text: str) -> None:
    """Write a text file as UTF-8, whole or not at all."""
    content = text.encode()
    with whole_file(path, len(content)) as stream:
        stream.write(content)


def as_written(content: Any) -> str:
    """The text of `write_json_atomic`."""
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def write_json_atomic(path: Path, content: Any) -> None:
    """Write JSON whole or not at all. NaN and infinity are refused: they are not JSON."""
    write_text_atomic(path, as_written(content))


# Around the last value of a JSON that holds its own SHA-256.
_BEFORE, _AFTER, _DIGITS = b',\n "sha256": "', b'"\n}\n', 64


def write_checked_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object whole, with the SHA-256 of the text before it as its last value.

    No flipped bit of it is read as another value: `read_checked_json` compares.
    """
    body = as_written({key: value for key, value in content.items() if key != "sha256"})
    text = body.removesuffix("\n}\n").encode()
    end = _BEFORE + hashlib.sha256(text).hexdigest().encode() + _AFTER
    with whole_file(path, len(text + end)) as stream:
        stream.write(text + end)


def read_checked_json(path: Path) -> Any:
    """Read what `write_checked_json` wrote, without its SHA-256.

    Other JSON is read as it is: of earlier versions, and what a program wrote anew in another
    layout, which no flipped bit does.

    Raises:
        UserError: As `read_json`; or it is not what was written.
    """
    data = _bytes_of_json(path)
    content = _parsed(path, data)
    if not isinstance(content, dict):
        return content
    told = content.pop("sha256", None)
    length = len(_BEFORE) + _DIGITS + len(_AFTER)
    text, end = data[:-length], data[-length:]
    frame = end[: len(_BEFORE)] + end[-len(_AFTER) :]
    wrong = sum(one != other for one, other in zip(frame, _BEFORE + _AFTER, strict=False))
    # A bit may flip in the key as well; other ends of files have nothing in common with it.
    if wrong in (1, 2) or (wrong == 0 and hashlib.sha256(text).hexdigest() != told):
        raise UserError(
            f"{path}: is damaged or was changed since it was written (its SHA-256, the last line, "
            "does not fit). It is not used; copy it again, or run the command that made it again. "
            "If the change is meant, remove that line and the comma before it."
        )
    return content


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: The file is missing or is not JSON; the sentence names it.
    """
    return _parsed(path, _bytes_of_json(path))


def _bytes_of_json(path: Path) -> bytes:
    if Path(path).exists() and not Path(path).is_file():  # a pipe waits, a device never ends
        raise UserError(f"{path}: is no regular file. It is not read; put the file itself there.")
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.") from None


def _parsed(path: Path, data: bytes) -> Any:
    try:
        return json.loads(data.decode())
    except RecursionError:
        raise UserError(
            f"{path}: is nested deeper than any file of this software. It is not read; use the "
            "file as it was written."
        ) from None
    except ValueError as error:  # of JSON, of UTF-8, or a number of thousands of digits
        raise UserError(
            f"{path}: is not readable JSON ({error}). It may be truncated; "
            "remove it and run the command that made it again."
        ) from error


def library_versions() -> dict[str, str]:
    """Versions of Understudy, Python and the libraries a result depends on."""
    versions = {"understudy": __version__, "python": platform.python_version()}
    return {**versions, **{name: _installed(name) for name in _REPORTED_LIBRARIES}}


@cache
def _installed(library: str) -> str:
    """Its version; looked up once, since that reads all that the library says of itself."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
