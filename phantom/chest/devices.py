"""What is on a film besides the patient: lead letters, wires, a pacemaker, the shutters."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from phantom.chest.grid import FilmGrid
from phantom.chest.patient import LEFT, RIGHT, ChestPatient, Visit
from phantom.chest.shapes import Ellipsoid, ramp, smooth_line
from phantom.chest.torso import Thorax
from phantom.fields import Array

# Path through lead, in mm of the metal that `chest_detector` counts in.
_LEAD_MM = 12.0
_LETTER_PX = 48


@lru_cache(maxsize=16)
def _letters(text: str) -> NDArray[np.uint8]:
    """A word as a image of 48 px letters."""
    font = ImageFont.load_default(_LETTER_PX)
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (int(right - left) + 16, int(bottom - top) + 16))
    ImageDraw.Draw(image).text((8 - left, 8 - top), text, fill=255, font=font)
    return np.asarray(image)


def add_marker(metal: Array, marker: str, visit: Visit, pixel_mm: float) -> None:
    """Add the lead letters to a film of metal path lengths; the first word is the largest."""
    size = metal.shape[0]
    column, row = visit.marker_position[0] * size, visit.marker_position[1] * size
    for word in sorted(marker.split(), key=len):
        # One letter says the side; a word is set small under it.
        letter_mm = 15.0 if len(word) == 1 else 7.0
        image = Image.fromarray(_letters(word))
        image = image.rotate(np.degrees(-visit.marker_rad), Image.Resampling.BILINEAR, expand=True)
        scale = letter_mm / (0.72 * _LETTER_PX * pixel_mm)
        shape = (max(round(image.width * scale), 2), max(round(image.height * scale), 2))
        drawn = np.asarray(image.resize(shape, Image.Resampling.BOX), np.float32) / 255
        left = int(np.clip(column - shape[0] / 2, 1, size - shape[0] - 1))
        top = int(row)
        row += 0.8 * shape[1]
        part = metal[top : top + shape[1], left : left + shape[0]]
        part += _LEAD_MM * drawn[: part.shape[0], : part.shape[1]]


def _wire(
    metal: Array, grid: FilmGrid, corners: NDArray[np.float64], radius_mm: float, gain: float
) -> None:
    """Add a wire along a smooth line through corners (N, 3)."""
    line = smooth_line(corners, 400)
    length = np.linalg.norm(np.gradient(line, axis=0), axis=1)
    volume = gain * np.pi * radius_mm**2 * length
    metal += grid.deposit(line, volume, np.full(len(line), radius_mm))


def add_pacemaker(metal: Array, patient: ChestPatient, grid: FilmGrid) -> None:
    """Add a generator below the left collar bone and leads to the right atrium and ventricle."""
    size, rng = patient.size, patient.rng(6)
    thorax = Thorax(patient)
    side = RIGHT if rng.random() < 0.12 else LEFT
    x, z = side * 104 * size, (-68 + float(rng.normal(0, 6))) * size
    y = float(thorax.middle(np.array([z]))[0] - thorax.body_half_depth(np.array([z]))[0] + 14)
    can = Ellipsoid((x, y, z), (25.0, 4.0, 22.0), turn_rad=float(rng.normal(0, 0.3)))
    box = grid.around(can)
    if box is not None:
        # A flat can: full thickness right up to its round rim.
        squared = grid.chord_squared(can, box) / (4 * can.radii_mm[1] ** 2)
        metal[box] += 4.2 * ramp(squared, 0.12) + 2.0 * ramp(squared - 0.42, 0.1)
    start = [x - side * 8, y + 3, z - 22]
    path = [[side * 84, y + 10, -96], [side * 52, -20, -92], [side * 20, -16, -84]]
    for ends in (
        [[-20, -14, -55], [-23, -12, 0], [-20, -18, 40], [18, -32, 76], [44, -36, 84]],
        [[-22, -14, -52], [-26, -12, 5], [-30, -22, 32], [-26, -34, 20]],
    ):
        corners = np.array([start, *path, *ends]) * size
        corners[0] = start
        _wire(metal, grid, corners + rng.normal(0, 1.5, corners.shape), 0.6, 1.5)
        tip = corners[-1]
        grid.add_ellipsoid(metal, Ellipsoid((tip[0], tip[1], tip[2]), (3.0, 1.4, 1.4), 0.3), 1.2)


def add_electrodes(metal: Array, patient: ChestPatient, grid: FilmGrid) -> None:
    """Add ECG electrodes on the skin with wires that leave the film below."""
    size, rng = patient.size, patient.film_rng(60)
    thorax = Thorax(patient)
    positions = [(-95, -62), (98, -66), (-88, 78), (92, 84), (28, 34)]
    for position in positions[: patient.visit.num_electrodes]:
        x, z = (float(value + rng.normal(0, 8)) * size for value in position)
        at = np.array([z])
        y = float(thorax.middle(at)[0] - 0.9 * thorax.body_half_depth(at)[0])
        grid.add_ellipsoid(metal, Ellipsoid((x, y, z), (5.0, 1.0, 5.0)), 0.6)
        grid.add_ellipsoid(metal, Ellipsoid((x, y, z), (2.0, 1.5, 2.0)), 1.2)
        bend = rng.normal(0, 22, 2)
        corners = np.array(
            [
                [x, y, z],
                [x + bend[0], y, z + 50],
                [0.5 * x + bend[1], y, z + 120],
                [0.3 * x, y, 330],
            ]
        )
        _wire(metal, grid, corners, 0.7, 1.1)


def shutter_mask(visit: Visit, size: int, pixel_mm: float) -> NDArray[np.float32]:
    """1 inside the collimated field, 0 outside: (size, size), edges one pixel soft."""
    straight = ((np.arange(size) - (size - 1) / 2) * pixel_mm).astype(np.float32)
    column, row = straight[None, :], straight[:, None]
    turn = visit.shutter_rad
    half = size * pixel_mm / 2
    left, right, top, bottom = visit.shutters_mm
    mask = np.ones((size, size), np.float32)
    for border, distance in (
        (left, column - turn * row + half),
        (right, half - column + turn * row),
        (top, row + turn * column + half),
        (bottom, half - row - turn * column),
    ):
        if border:
            mask *= ramp(distance - border, 0.7 * pixel_mm)
    return mask
