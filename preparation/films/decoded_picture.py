"""Pictures decoded by Pillow: to grey or colour in [0, 1], or to the reason why not."""

import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from preparation.copies import pixel_hash
from preparation.films.film import MAX_PIXELS, MIN_SIDE, FilmFile, RejectedFilm
from preparation.films.grey_range import GreyRange, grey_range
from preparation.left_out import MAY_NOT_BE_READ
from preparation.raised import raised
from synthetic_marks import mark_in_picture

# Pillow opens by content: without this list a `.png` could start any of its other decoders.
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
_TIFF_PHOTOMETRIC = 262
# What the planes of a tinted film may differ by, of 255.
_TINT = 96
_AGAIN = "Left out; copy it again, or save it as one of these."


def decoded(
    path: Path, channels: Literal[1, 3]
) -> tuple[NDArray[np.float32], dict[str, Any], tuple[str, ...], str | None, str | None]:
    """Decode a picture.

    Returns:
        (H, W) or (H, W, 3) pixels in [0, 1], what the manifest keeps about them, what looks wrong,
        and their `pixel_hash`. The last value is what says that the film is synthetic, where
        something does.

    Raises:
        RejectedFilm: As `ImageFileReader`.
        Exception: Almost anything out of Pillow, of a damaged file; see `rejection_of`.
    """
    # Pillow warns of sizes that MAX_PIXELS judges here, and of harmless metadata. A stream is
    # opened: of a path, Pillow 13 maps a turned TIFF in the wrong shape and scrambles it.
    with warnings.catch_warnings(action="ignore"), open(path, "rb") as stream:
        opened = Image.open(stream, formats=_FORMATS)
        _check_header(opened)
        # Pillow inverts a TIFF whose black is its largest value at 8 bits, but not above.
        white_is_zero = getattr(opened, "tag_v2", {}).get(_TIFF_PHOTOMETRIC) == 0
        image = ImageOps.exif_transpose(opened)
        mark = mark_in_picture(path, opened.info)  # decoded: texts may follow the pixels
        geometry: dict[str, Any] = {
            "source_shape": [image.height, image.width],
            "source_mode": opened.mode,
        }
        if _is_deep(image):
            pixels, found, suspicions = _stretched(image, white_is_zero)
            geometry["source_range"] = [found.low, found.high]
            if found.clipped:
                geometry["window"] = found.name
            digest = pixel_hash(np.asarray(image))
            return _planes(pixels, channels), geometry, suspicions, digest, mark
        if channels == 1 and image.mode == "P":
            _check_palette(image)
        levels, of_alpha = _flattened(image)
    pixels, of_colour, digest = with_channels(levels, channels)
    return pixels, geometry, of_alpha + of_colour, digest, mark


def rejection_of(error: Exception, file: FilmFile) -> RejectedFilm:
    """What an exception out of Pillow means. Its own text may hold the path, so it is not kept."""
    if isinstance(error, Image.DecompressionBombError):
        return _too_large()
    if isinstance(error, PermissionError):
        return RejectedFilm("unreadable", MAY_NOT_BE_READ)
    if isinstance(error, OSError) and error.errno is not None:
        return RejectedFilm("unreadable", f"cannot be opened ({raised(error, file.path)}).")
    if file.num_bytes == 0 or isinstance(error, EOFError) or "truncated" in str(error).lower():
        return RejectedFilm("truncated", "is truncated. Copy it again.")
    if isinstance(error, UnidentifiedImageError):
        return RejectedFilm("not_a_picture", f"holds no {', '.join(_FORMATS)} picture. {_AGAIN}")
    return RejectedFilm("unreadable", f"cannot be decoded ({raised(error, file.path)}).")


def with_channels(
    levels: NDArray[np.uint8], channels: Literal[1, 3]
) -> tuple[NDArray[np.float32], tuple[str, ...], str | None]:
    """Scale 8-bit levels, (H, W) or (H, W, 3), to [0, 1] with the channels asked for.

    Returns:
        (H, W) or (H, W, 3) float32, `was_colour` where colour was lost, and the `pixel_hash` of
        the levels; three equal planes are hashed as grey.

    Raises:
        RejectedFilm: constant.
    """
    suspicions: tuple[str, ...] = ()
    if levels.ndim == 3 and (levels == levels[..., :1]).all():
        levels = levels[..., 0]
    digest = pixel_hash(levels)
    if channels == 1 and levels.ndim == 3:
        levels, suspicions = np.asarray(Image.fromarray(levels).convert("L")), ("was_colour",)
    planes = levels[..., None] if levels.ndim == 2 else levels
    if (planes.min(axis=(0, 1)) == planes.max(axis=(0, 1))).all():
        raise _constant()
    pixels = _planes(levels.astype(np.float32) / np.float32(255), channels)
    return pixels, suspicions, digest


