"""Labelled sheets of images.

Numpy and Pillow only, so that training callbacks, `evaluate.py` and the study's report can all draw
without matplotlib.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from display.colours import ImageArray, colour_of

_PAPER = (255, 255, 255)
_INK = (24, 24, 24)
# Pillow's built-in font lacks them.
_DASHES = str.maketrans({"\u2013": "-", "\u2014": "-", "\u2212": "-"})
_SMALLEST_CELL = 128  # pixels; a 64 x 64 slice beside a legible title would be a stamp


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
    size = cell_size or _natural_size(rows)
    columns = max(len(row) for row in rows)
    page = _Page(
        size,
        columns,
        [_drawable(title) for title in row_titles or ()],
        [_drawable(title) for title in column_titles or ()],
    )
    names = [(label, name) for label, name in enumerate(legend or ()) if label > 0]
    entries = page.legend_entries(names)
    foot = _wrapped(_drawable(caption or ""), page.font, page.width - 2 * page.gap)

    bottom = page.y_of(len(rows))
    below_legend = bottom + page.line * (1 + max((line for line, _ in entries), default=-1))
    height = below_legend + (_text_size(foot, page.font)[1] + page.gap if foot else 0)
    paper = Image.new("RGB", (page.width, height), _PAPER)
    draw = ImageDraw.Draw(paper)
    page.draw_titles(draw)
    for index, row in enumerate(rows):
        for column, image in enumerate(row):
            fitted = _fitted(image, size)
            x = page.x_of(column) + (size - fitted.width) // 2
            paper.paste(fitted, (x, page.y_of(index) + (size - fitted.height) // 2))
    page.draw_legend(draw, bottom, names, entries)
    if foot:
        draw.multiline_text((page.gap, below_legend), foot, _INK, page.font)
    return np.asarray(paper, dtype=np.uint8)


class _Page:
    """Where the cells of a sheet and the texts beside them stand, in pixels.

    Args:
        size: Side of a cell.
        columns: Of cells.
        row_titles: One for each row, or none.
        column_titles: One for each column, or none.
    """

    def __init__(
        self, size: int, columns: int, row_titles: Sequence[str], column_titles: Sequence[str]
    ) -> None:
        self.size = size
        self.font = ImageFont.load_default(float(min(20, max(12, size // 11))))
        self.gap = max(4, size // 32)
        self.line = _text_size("Ag", self.font)[1] + self.gap
        self.row_titles = row_titles
        self.heads = [_wrapped(title, self.font, size) for title in column_titles]
        lengths = (_text_size(title, self.font)[0] + self.gap for title in row_titles)
        heights = (_text_size(head, self.font)[1] + self.gap for head in self.heads)
        self.left = self.gap + max(lengths, default=0)
        self.top = self.gap + max(heights, default=0)
        self.width = self.x_of(columns)

    def x_of(self, column: int) -> int:
        """Left edge of a column's cells."""
        return self.left + column * (self.size + self.gap)

    def y_of(self, row: int) -> int:
        """Upper edge of a row's cells."""
        return self.top + row * (self.size + self.gap)

    def draw_titles(self, draw: ImageDraw.ImageDraw) -> None:
        """Titles of the columns above them, and of the rows at their left."""
        for column, head in enumerate(self.heads):
            above = (self.x_of(column) + self.size // 2, self.top - self.gap)
            draw.multiline_text(above, head, _INK, self.font, anchor="md", align="center")
        for row, title in enumerate(self.row_titles):
            beside = (self.left - self.gap, self.y_of(row) + self.size // 2)
            draw.multiline_text(beside, title, _INK, self.font, anchor="rm", align="right")

    def legend_entries(self, names: Sequence[tuple[int, str]]) -> list[tuple[int, int]]:
        """Line and left edge of each entry of a legend; a new line where one is full."""
        side = self.line - self.gap
        line, x = 0, self.left
        entries = []
        for _, name in names:
            length = side + self.gap + _text_size(name, self.font)[0]
            if x > self.left and x + length > self.width - self.gap:
                line, x = line + 1, self.left
            entries.append((line, x))
            x += length + 3 * self.gap
        return entries

    def draw_legend(
        self,
        draw: ImageDraw.ImageDraw,
        top: int,
        names: Sequence[tuple[int, str]],
        entries: Sequence[tuple[int, int]],
    ) -> None:
        """A square in its colour and the name of each (label, name), at `legend_entries`."""
        side = self.line - self.gap
        for (label, name), (line, x) in zip(names, entries, strict=True):
            y = top + line * self.line
            draw.rectangle((x, y, x + side, y + side), colour_of(label))
            draw.text((x + side + self.gap, y + side // 2), name, _INK, self.font, anchor="lm")


def _drawable(text: str) -> str:
    return text.translate(_DASHES)


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
