"""Hashes of images' pixels, short enough to be carried by a checkpoint or a manifest.

Every room may import it.
"""

import base64
import binascii

import numpy as np
from numpy.typing import NDArray

from provenance import UserError

PixelBits = NDArray[np.uint64]
"""First 64 bits of SHA-256 hashes of pixels; 0 stands for none.

By chance one of n images agrees with one of m others with probability n m / 2^64: 100,000 with
100,000 others once in 2 billion comparisons of such sets.
"""


def packed(pixels: PixelBits) -> str:
    """Hashes as text: sorted, 8 bytes each, base64."""
    return base64.b64encode(np.unique(pixels[pixels > 0]).astype("<u8").tobytes()).decode()


def unpacked(text: str) -> PixelBits:
    """Back from `packed`.

    Raises:
        UserError: It is no such text.
    """
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), "<u8").astype(np.uint64)
    except (binascii.Error, ValueError, TypeError) as error:
        raise UserError(
            f"The list of known pixels is damaged ({error}). Use the file as it was written."
        ) from error
