"""What may not be unpacked: names that lead elsewhere, and more than films could be."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from preparation.films.archives.members import Member
from provenance import UserError

MARKER = ".unpacked"
"""Tells what a folder was unpacked from; no member may be called so."""

# Beyond 1 GiB, more than 200 bytes out of one are no films: JPEG itself gains about 20.
_MOST_RATIO, _RATIO_FREE_BYTES = 200, 2**30
_MOST_MEMBERS, _MOST_NAME_CHARACTERS = 2_000_000, 1024
_SAME_NAME = "has the name of another member: pack the films again"


def judged(members: Iterator[Member], archive: Path, max_bytes: int, room: int) -> Iterator[Member]:
    """Give members on, unless one is refused.

    Args:
        members: As the archive lists them.
        archive: Its file.
        max_bytes: Most bytes that it may unpack to.
        room: Bytes free on the disk.

    Raises:
        UserError: One is refused. It is told by its number, since its name may identify.
    """
    folders: dict[PurePosixPath, bool] = {}  # whether what lies at a path is one
    total, packed = 0, archive.stat().st_size
    for number, member in enumerate(members, start=1):
        total += 0 if member.is_folder else member.num_bytes
        # Of a member that is there twice, nobody knows which is right: both are lost.
        is_twice = not member.is_folder and folders.get(PurePosixPath(member.name)) is False
        refusal = member.refusal or _refusal_of_name(member, folders)
        if refusal is None and is_twice:
            if member.may_be_lost:
                member = replace(member, lost=_SAME_NAME)
            else:
                refusal = _SAME_NAME
        if number > _MOST_MEMBERS:
            refusal = f"follows {_MOST_MEMBERS:,} others, as no films do: unpack it yourself"
        elif member.num_bytes < 0:
            refusal = "has a negative size: do not trust this archive"
        else:
            refusal = _refusal_of_size(total, packed, max_bytes, room) or refusal
        if refusal is not None:
            raise UserError(f"{archive.name}: member {number} {refusal}. Nothing was unpacked.")
        yield member


def _refusal_of_size(total: int, packed: int, max_bytes: int, room: int) -> str | None:
    """Why so many bytes are too many, out of an archive of so many."""
    if total > max_bytes:
        return f"brings it beyond {max_bytes:,} bytes: unpack it yourself"
    if total > room:
        return f"brings it beyond the {room:,} bytes free on the disk: make room"
    if total > max(_RATIO_FREE_BYTES, _MOST_RATIO * packed):
        return (
            f"brings it to {total:,} bytes out of {packed:,}, as no films do: do not trust "
            "this archive"
        )
    return None


def _refusal_of_name(member: Member, folders: dict[PurePosixPath, bool]) -> str | None:
    """Why a member may not be called so; notes in `folders` what lies at its path and above."""
    distrust = "do not trust this archive, or pack the films again"
    name, path = member.name, PurePosixPath(member.name)
    if len(name) > _MOST_NAME_CHARACTERS or any(ord(character) < 32 for character in name):
        return f"has a name that is too long or has control characters: {distrust}"
    if path.is_absolute() or "\\" in name or re.match("[A-Za-z]:", name):
        return f"has an absolute path, or one of another system: {distrust}"
    if ".." in path.parts:
        return f"would lie outside the folder: {distrust}"
    if not member.is_folder and path in (PurePosixPath(), PurePosixPath(MARKER)):
        return f"has no name, or the reserved name {MARKER}: pack the films again"
    above = [folders.setdefault(parent, True) for parent in path.parents]
    is_other_kind = folders.get(path, member.is_folder) != member.is_folder
    folders[path] = member.is_folder
    if is_other_kind or not all(above):
        return _SAME_NAME
    return None
