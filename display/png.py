"""Pictures as PNG files."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from display.colours import ImageArray
from provenance import UserError, whole_file
from synthetic_marks import SOFTWARE, png_info


def save_png(path: Path | str, array: ImageArray, synthetic: bool = False) -> Path:
    """Write (H, W) or (H, W, 3) uint8 as PNG: whole or not at all, and over nobody else's file.

    Args:
        path: Its name ends in .png.
        array: The picture.
        synthetic: All that it shows was made by a network, and the file says so.

    Returns:
        The path.

    Raises:
        UserError: the file exists and was not written by this function.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path}: an image is saved as .png.")
    if path.exists() and not _is_ours(path):
        raise UserError(
            f"{path}: exists and was not written by {SOFTWARE}. It was left as it is; move "
            "it away or choose another folder."
        )
    mark = png_info() if synthetic else PngImagePlugin.PngInfo()
    if not synthetic:
        mark.add_text("Software", SOFTWARE)
    with whole_file(path) as stream:
        Image.fromarray(np.ascontiguousarray(array)).save(stream, format="PNG", pnginfo=mark)
    return path


def png_bytes(array: ImageArray) -> bytes:
    """(H, W) or (H, W, 3) uint8 as the content of a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="PNG")
    return stream.getvalue()


def _is_ours(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            return image.format == "PNG" and image.info.get("Software") == SOFTWARE
    except OSError:
        return False
