"""Files that the manifest of a cache or a set names: inside its folder, and as large as they say.

A folder may come from others, so its manifest is not believed: a path that leads out of the folder
would show a file of whoever opens it, and a header of a few bytes may promise a terabyte.
"""

from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from provenance import UserError

LARGEST_SIDE = 2**16  # pixels


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
