"""The file of a cache that tells by hashes which images it holds, wherever these come from.

`pixel_hashes.npy` has a row per image, in the order of the cache: the first 64 bits of the SHA-256
of its source's pixels, and of CT slices also those of the volume's images and of its label maps.
0 stands for none: an image of one grey value, or a cache without images.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.named_files import inside, read_array
from pixel_bits import PixelBits
from provenance import UserError, sha256_of, whole_file

_FILE = "pixel_hashes.npy"


def first_bits(digest: str | None) -> int:
    """The first 64 bits of a hash in hex digits; 0 for none."""
    return int((digest or "0")[:16], 16)


def write_pixel_hashes(root: Path, hashes: NDArray[np.uint64], num_unknown: int) -> dict[str, Any]:
    """Write the file, and return what the manifest says of it.

    Args:
        root: The cache folder.
        hashes: (N, K), in the order of the cache.
        num_unknown: Images that an earlier version prepared, without hashes.
    """
    with whole_file(root / _FILE) as stream:
        np.save(stream, hashes.astype("<u8"), allow_pickle=False)
    return {"file": _FILE, "sha256": sha256_of(root / _FILE), "unknown": num_unknown}


def read_pixel_hashes(root: Path, entry: dict[str, Any], count: int) -> PixelBits:
    """The file's content, (N, K).

    Args:
        root: The cache folder.
        entry: What its manifest says of the file.
        count: Images of the cache.

    Raises:
        UserError: It is missing or not what was written.
    """
    path = inside(root, entry["file"])
    there = path.is_file()
    if not there or sha256_of(path) != entry["sha256"]:
        raise UserError(
            f"{path}: is {'damaged' if there else 'missing'}, so whether the cache shares images "
            "with others cannot be told. Run the prepare.py command that made the cache again; "
            "it makes only what is missing or damaged."
        )
    try:
        hashes = read_array(path)
    except ValueError as error:
        raise UserError(f"{path}: cannot be read ({error}).") from error
    if hashes.dtype != np.dtype("<u8") or hashes.ndim != 2 or len(hashes) != count:
        raise UserError(
            f"{path}: is of another cache ({hashes.dtype} {hashes.shape}, expected uint64 of "
            f"{count} images)."
        )
    return np.array(hashes, np.uint64)
