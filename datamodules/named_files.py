"""Files that the manifest of a cache or a set names: inside its folder, as large as it says, whole.

A folder may come from others, so its manifest is not believed: a path that leads out of the folder
would show a file of whoever opens it, and a header of a few bytes may promise a terabyte.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from provenance import UserError, sha256_of, whole_file

LARGEST_SIDE = 2**16  # pixels
LIST = "files.sha256"
_HEX = 64
# Each mapped array holds a file descriptor, of which a process may often have 1024.
_MAX_MAPPED = 400


def inside(root: Path, named: Any) -> Path:
    """The path of a file that a manifest names.

    Args:
        root: The folder of the manifest.
        named: Below it, such as "arrays/case_00000_image.npy".

    Raises:
        UserError: It is none, or leads out of the folder, also through a link.
    """
    parts = PurePath(named).parts if isinstance(named, str) and "\0" not in named else ()
    if not parts or ".." in parts or PurePath(named).is_absolute():
        raise UserError(
            f"{root}: its manifest names the file {str(named)[:200]!r}, expected one inside the "
            "folder. It is not read; use the folder as it was written."
        )
    path = root.joinpath(*parts)
    if not path.resolve().is_relative_to(root.resolve()):
        raise UserError(
            f"{path}: is a link to something outside {root}. It is not read; put the file itself "
            "there."
        )
    return path


def read_array(path: Path) -> NDArray[Any]:
    """Map an `.npy` file: nothing is read before it is used, nor more than the file holds.

    Raises:
        ValueError: It is missing, or no array of numbers of the size that its header says.
    """
    if not path.is_file():
        raise ValueError("no such file")
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # numpy raises many kinds for a header that is not its own
        raise ValueError(str(error) or type(error).__name__) from error


def mapped(arrays: dict[str, NDArray[Any]], root: Path, relative: str) -> NDArray[Any]:
    """Return an array file of a cache, mapped at its first use and kept among `arrays`.

    Raises:
        UserError: The file cannot be read, or is not inside the cache.
    """
    array = arrays.get(relative)
    if array is None:
        try:
            array = read_array(inside(root, relative))
        except ValueError as error:
            raise UserError(
                f"{root / relative}: cannot be read ({error}). Check the cache with "
                f"python prepare.py verify {root}"
            ) from error
        if len(arrays) >= _MAX_MAPPED:
            arrays.pop(next(iter(arrays)))
        arrays[relative] = array
    return array


def check_shard_file(root: Path, relative: Any, pixel_bytes: int) -> None:
    """Compare the size of an array file with what the manifest promises.

    Args:
        root: The cache folder.
        relative: Path of the file in it.
        pixel_bytes: Of its images.

    Raises:
        UserError: It is missing, too short for so many bytes after its header, or not inside the
            folder.
    """
    path = inside(root, relative)
    if not path.is_file() or path.stat().st_size <= pixel_bytes:
        raise UserError(
            f"{path}: is {'truncated' if path.is_file() else 'missing'}. Run the prepare.py "
            "command that made the cache again; it makes only what is missing or damaged."
        )


def read_png(path: Path, size: int) -> NDArray[np.uint8]:
    """Read an 8-bit PNG whose sides are known, and decode no other one.

    Args:
        path: The file.
        size: Side in pixels.

    Returns:
        (size, size) grey or (size, size, 3) colour.

    Raises:
        ValueError: Anything else.
    """
    if not path.is_file():
        raise ValueError("no such file")
    try:
        # Of the reader of PNG alone: others start programs (PostScript).
        with Image.open(path, formats=("PNG",)) as picture:
            if picture.mode not in ("L", "RGB"):  # 16 bits would be clipped without a word
                raise ValueError(f"mode {picture.mode}, expected 8-bit grey or RGB")
            if picture.size != (size, size):
                raise ValueError(
                    f"is {picture.height}x{picture.width}, but its manifest.json says {size}x{size}"
                )
            return np.asarray(picture)
    except ValueError:
        raise
    except Exception as error:  # Pillow raises many kinds for a damaged file
        raise ValueError(str(error) or type(error).__name__) from error


def whole_number(value: Any, name: str, least: int = 0, most: int = 2**40) -> int:
    """A number of a manifest.

    Raises:
        ValueError: Something else, or outside `least` to `most`; names it.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} {str(value)[:80]}")
    return value


def write_file_hashes(root: Path, names: Iterable[str]) -> str:
    """List these files of a folder, those that are there; the SHA-256 of the list."""
    lines = [f"{sha256_of(root / name)}  {name}\n" for name in names if (root / name).is_file()]
    text = "".join(lines).encode()
    with whole_file(root / LIST, len(text)) as stream:
        stream.write(text)
    return hashlib.sha256(text).hexdigest()


class FileHashes:
    """What the files of a set were when it was finished; each is compared at its first use.

    A bit that flips in an uncompressed file, or in a PNG, is an image all the same: nothing else
    would notice. The list is read when it is first asked for.

    Args:
        root: The set.
        sha256: Of the list, from the set's manifest; None in sets of earlier versions, where
            nothing is compared.
    """

    def __init__(self, root: Path, sha256: str | None) -> None:
        self._root = root
        self._sha256 = sha256
        self._told: dict[str, str] | None = None
        self._same: set[str] = set()

    def check(self, name: str) -> None:
        """Compare a file with what it was; once in a process.

        Args:
            name: Below the set, such as "images/0001.png".

        Raises:
            UserError: It, or the list, was damaged or changed.
        """
        if self._sha256 is None or name in self._same:
            return
        if self._told is None:
            self._told = self._read(self._sha256)
        path = inside(self._root, name)
        if path.is_file() and sha256_of(path) != self._told.get(name):
            raise UserError(
                f"{path}: is not what it was when the set was finished (its SHA-256 differs from "
                f"that in {LIST}): it was damaged or changed. It is not used; copy the set again, "
                "or make it again with the command in its README.md."
            )
        self._same.add(name)

    def _read(self, sha256: str) -> dict[str, str]:
        path = inside(self._root, LIST)
        data = path.read_bytes() if path.is_file() else None
        if data is None or hashlib.sha256(data).hexdigest() != sha256:
            raise UserError(
                f"{path}: is {'missing' if data is None else 'damaged'}, and says what the files "
                "of the set were. Nothing of it is used; copy the set again, or make it again with "
                "the command in its README.md."
            )
        lines = data.decode().splitlines()
        return {line[_HEX + 2 :]: line[:_HEX] for line in lines}
