"""Grey values, or labels, of one picture file: what it really holds, whatever it is called."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from preparation.left_out import MAY_NOT_BE_READ
from preparation.raised import raised
from preparation.volumes.volume import SkipVolume, cannot_be_read
from synthetic_marks import mark_in_picture

# What gives back every pixel as it was written. TIFF and WebP are looked into.
_LOSSLESS = {"PNG", "BMP", "DIB", "GIF", "PCX", "PPM", "SGI", "SUN", "TGA", "XBM", "XPM"}
_LOSSLESS_TIFF = {None, "raw", "packbits", "lzma", "zstd", "group3", "group4", "tiff_ccitt",
                  "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "tiff_raw_16"}  # fmt: skip
# Readers of other kinds are not asked: for PostScript, whatever the file is called, Pillow starts a
# program.
FORMATS = (*sorted(_LOSSLESS), "TIFF", "WEBP", "JPEG", "JPEG2000")
_ORIENTATION = 0x0112
_PNG_COLOURS = {0: "grey", 2: "RGB", 3: "indexed", 4: "grey with alpha", 6: "RGBA"}


@dataclass(frozen=True)
class Picture:
    """One picture as it should be looked at.

    Attributes:
        pixels: (H, W) uint8 grey values, or labels.
        orientation: How its EXIF says to turn it, 1 to 8; it has been turned.
        lossy: The format where pixels are not those that were once written, else None.
        synthetic: What says that it is synthetic, else None.
    """

    pixels: NDArray[np.uint8]
    orientation: int
    lossy: str | None
    synthetic: str | None


def read_grey(path: Path, name: str) -> Picture:
    """Read an image: grey of 8 bits, also as indices into a palette of greys.

    Raises:
        SkipVolume: It cannot be read, is no such image, or is partly transparent.
    """
    return _read(path, name, _grey)


def read_labels(path: Path, name: str, known: Sequence[tuple[int, object]]) -> Picture:
    """Read a label map: grey of 8 bits, or indices of which it is clear what they mean.

    Indices are their palette's greys where it is one of greys, and themselves where the palette
    says nothing or is that of PASCAL VOC, which colours label maps.

    Args:
        path: Its file.
        name: What it is called.
        known: Values that somebody has given a meaning, in front of each pair.

    Raises:
        SkipVolume: It cannot be read, went through lossy compression, or does not say what its
            pixels mean.
    """

    def labels(picture: Image.Image, path: Path, name: str) -> NDArray[np.uint8]:
        if lossy := _lossy(picture, path):
            raise SkipVolume(
                name,
                f"is a label map that went through lossy compression ({lossy}), so its labels may "
                "not be those that were drawn. Left out; export it as PNG from what it was made "
                "of.",
            )
        return _labels(picture, path, name, known)

    return _read(path, name, labels)


def _read(path: Path, name: str, pixels_of: Any) -> Picture:
    try:
        with Image.open(path, formats=FORMATS) as picture:
            if (count := int(getattr(picture, "n_frames", 1))) > 1:
                raise SkipVolume(name, f"holds {count} pictures, expected one. Left out.")
            orientation = int(picture.getexif().get(_ORIENTATION, 1))
            shown = ImageOps.exif_transpose(picture) if orientation in range(2, 9) else picture
            pixels = pixels_of(shown, path, name)
            mark = mark_in_picture(path, picture.info)  # decoded: texts may follow the pixels
            return Picture(pixels, orientation, _lossy(picture, path), mark)
    except (SkipVolume, MemoryError):
        raise
    except PermissionError as error:
        raise SkipVolume(name, MAY_NOT_BE_READ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise SkipVolume(
            name, f"is not a readable PNG ({raised(error, path)}). Left out; copy it again."
        ) from error
    except Exception as error:  # decoders raise what they like
        raise cannot_be_read(name, error, path) from error


def _grey(picture: Image.Image, path: Path, name: str) -> NDArray[np.uint8]:
    if picture.mode == "1":
        raise SkipVolume(
            name, "is a yes-or-no picture (1 bit), expected 8-bit grey. Left out; is it a mask?"
        )
    if picture.mode == "P":
        _palette(picture, name)
        rgba = np.asarray(picture.convert("RGBA"))
        if rgba[..., 3].min() < 255:
            raise SkipVolume(name, "is partly transparent, expected 8-bit grey. Left out.")
        if (rgba[..., :1] != rgba[..., :3]).any():
            raise SkipVolume(
                name,
                "is a picture with a palette of colours, which are no grey values. Left out; "
                "export it as 8-bit grey.",
            )
        return np.ascontiguousarray(rgba[..., 0])
    return _eight_bits(picture, path, name)


def _labels(
    picture: Image.Image, path: Path, name: str, known: Sequence[tuple[int, object]]
) -> NDArray[np.uint8]:
    if picture.mode == "1" and 1 not in dict(known):
        raise SkipVolume(
            name,
            "is a yes-or-no picture (1 bit), which does not say whether it marks kidney or tumour. "
            "Left out; say so with --label-map 1=kidney or 1=tumour, or what else with --labels "
            "background,liver, into another --out.",
        )
    if picture.mode != "P":
        return _eight_bits(picture, path, name)
    indices, colours = np.array(picture, dtype=np.uint8), _palette(picture, name)
    used = np.unique(indices)
    of_used = colours[used]
    says_nothing = len(used) > 1 and (of_used == of_used[0]).all()
    if says_nothing or np.array_equal(of_used, _voc_colours()[used]):
        return indices
    if (of_used[:, :1] == of_used).all():
        greys: NDArray[np.uint8] = colours[:, 0][indices]
        return greys
    raise SkipVolume(
        name,
        "is a picture with a palette of colours, which does not say what its labels are: the "
        "order of the colours may be any. Left out; export it as 8-bit grey with the labels as "
        "values.",
    )


def _palette(picture: Image.Image, name: str) -> NDArray[np.uint8]:
    """The colours of a palette, (at least as many as are used, 3)."""
    palette = np.array(picture.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    if int(np.asarray(picture).max()) >= len(palette):
        raise SkipVolume(
            name,
            f"has indices beyond its palette of {len(palette)} colours: the program that wrote it "
            "has lost some of either. Left out; export it as 8-bit grey.",
        )
    return palette


def _voc_colours() -> NDArray[np.uint8]:
    """The colour of each label in PASCAL VOC: its bits, dealt to red, green and blue in turn."""
    label = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((label >> channel & 1) << (7 - bit)).astype(np.uint8)
        label = label >> 3
    return colours


def _eight_bits(picture: Image.Image, path: Path, name: str) -> NDArray[np.uint8]:
    if picture.mode not in ("L", "1"):
        raise SkipVolume(
            name,
            f"has pixels of mode {picture.mode}{_png_kind(path)}, expected 8-bit grey. Left out; "
            "convert it to one 8-bit channel.",
        )
    return np.array(picture, dtype=np.uint8)


def _png_kind(path: Path) -> str:
    """What a PNG's header says of its pixels, which Pillow reduces to 8 bits."""
    with open(path, "rb") as stream:
        head = stream.read(26)
    if not head.startswith(b"\x89PNG") or len(head) < 26:
        return ""
    return f" ({head[24]}-bit {_PNG_COLOURS.get(head[25], 'pixels')} in the file)"


def _lossy(picture: Image.Image, path: Path) -> str | None:
    """The real format of a picture, if it does not keep every pixel as it was, else None."""
    kind = picture.format
    if kind is None:  # it was turned, and its format with it
        with Image.open(path, formats=FORMATS) as again:
            return _lossy(again, path)
    if kind in _LOSSLESS:
        return None
    if kind == "TIFF":
        packed = picture.info.get("compression")
        return None if packed in _LOSSLESS_TIFF else f"TIFF with {packed}"
    if kind == "WEBP":
        with open(path, "rb") as stream:
            return None if b"VP8L" in stream.read(64) else kind
    return kind
