"""The ribs and the spine of a chest film.

Bone is drawn as the extra attenuation over soft tissue, in mm of compact bone. What a film shows
of a bone is its rim, where the rays run along the compact layer.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phantom.chest.grid import FilmGrid
from phantom.chest.patient import LEFT, RIGHT, ChestPatient
from phantom.chest.shapes import length_of, ramp
from phantom.chest.torso import Thorax
from phantom.fields import Array

# Compact bone in the spongy inside of a bone, as a share.
SPONGY = 0.16
_RIB_SPONGY = 0.24
_THINNEST_MM = 0.01
_RIB_STEP_MM = 0.25
_RIB_WALL_MM = 1.5


class _Crossing(NamedTuple):
    """Where rays cross the band of one rib: behind or in front, or from the side.

    Attributes:
        side: RIGHT or LEFT; 0 for a rib seen from the side.
        part: 1 behind, -1 in front.
        across: Half-width of the rib's ring, across the rays.
        along: Half-depth of the ring, along the rays.
        depth: y of the crossing; for a rib seen from the side, of the ring's middle.
        head_z: z at the spine.
        fall: How much lower the rib would be at the breastbone.
        end: Angle where bone gives way to cartilage; 0 is the spine, pi the breastbone.
        half_height: Of the band.
    """

    side: int
    part: int
    across: float
    along: float
    depth: float
    head_z: float
    fall: float
    end: float
    half_height: float


def _crossings(patient: ChestPatient, is_lateral: bool) -> list[_Crossing]:
    thorax, size, rng = Thorax(patient), patient.size, patient.rng(2)
    first = patient.apex_z_mm - 4 * size
    step = (26.2 * size) * (1 + 0.03 * float(rng.normal()))
    result = []
    for number in range(1, 13):
        head_z = first + step * (number - 1) * (0.9 + 0.012 * number)
        falls = np.interp(number, [1, 2, 4, 7, 10, 12], [44, 72, 104, 130, 136, 90])
        fall = size * patient.rib_slope * float(falls)
        end = float(np.interp(number, [1, 7, 10, 11, 12], [2.65, 2.42, 2.1, 1.5, 0.95]))
        at = np.array([head_z + 0.45 * fall])
        widest = size * float(np.interp(number, [1, 2, 3], [66, 94, 400]))
        wide = min(float(thorax.lateral(at)[0]) + 3 * size, widest)
        deep = max(float(thorax.half_depth(at)[0]), 34 * size) + 3 * size
        middle = float(thorax.middle(at)[0])
        for side in (RIGHT, LEFT):
            head = head_z + float(rng.normal(0, 1.2))
            height = size * float(rng.uniform(6.3, 7.5)) * (1.15 if number == 1 else 1.0)
            if is_lateral:
                result.append(_Crossing(0, 1, deep, wide, middle, head, fall, end, height))
                continue
            # The last two do not reach the front.
            for part in (1, -1) if end > np.pi / 2 else (1,):
                depth = middle + part * 0.6 * deep
                result.append(_Crossing(side, part, wide, deep, depth, head, fall, end, height))
    return result


def _rib_tables(ribs: list[_Crossing], position_mm: NDArray[np.float64]) -> NDArray[np.float32]:
    """Centre z, 1 / half-height and thickness of every rib at every position across: (K, 3, N)."""
    columns = np.array(ribs, float).T[:, :, None]
    side, part, across, along, _, head_z, fall, end, half_height = columns
    thick = 1.2 * half_height
    position = np.where(side == 0, position_mm, np.maximum(position_mm, 0))
    outer, inner = np.clip(position / (across + thick), -1, 1), np.clip(position / across, -1, 1)
    near = np.arcsin(outer)
    facing = np.sqrt(1 - outer**2)
    chord = (along + thick) * facing - along * np.sqrt(1 - inner**2)
    angle = np.where(side == 0, np.pi / 2 - near, np.where(part > 0, near, np.pi - near))
    t = angle / np.pi
    centre = head_z + fall * (t - 0.09 * np.sin(2 * np.pi * t))
    slope = fall / np.pi * (1 - 0.18 * np.pi * np.cos(2 * np.pi * t))
    # Along the thorax's side a ray leaves the falling band through its lower edge.
    chord /= 1 + chord * np.abs(slope) / along / (3.2 * half_height)
    steep = slope / (across * np.maximum(facing, 0.12))
    height = half_height * (1 - 0.18 * np.clip(angle - 1.2, 0, 1)) * np.sqrt(1 + steep**2)
    # The front is flatter; from the side, the ribs of both walls lie over each other.
    weight = np.where(side == 0, 0.45, np.where(part > 0, 1.08, 0.72))
    thickness = weight * chord * ramp(end - angle, 0.1) * ramp(angle - 0.1, 0.1)
    return np.stack([centre, 1 / height, thickness], axis=1).astype(np.float32)


def add_ribs(bone: Array, patient: ChestPatient, grid: FilmGrid) -> None:
    """Add twelve pairs of ribs: bands around the thorax that fall from back to front.

    Seen from the back, a ray meets the band twice, behind and in front, and runs along it at the
    thorax's side, where the bone is brightest. All but the height is a function of the position
    across, and comes from a table.
    """
    ribs = _crossings(patient, grid.is_lateral)
    widest = max(rib.across for rib in ribs) + 26
    step = max(_RIB_STEP_MM, 0.3 * grid.pixel_mm)
    start = -widest if grid.is_lateral else -14.0
    position = np.arange(start, widest, step)
    tables = _rib_tables(ribs, position)
    drawn = tables[:, 2] > _THINNEST_MM
    half = 1 / tables[:, 1]
    tops = np.where(drawn, tables[:, 0] - half, np.inf).min(axis=1).tolist()
    bottoms = np.where(drawn, tables[:, 0] + half, -np.inf).max(axis=1).tolist()
    first = position[drawn.argmax(axis=1)].tolist()
    last = position[len(position) - 1 - drawn[:, ::-1].argmax(axis=1)].tolist()
    for k, (rib, table) in enumerate(zip(ribs, tables, strict=True)):
        shift = rib.depth if grid.is_lateral else -grid.rotation * rib.depth
        mirror = rib.side or 1
        ends = (mirror * first[k] + shift, mirror * last[k] + shift)
        box = grid.box(ends, (tops[k], bottoms[k]))
        if box is None:
            continue
        u = grid.u[box] - rib.depth if grid.is_lateral else rib.side * grid.across(box, rib.depth)
        index = np.clip((u - start) / step, 0, len(position) - 1).astype(np.int32)
        centre, per_height, thickness = table
        v = (grid.z[box] - centre[index]) * per_height[index]
        v *= v
        # The compact layer is not thinner than a pixel can show.
        wall = max(_RIB_WALL_MM, 0.45 * grid.pixel_mm) / rib.half_height
        hollow = 1 - min(wall, 0.7)
        shell = length_of(1 - v)
        shell -= (1 - _RIB_SPONGY) * hollow * length_of(1 - v / hollow**2)
        bone[box] += thickness[index] * shell


def add_spine(bone: Array, patient: ChestPatient, grid: FilmGrid) -> None:
    """Add vertebral bodies with endplates, pedicles and spinous processes, from neck to loin."""
    size, thorax = patient.size, Thorax(patient)
    phase = float(patient.rng(3).uniform(0, 1))
    reach = patient.lung_depth_mm + patient.kyphosis_mm + 60 * size
    half = reach if grid.is_lateral else 64 * size
    drift = 0.0 if grid.is_lateral else grid.rotation * patient.lung_depth_mm
    box = grid.box((-half - drift, half - drift), (-1e3, 1e3))
    if box is None:
        return
    middle = grid.of_height(lambda z: thorax.middle(z) + thorax.half_depth(z) - 6 * size)[box]
    growing = grid.of_height(lambda z: np.interp(z / size, [-220, -120, 200], [0.72, 0.86, 1.2]))
    growing = growing[box] * size
    level = (grid.z[box] / 13.75 / (size + growing) + phase) % 1
    # 0 in the middle of a vertebra, 0.5 in the disc.
    off = 0.5 - np.abs(level - 0.5)
    body = ramp(0.40 - off, 0.03)
    plate = np.exp(-(((off - 0.375) / 0.03) ** 2))
    drawn = bone[box]
    if grid.is_lateral:
        x = (grid.u[box] - middle) / (15 * growing)
        width, bright = 90 * growing, 2.5
        arch = (grid.u[box] - middle - 38 * growing) / (12 * size)
        drawn += 4.0 * size * np.exp(-(arch**2)) * (0.4 + 0.6 * body)
    else:
        bend = grid.of_height(
            lambda z: patient.scoliosis_mm * np.sin((z + 140 * size) / (90 * size))
        )
        x = grid.across(box, patient.lung_depth_mm) - bend[box]
        x /= (17.5 - 2.5 * (1 - 2 * off)) * growing
        width, bright = 27 * growing, 1.0
    edge = np.abs(x)
    inside = ramp(1 - edge, 0.1)
    rim = np.exp(-(((edge - 0.93) / 0.07) ** 2))
    drawn += width * inside * (0.10 * body + 0.07 * plate) + 1.3 * bright * size * rim * body
    if grid.is_lateral:
        return
    pedicle = ((edge - 0.62) / 0.2) ** 2 + ((level - 0.42) / 0.16) ** 2
    drawn += 3.4 * size * np.exp(-((np.sqrt(pedicle) - 0.85) ** 2) / 0.07)
    process = (np.abs(edge - 1.35) / 0.5) ** 2 + ((level - 0.42) / 0.13) ** 2
    drawn += 2.6 * size * ramp(1 - process, 0.5)
    spinous = (x / 0.17) ** 2 + ((level - 0.72) / 0.2) ** 2
    drawn += 5.0 * size * ramp(1.1 - spinous, 0.5)


def draw_bone(patient: ChestPatient, grid: FilmGrid) -> Array:
    """Ribs and spine: (H, W) in mm of compact bone."""
    bone = grid.empty()
    add_ribs(bone, patient, grid)
    add_spine(bone, patient, grid)
    bone *= patient.bone_density
    return bone
