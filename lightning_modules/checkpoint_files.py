"""Checkpoints on disk: written whole, with a SHA-256 beside them, loaded without running code.

torch.save writes in place, so a full disk or a kill leaves half a file under the good name; and a
flipped byte loads silently. Here a file gets its name only once it is complete, and is read only
if its hash is the recorded one and it holds what train.py writes, in no more room than it takes.
"""

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from foreign_text import read_small_file
from lightning_modules.checkpoint_record import RECORD_KEY, check_record
from provenance import (
    DISK_FULL,
    UserError,
    check_unpacked_size,
    full_disk,
    readable_size,
    sha256_of,
    write_text_atomic,
)
from spelling import meant_path

_MOST_BYTES_OF_HASHES = 10_000  # a line or two of 64 digits and a name


def hash_file_of(checkpoint: Path) -> Path:
    """Where the SHA-256 of a checkpoint is kept: `last.ckpt` -> `last.ckpt.sha256`."""
    return checkpoint.with_name(checkpoint.name + ".sha256")


def save_checkpoint_file(content: dict[str, Any], path: Path) -> None:
    """Write a checkpoint whole or not at all, with its hash in `sha256sum` format beside it.

    Raises:
        UserError: The disk is full or not writable. The earlier file of that name is kept.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as stream:
            torch.save(content, stream)
            stream.flush()
            os.fsync(stream.fileno())  # or a power cut takes it along
        digest = sha256_of(temporary)
        # The hash goes first: a kill between the two lines leaves a mismatch, which is noticed,
        # and the previous checkpoint's name points to a whole file either way.
        _publish(temporary, path, digest)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__context__  # of torch's writer, which fails once more when it closes
        if cause is None:
            raise
        problem = cause.strerror or str(cause)
        if cause.errno in DISK_FULL:
            problem = full_disk(path.parent, readable_size(_tensor_bytes(content)))
        kept = "the earlier one of that name is kept" if path.exists() else "there is none yet"
        goes_on = "starts from the beginning"
        if any(path.with_name(name).exists() for name in ("last.ckpt", "best.ckpt")):
            goes_on = "goes on from the last checkpoint"
        raise UserError(
            f"{path}: this checkpoint could not be written ({problem}); {kept}. Training stops "
            "here. Make room, then give the same command again with this --run_folder and "
            f"--resume true: it {goes_on}."
        ) from error


def _tensor_bytes(content: Any) -> int:
    """What the tensors of a tree of plain values take in a file."""
    if isinstance(content, torch.Tensor):
        return content.nbytes
    if isinstance(content, dict):
        return sum(map(_tensor_bytes, content.values()))
    if isinstance(content, list | tuple):
        return sum(map(_tensor_bytes, content))
    return 0


def _publish(temporary: Path, path: Path, digest: str) -> None:
    """Give a complete file its name. `.sha256` holds the old and new hash while names change."""
    hash_file = hash_file_of(path)
    line = f"{digest}  {path.name}\n"
    previous = hash_file.read_text() if hash_file.exists() and path.exists() else ""
    write_text_atomic(hash_file, line + previous)
    os.replace(temporary, path)
    write_text_atomic(hash_file, line)


def copy_checkpoint_file(source: Path, target: Path) -> None:
    """Copy a finished checkpoint under a second name, whole or not at all, with its hash."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)  # later saves replace the name, not these bytes
    except OSError:
        shutil.copyfile(source, temporary)
    _publish(temporary, target, hash_file_of(source).read_text().split()[0])


def load_checkpoint_file(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a checkpoint after checking its hash. Tensors and plain values only; never code.

    Without its hash file, as when it was copied alone, the checksums inside the file are compared,
    which torch writes and does not read.

    Raises:
        UserError: No such file, a hash that does not fit, or a file that is not a checkpoint; one
            that unpacks to more than its size, or whose record is not one that train.py writes.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"{path}: no such checkpoint.{meant_path(path)} A run keeps its own under checkpoints/."
        )
    hash_file = hash_file_of(path)
    if os.path.lexists(hash_file):
        try:
            text = read_small_file(hash_file, _MOST_BYTES_OF_HASHES).decode(errors="replace")
        except (OSError, ValueError) as error:
            raise UserError(
                f"{hash_file}: cannot be read ({error}), expected the SHA-256 of {path.name} that "
                "was written with it. The checkpoint is not loaded; remove or mend this file."
            ) from error
        recorded = {line.split()[0] for line in text.splitlines() if line.strip()}
        actual = sha256_of(path)
        if actual not in recorded:
            raise UserError(
                f"{path}: SHA-256 is {actual[:12]}..., {hash_file.name} says "
                f"{', '.join(sorted(h[:12] for h in recorded))}...: the file was damaged or "
                "changed. It is not loaded; use another checkpoint of the run."
            )
    else:
        _check_inner_checksums(path)
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is not the archive that torch.save writes")
        check_unpacked_size(path)
        content = torch.load(path, map_location=map_location, weights_only=True)
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}, no table")
    except Exception as error:  # torch raises many kinds for a file that is not its own
        raise UserError(
            f"{path}: is damaged, truncated, or not a checkpoint that can be loaded safely "
            f"({type(error).__name__}: {str(error).splitlines()[0].partition('. ')[0][:200]})."
        ) from error
    if RECORD_KEY in content:
        check_record(content[RECORD_KEY], path)
    return content


def _check_inner_checksums(path: Path) -> None:
    """Compare the CRC-32 of each record in a checkpoint, which is a zip file."""
    try:
        if not zipfile.is_zipfile(path):
            return  # loading says so
        with zipfile.ZipFile(path) as records:
            damaged = records.testzip()
    except Exception as error:  # zipfile raises many kinds for a damaged file
        damaged = f"{type(error).__name__}: {str(error)[:200]}"
    if damaged is not None:
        raise UserError(
            f"{path}: is not what was written ({damaged}): the file was damaged or changed. It is "
            f"not loaded; use another checkpoint of the run, and copy {hash_file_of(path).name} "
            "with it."
        )


class VerifiedCheckpointIO(CheckpointIO):
    """Lightning's checkpoint plugin on top of the functions above."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write whole, with hash."""
        save_checkpoint_file(checkpoint, Path(path))

    def load_checkpoint(
        self,
        path: Any,
        map_location: Callable[..., Any] | None = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Verify, then read tensors and plain values; `weights_only` cannot be switched off."""
        return load_checkpoint_file(Path(path), map_location or "cpu")

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint and its hash."""
        Path(path).unlink(missing_ok=True)
        hash_file_of(Path(path)).unlink(missing_ok=True)