def _planes(pixels: NDArray[np.float32], channels: Literal[1, 3]) -> NDArray[np.float32]:
    if channels == 3 and pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2)
    return pixels


def _check_header(image: ImageFile.ImageFile) -> None:
    """Refuse, before anything is decoded, what should not be."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _too_large()
    if min(width, height) < MIN_SIDE:
        raise RejectedFilm(
            "too_small", f"is {height}x{width}, expected at least {MIN_SIDE} pixels a side."
        )
    ends = [extents[2:] for _, extents, *_ in image.tile if extents]
    held = (max(right for right, _ in ends), max(end for _, end in ends)) if ends else image.size
    # Sorted: the size of a TIFF that is to be turned has been turned, its tiles have not.
    if any(found < told for found, told in zip(sorted(held), sorted(image.size), strict=True)):
        # Pillow would leave the rest of the film black.
        raise RejectedFilm("truncated", "holds fewer rows or columns than it promises.")
    if getattr(image, "n_frames", 1) > 1:
        raise RejectedFilm("multi_frame", "holds several frames or pages, expected one film.")
    if image.mode == "1":
        raise RejectedFilm(
            "bit_depth", "has 1 bit a pixel, expected 8 to 16: it is no film. Is it a mask?"
        )
    if not _is_deep(image) and ";16" in str(image.tile):
        # Pillow keeps the upper byte alone: of a 12-bit film, 16 grey levels near black.
        raise RejectedFilm(
            "bit_depth",
            "has 16 bits per channel and several channels, of which only 8 bits could be read. "
            "Save it as 16-bit grey, or with 8 bits.",
        )


def _check_palette(image: Image.Image) -> None:
    """Refuse a film in false colours, whose luminance is in no order; a tint or a mark is none."""
    levels = np.asarray(image.convert("RGB"))
    spread = levels.max(axis=-1).astype(int) - levels.min(axis=-1)
    if np.mean(spread > _TINT) > 0.5:
        raise RejectedFilm(
            "colour",
            "is shown in the colours of a palette, which are no grey values. Export it as grey.",
        )


def _is_deep(image: Image.Image) -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _stretched(
    image: Image.Image, white_is_zero: bool
) -> tuple[NDArray[np.float32], GreyRange, tuple[str, ...]]:
    """Grey of more than 8 bits, from the darkest value of its range (0) to the brightest (1).

    By way of numpy: Pillow's own conversions clip such values to 255.
    """
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise RejectedFilm("unreadable", "holds pixels that are not finite numbers.")
    distinct, counts = np.unique(np.asarray(image), return_counts=True)
    if len(distinct) == 1:
        raise _constant()
    found = grey_range(distinct, counts)
    suspicions = found.suspicions
    above_black = found.high - values if white_is_zero else values - found.low
    pixels = (above_black / (found.high - found.low)).astype(np.float32).clip(0, 1)
    transparent = image.info.get("transparency")  # the one value that a PNG may declare so
    if transparent is None or not (values == transparent).any():
        return pixels, found, suspicions
    pixels[values == transparent] = 0
    return pixels, found, (*suspicions, "had_transparency")


def _flattened(image: Image.Image) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """(H, W) or (H, W, 3) levels of an image of 8 bits or fewer, composited on black."""
    suspicions: tuple[str, ...] = ()
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if np.asarray(image)[..., 3].min() < 255:
            suspicions = ("had_transparency",)
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    grey = image.mode in ("1", "L")
    return np.asarray(image.convert("L" if grey else "RGB")), suspicions


def _constant() -> RejectedFilm:
    return RejectedFilm("constant", "has the same value everywhere.")


def _too_large() -> RejectedFilm:
    return RejectedFilm("too_large", f"promises more than {MAX_PIXELS // 10**6} million pixels.")
