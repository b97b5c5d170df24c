"""Label maps as colours, overlays on slices, and labelled sheets of images.

Numpy and Pillow only, so that training callbacks, `evaluate.py` and the study's report can all draw
without matplotlib.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from provenance import UserError, whole_file
from synthetic_marks import SOFTWARE, png_info

ImageArray = NDArray[np.uint8]

# Okabe and Ito 2008: told apart with every common colour blindness. The first two stand out on
# grey tissue.
CLASS_COLOURS: tuple[tuple[int, int, int], ...] = (
    (0, 0, 0),  # background, never drawn on an overlay
    (86, 180, 233),  # label 1, such as kidney: sky blue
    (240, 140, 0),  # label 2, such as tumour: orange
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
)

_PAPER = (255, 255, 255)
_INK = (24, 24, 24)
_DASHES = str.maketrans(
    {"\u2013": "-", "\u2014": "-", "\u2212": "-"}
)  # Pillow's built-in font lacks them
_SMALLEST_CELL = 128  # pixels; a 64 x 64 slice beside a legible title would be a stamp


def colour_of(label: int) -> tuple[int, int, int]:
    """RGB of one class, 0..255; labels past the palette have its colours paler, then darker.

    From the fourth round on they repeat: nobody tells so many apart.
    """
    if label <= 0:
        return CLASS_COLOURS[0]
    again, place = divmod(label - 1, len(CLASS_COLOURS) - 1)
    towards, share = ((0, 0.0), (255, 0.5), (0, 0.45))[again % 3]
    red, green, blue = (
        round(level + share * (towards - level)) for level in CLASS_COLOURS[1 + place]
    )
    return red, green, blue


def colour_mask(mask: NDArray[np.integer]) -> ImageArray:
    """Label map as colours.

    Args:
        mask: (H, W) integer labels, 0 = background (black).

    Returns:
        (H, W, 3) uint8.
    """
    labels = _label_map(mask)
    palette = np.array([colour_of(label) for label in range(int(labels.max(initial=0)) + 1)])
    return palette.astype(np.uint8)[labels]


def overlay(
    image: ImageArray, mask: NDArray[np.integer], opacity: float = 0.45, contour: int = 0
) -> ImageArray:
    """Slice with its classes in colour; the background keeps its grey.

    Args:
        image: (H, W) uint8 grey.
        mask: (H, W) integer labels, 0 = background.
        opacity: 0..1 of the colour inside a class. With a contour, 0 leaves the tissue itself to be
            seen.
        contour: thickness in pixels of an opaque line just inside each class; 0 draws none.

    Returns:
        (H, W, 3) uint8.
    """
    labels = _label_map(mask)
    if image.shape != labels.shape or image.dtype != np.uint8:
        raise ValueError(
            f"overlay: image is {image.dtype} {image.shape}, expected uint8 of the mask's shape "
            f"{labels.shape}."
        )
    grey = np.repeat(image[:, :, None], 3, axis=2).astype(np.float32)
    colours = colour_mask(labels).astype(np.float32)
    weight = np.where(labels > 0, opacity, 0.0).astype(np.float32)
    if contour > 0:
        weight[_inner_edge(labels, contour)] = 1.0
    mixed = grey + weight[:, :, None] * (colours - grey)
    return np.rint(mixed).clip(0, 255).astype(np.uint8)


def as_picture(image: ImageArray) -> ImageArray:
    """An image as `sheet` takes it.

    Args:
        image: (H, W) uint8 grey, or (C, H, W) of several channels.

    Returns:
        (H, W), or (H, W, 3) of three channels; of other numbers the first channel alone.
    """
    if image.ndim == 2:
        return image
    return np.moveaxis(image, 0, -1) if len(image) == 3 else image[0]


def sheet(
    rows: Sequence[Sequence[NDArray[np.uint8]]],
    row_titles: Sequence[str] | None = None,
    column_titles: Sequence[str] | None = None,
    cell_size: int | None = None,
    caption: str | None = None,
    legend: Sequence[str] | None = None,
) -> ImageArray:
    """Images in a grid on white, with titles at the left and above, and a caption below.

    Args:
        rows: rows of (H, W) or (H, W, 3) uint8 images; sizes and row lengths may differ. Shapes
            are kept, never stretched.
        row_titles: one per row, right-aligned beside it; lines are split at newlines.
        column_titles: one per column; too long ones are wrapped.
        cell_size: side in pixels of the square that each image is fitted into. Default: the
            largest image, enlarged by a whole number to at least 128. Enlarging repeats pixels,
            so that an image shows what the network saw.
        caption: text below, wrapped to the width.
        legend: class names by label; each but the background is shown with its colour.

    Returns:
        (H, W, 3) uint8.
    """
    if not rows or not any(len(row) for row in rows):
        raise ValueError("sheet: no pictures were given.")
    for name, titles, count in (
        ("row_titles", row_titles, len(rows)),
        ("column_titles", column_titles, max(len(row) for row in rows)),
    ):
        if titles is not None and len(titles) != count:
            raise ValueError(f"sheet: {len(titles)} {name} were given, expected {count}.")
    row_titles = [title.translate(_DASHES) for title in row_titles] if row_titles else None
    caption = caption.translate(_DASHES) if caption else ""
    size = cell_size or _natural_size(rows)
    font = ImageFont.load_default(float(min(20, max(12, size // 11))))
    gap = max(4, size // 32)
    columns = max(len(row) for row in rows)

    left = gap + max((_text_size(title, font)[0] + gap for title in row_titles or ()), default=0)
    width = left + columns * (size + gap)
    heads = [_wrapped(title.translate(_DASHES), font, size) for title in column_titles or ()]
    top = gap + max((_text_size(head, font)[1] + gap for head in heads), default=0)
    bottom = top + len(rows) * (size + gap)
    names = [(label, name) for label, name in enumerate(legend or ()) if label > 0]
    line, places = _text_size("Ag", font)[1] + gap, _legend_places(names, font, left, width, gap)
    legend_height = line * (1 + max((below for below, _ in places), default=-1))
    foot = _wrapped(caption, font, width - 2 * gap)
    height = bottom + legend_height + (_text_size(foot, font)[1] + gap if foot else 0)

    paper = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(paper)
    for column, head in enumerate(heads):
        x = left + column * (size + gap) + size // 2
        draw.multiline_text((x, top - gap), head, _INK, font, anchor="md", align="center")
    for index, row in enumerate(rows):
        y = top + index * (size + gap)
        if row_titles is not None:
            draw.multiline_text(
                (left - gap, y + size // 2),
                row_titles[index],
                _INK,
                font,
                anchor="rm",
                align="right",
            )
        for column, image in enumerate(row):
            fitted = _fitted(image, size)
            x = left + column * (size + gap) + (size - fitted.width) // 2
            paper.paste(fitted, (x, y + (size - fitted.height) // 2))
    side = line - gap
    for (label, name), (below, x) in zip(names, places, strict=True):
        y = bottom + below * line
        draw.rectangle((x, y, x + side, y + side), colour_of(label))
        draw.text((x + side + gap, y + side // 2), name, _INK, font, anchor="lm")
    if foot:
        draw.multiline_text((gap, bottom + legend_height), foot, _INK, font)
    return np.asarray(paper, dtype=np.uint8)


def _legend_places(
    names: Sequence[tuple[int, str]], font: "_Font", left: int, width: int, gap: int
) -> list[tuple[int, int]]:
    """Line and left edge in pixels of each entry of a legend; a new line where one is full."""
    side = _text_size("Ag", font)[1]
    below, x = 0, left
    places = []
    for _, name in names:
        length = side + gap + _text_size(name, font)[0]
        if x > left and x + length > width - gap:
            below, x = below + 1, left
        places.append((below, x))
        x += length + 3 * gap
    return places


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


def _label_map(mask: NDArray[np.integer]) -> NDArray[np.integer]:
    labels = np.asarray(mask)
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"Mask is {labels.dtype} {labels.shape}, expected integer labels (H, W).")
    if labels.size and int(labels.min()) < 0:
        raise ValueError(f"Mask holds label {int(labels.min())}, expected labels from 0.")
    return labels


def _inner_edge(labels: NDArray[np.integer], thickness: int) -> NDArray[np.bool_]:
    """(H, W) True where a foreground pixel has another label `thickness` steps or nearer."""
    edge = np.zeros(labels.shape, dtype=bool)
    padded = np.pad(
        labels, thickness
    )  # zeros: a class cut by the image's border gets its line there too
    height, width = labels.shape
    for step in range(1, thickness + 1):
        for down, right in ((step, 0), (-step, 0), (0, step), (0, -step)):
            top, left = thickness + down, thickness + right
            edge |= padded[top : top + height, left : left + width] != labels
    return edge & (labels > 0)


def _natural_size(rows: Sequence[Sequence[ImageArray]]) -> int:
    largest = max(max(image.shape[:2]) for row in rows for image in row)
    return int(largest) * -(-_SMALLEST_CELL // int(largest))


def _fitted(image: ImageArray, size: int) -> Image.Image:
    drawn = Image.fromarray(np.ascontiguousarray(image)).convert("RGB")
    factor = size / max(drawn.size)
    if factor == 1:
        return drawn
    target = (max(1, round(drawn.width * factor)), max(1, round(drawn.height * factor)))
    return drawn.resize(
        target, Image.Resampling.NEAREST if factor > 1 else Image.Resampling.LANCZOS
    )


_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def _text_size(text: str, font: _Font) -> tuple[int, int]:
    box = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font)
    return int(np.ceil(box[2])), int(np.ceil(box[3]))


def _wrapped(text: str, font: _Font, width: int) -> str:
    """Text with line breaks between words so that each line fits; one long word stays whole."""
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
    return "\n".join(lines)


def _is_ours(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            return image.format == "PNG" and image.info.get("Software") == SOFTWARE
    except OSError:
        return False
