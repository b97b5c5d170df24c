"""One film, whatever its size, to the square that the cache stores: fit, resize, equalise."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from preparation.films.film import Film
from preparation.films.film_layout import FilmLayout

# Smaller films are equalised as if every pixel were several: see `_equalised`.
_MIN_EQUALISED_SIDE = 512
# Pixels are squares as far as spacings are rounded.
_MOST_UNEVEN = 0.01
# Grey value of a colour: ITU-R BT.601, as in JPEG and in Pillow.
_LUMINANCE = (0.299, 0.587, 0.114)


def as_stored(
    film: Film, layout: FilmLayout
) -> tuple[NDArray[Any], tuple[float, float] | None, list[str]]:
    """A film of any source as a cache stores it.

    Returns:
        What `stored_film` gives; (row, column) size of its pixels in mm, None where the source does
        not tell; and the film's suspicions with those of the shape of its pixels.
    """
    suspicions, pixels, spacing_mm = list(film.suspicions), film.pixels, film.spacing_mm
    if film.pixel_shape is not None and abs(film.pixel_shape - 1) > _MOST_UNEVEN:
        suspicions.append("not_square_pixels")
        if layout.resample:
            suspicions[-1] = "resampled_to_square"
            pixels, more = with_square_pixels(pixels, film.pixel_shape)
            if spacing_mm is not None:
                spacing_mm = (spacing_mm[0] / more[0], spacing_mm[1] / more[1])
    spacing = stored_spacing(spacing_mm, pixels.shape[:2], layout)
    return stored_film(pixels, layout), spacing, suspicions


def stored_film(pixels: NDArray[np.float32], layout: FilmLayout) -> NDArray[Any]:
    """Make the stored film: the same bytes on every run.

    Resizing averages the area that a pixel covers (Pillow's `BILINEAR`, a triangle as wide as two
    target pixels). Of the kernels that cannot overshoot it lets the least alias through: a
    grating at 1.3 times the Nyquist frequency of 539 pixels keeps 19 % of its amplitude (41 %
    with `HAMMING`, 46 % with `BOX`, all of it with the nearest pixel), one at half of it 81 %.
    `LANCZOS` is sharper, but draws halos 7 % of the range high around markers and devices.

    CLAHE (Zuiderveld 1994) is scikit-image's, in tiles of 1/8 of the side. It also stretches each
    film to the whole range. The clip limit is the share of a tile's pixels that may fall into one
    of 256 grey bins, so 256 times it is how much contrast may grow: 2.56 times at 0.01. On four
    real films, 0.01 brings out ribs and vessels behind the heart and doubles the noise; at 0.02
    and above noise in the abdomen becomes a texture.

    Equalising after the resize uses the same share of the film for a tile. On a real 1955x1841
    film the two orders differ by 3.1 of 255 grey levels on average (correlation 0.999).

    Args:
        pixels: (H, W) or (H, W, 3) in [0, 1], of any size from 1x1.
        layout: What the cache's films have in common.

    Returns:
        (S, S), or (3, S, S) where the layout has 3 channels, with S = `layout.stored_size`;
        uint8 or uint16, 0 black and the largest value white. Padding is exactly 0.

    Colour: three equal planes count as grey. With 3 channels the value of HSV is equalised, so
    hue stays; with 1 channel colour becomes luminance (BT.601).

    Source: Ko et al. 2020 (Ko, Cho and Chung, "GAN-based research for high-resolution medical image
    generation"), which equalises the whole film, takes a random crop away and then resizes.
    Deviations: equalised after the resize, and padded, unless the layout says otherwise; the crop
    is taken last, in training.
    """
    image = _without_equal_planes(pixels, layout.channels)
    if layout.clahe == "before_resize":
        image = _equalised(image, layout)
    region, content_shape = _fit(image.shape[:2], layout)
    content = _resized(image[region], content_shape)
    if layout.clahe == "after_resize":
        content = _equalised(content, layout)

    side, white = layout.stored_size, 2**layout.bit_depth - 1
    stored = np.zeros((side, side, *content.shape[2:]), np.dtype(f"uint{layout.bit_depth}"))
    # Padding comes last: black bars would join the tiles at the film's edge and turn grey.
    stored[_centred((side, side), content_shape)] = np.rint(np.clip(content, 0, 1) * white)
    if layout.channels == 1:
        return stored
    planes = np.moveaxis(stored, -1, 0) if stored.ndim == 3 else np.stack([stored] * 3)
    return np.ascontiguousarray(planes)


def with_square_pixels(
    pixels: NDArray[np.float32], pixel_shape: float
) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """Resample a film whose pixels are no squares to square ones of its finer spacing.

    Args:
        pixels: (H, W) or (H, W, 3).
        pixel_shape: Height of a pixel over its width.

    Returns:
        The film, larger in one direction, and by what (rows, columns) of pixels became more.
    """
    height, width = pixels.shape[:2]
    shape = round(height * max(1, pixel_shape)), round(width * max(1, 1 / pixel_shape))
    return _resized(pixels, shape), (shape[0] / height, shape[1] / width)


def stored_spacing(
    spacing_mm: tuple[float, float] | None, source_shape: tuple[int, int], layout: FilmLayout
) -> tuple[float, float] | None:
    """Return the size of a stored pixel.

    Args:
        spacing_mm: (row, column) of the source in mm; None where it is not known.
        source_shape: (height, width) of the source.
        layout: What the cache's films have in common.

    Returns:
        (row, column) in mm, None where the source's is not known. Exact: with `stretch` both axes
        scale by themselves; with `pad` they differ by the rounding of the film to whole pixels,
        0.1 % on a usual film.
    """
    if spacing_mm is None:
        return None
    (rows, columns), (height, width) = _fit(source_shape, layout)
    row_mm, column_mm = spacing_mm
    return (
        round(row_mm * (rows.stop - rows.start) / height, 6),
        round(column_mm * (columns.stop - columns.start) / width, 6),
    )


def _without_equal_planes(pixels: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """(H, W) where the image is grey or has to become so, else (H, W, 3)."""
    if pixels.ndim == 2:
        return pixels
    red, green, blue = np.moveaxis(pixels, -1, 0)
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return red
    if channels == 3:
        return pixels
    grey: NDArray[np.float32] = sum(
        np.float32(share) * plane
        for share, plane in zip(_LUMINANCE, (red, green, blue), strict=True)
    )
    return grey


def _centred(outer: tuple[int, ...], inner: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a centred box."""
    top, left = (outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2
    return slice(top, top + inner[0]), slice(left, left + inner[1])


def _fit(shape: tuple[int, ...], layout: FilmLayout) -> tuple[tuple[slice, slice], tuple[int, int]]:
    """Return which rows and columns of a film are kept, and (height, width) of their result."""
    side = layout.stored_size
    if layout.on_nonsquare == "crop":
        return _centred(shape, (min(shape), min(shape))), (side, side)
    whole = (slice(0, shape[0]), slice(0, shape[1]))
    if layout.on_nonsquare == "stretch":
        return whole, (side, side)
    height, width = (max(1, round(side * length / max(shape))) for length in shape)
    return whole, (height, width)


def _resized(image: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Resize (H, W) or (H, W, 3) to a (height, width), with antialiasing."""
    if image.ndim == 3:
        return np.stack([_resized(plane, shape) for plane in np.moveaxis(image, -1, 0)], axis=-1)
    plane = Image.fromarray(np.ascontiguousarray(image, dtype=np.float32))
    return np.asarray(plane.resize(shape[::-1], Image.Resampling.BILINEAR))


def _equalised(image: NDArray[np.float32], layout: FilmLayout) -> NDArray[np.float32]:
    """CLAHE of (H, W), or of the value of (H, W, 3).

    scikit-image puts clipped pixels back one per bin, and may put back more than there were, up
    to one per bin. In tiles of few pixels that saturates: of a film 112 pixels wide it made 59 %
    white. So pixels of small films are repeated, which keeps histograms and tiles, and averaged
    afterwards. 16-bit films get four times the bins, so that 252 steps do not show.
    """
    # Here, since it takes a third of a second and only the preparation needs it.
    from skimage.exposure import equalize_adapthist

    value = image.max(axis=-1) if image.ndim == 3 else image
    if value.min() == value.max():  # nothing to equalise; scikit-image would make it white
        return image
    height, width = value.shape
    times = -(-_MIN_EQUALISED_SIDE // max(height, width))
    larger = np.repeat(np.repeat(image, times, axis=0), times, axis=1)
    bins = 256 if layout.bit_depth == 8 else 1024
    # The limit counts pixels of one bin, so narrower bins get less.
    clip_limit = layout.clahe_clip_limit * 256 / bins
    equal = equalize_adapthist(larger, clip_limit=clip_limit, nbins=bins)
    blocks = equal.reshape(height, times, width, times, *image.shape[2:])
    result: NDArray[np.float32] = blocks.mean(axis=(1, 3), dtype=np.float32)
    return result
