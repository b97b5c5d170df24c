"""Collar bones, shoulder blades and arms, bone and soft tissue, with breasts and breastbone."""

import numpy as np
from numpy.typing import NDArray

from phantom.chest.bones import SPONGY
from phantom.chest.grid import FilmGrid
from phantom.chest.patient import LEFT, RIGHT, ChestPatient
from phantom.chest.shapes import (
    Ellipsoid,
    polygon_distance,
    ramp,
    smooth_line,
)
from phantom.chest.torso import Thorax
from phantom.fields import Array


def _breadth(patient: ChestPatient) -> float:
    return patient.size * (0.95 if patient.sex == "F" else 1.0)


def _joint(patient: ChestPatient, side: int) -> NDArray[np.float64]:
    """Centre of the shoulder joint (x, y, z)."""
    breadth = _breadth(patient)
    return np.array([side * (162 * breadth + 0.25 * patient.fat_mm), 12.0, -112 * patient.size])


def _arm(patient: ChestPatient, side: int) -> NDArray[np.float64]:
    """(2, 3) the upper arm from joint to elbow; the hands are on the hips."""
    joint = _joint(patient, side)
    angle = patient.visit.arm_rad
    reach = 420 * patient.size
    elbow = joint + np.array([side * np.sin(angle) * reach, 25.0, np.cos(angle) * reach])
    return np.stack([joint, elbow])


def add_shoulders(bone: Array, patient: ChestPatient, grid: FilmGrid) -> None:
    """Add collar bones, shoulder blades and upper arms of a PA film, in mm of compact bone."""
    size, breadth, rng = patient.size, _breadth(patient), patient.rng(4)
    drawn = grid.empty()
    for side in (RIGHT, LEFT):
        joint = _joint(patient, side)
        roof = joint[2] - 31 * size
        inner = size * np.array([20.0, 0, -98 + 3 * rng.normal()])
        collar = np.array(
            [
                [inner[0], inner[2]],
                [52 * breadth, inner[2] - 9 * size],
                [92 * breadth, inner[2] - 17 * size],
                [130 * breadth, roof - 7 * size],
                [abs(joint[0]) - 14 * size, roof - 1 * size],
            ]
        )
        line = smooth_line(collar, 11)
        points = np.column_stack([side * line[:, 0], np.full(11, -35.0), line[:, 1]])
        radii = size * np.interp(np.arange(11), [0, 1.5, 5.5, 8.5, 10], [7.2, 6.2, 5.2, 5.8, 6.4])
        grid.add_tube(drawn, points, radii, 1.4 * size, SPONGY)
        _add_blade(drawn, patient, grid, side, joint)
        arm = _arm(patient, side)
        stations = np.array([-0.015, 0.022, 0.065, 0.12, 0.22, 1.0])
        humerus = arm[0] + (arm[1] - arm[0]) * stations[:, None]
        humerus[:, 0] += side * size * np.array([-2.0, 0, 4, 6, 6, 0])
        radii = size * np.array([20.5, 22.5, 17.5, 12.5, 11, 10.5])
        walls = size * np.array([0.7, 0.8, 1.4, 2.8, 3.6, 3.6])
        grid.add_tube(drawn, humerus, radii, walls, SPONGY)
    bone += patient.bone_density * drawn


def _add_blade(
    drawn: Array, patient: ChestPatient, grid: FilmGrid, side: int, joint: NDArray[np.float64]
) -> None:
    """A thin plate with a thick outer border, its crest, the roof of the joint, the beak."""
    size = patient.size
    x0, z0 = abs(joint[0]), joint[2]
    # Corners from the socket down the outer border to the tip, up the inner border and back.
    # Hands on the hips turn the blades off the lungs.
    out = 12 * np.sin(patient.visit.arm_rad) * 2
    outline = np.array(
        [
            [x0 - 23 * size, z0 - 14 * size],
            [x0 - 24 * size, z0 + 16 * size],
            [x0 - 36 * size, z0 + 62 * size],
            [x0 - 44 * size + out, z0 + 120 * size],
            [x0 - 56 * size + out, z0 + 124 * size],
            [x0 - 80 * size + 0.5 * out, z0 + 52 * size],
            [x0 - 84 * size, z0 + 2 * size],
            [x0 - 70 * size, z0 - 34 * size],
            [x0 - 52 * size, z0 - 26 * size],
        ]
    )
    outline = smooth_line(np.vstack([outline, outline[:1]]), 21)[:-1]
    corners = outline * np.array([side, 1.0])
    low, high = corners.min(axis=0) - 8, corners.max(axis=0) + 8
    drift = 60 * grid.rotation
    box = grid.box((low[0] - drift, high[0] - drift), (low[1], high[1]))
    if box is None:
        return
    x = grid.across(box, 60.0)
    distance = polygon_distance(x, grid.z[box], corners)
    edge = max(1.6, 0.7 * grid.pixel_mm)
    plate = ramp(-distance, float(edge))
    rim = np.exp(-(((distance + 2.2) / 2.0) ** 2))
    outer = ramp(side * x - (x0 - 62 * size), 14.0)
    drawn[box] += 1.5 * size * plate + rim * size * (1.6 + 3.2 * outer)
    bones = (
        ((-82, 6), (-40, -24), (-8, -38), (10, -30), (2.6, 4.6, 6.0, 5.0), 1.4),
        ((-48, -24), (-38, -27), (-28, -22), (-20, -14), (5.5, 5.5, 5.2, 4.4), 1.6),
        ((-25, -17), (-21.5, -6), (-21.5, 6), (-25, 18), (3.6, 4.0, 4.0, 3.6), 2.0),
    )
    for *stations, radii, wall in bones:
        line = np.array(stations) * size + np.array([x0, z0])
        points = np.column_stack([side * line[:, 0], np.full(4, 40.0), line[:, 1]])
        grid.add_tube(drawn, points, size * np.array(radii), wall * size, SPONGY)


def arm_path(patient: ChestPatient, grid: FilmGrid) -> Array:
    """Path through the soft tissue of the arms: (H, W) in mm.

    On a lateral film the arms are raised, and only the shoulders are left in the picture.
    """
    size, fat = patient.size, patient.fat_mm
    if grid.is_lateral:
        path = grid.empty()
        middle = float(Thorax(patient).middle(np.array([-130.0 * size]))[0])
        for depth, top, wide in ((middle - 20, -210, 52), (middle + 18, -190, 58)):
            raised = np.array([[0, depth, -120.0], [0, depth - 50, top - 120]])
            raised[:, 2] *= size
            path = np.maximum(path, 1.5 * grid.tube(raised, np.array([wide, wide - 8.0]) * size))
        return path
    path = grid.empty()
    for side in (RIGHT, LEFT):
        arm = _arm(patient, side)
        width = 46 * size + 0.8 * fat
        shoulder = arm[0] + np.array([-side * 12.0, 0, 2.0])
        path = np.maximum(
            path, grid.tube(np.stack([shoulder, arm[1]]), np.array([width + 8, width - 4]))
        )
    return path


def breast_path(patient: ChestPatient, grid: FilmGrid) -> Array:
    """Path through the breasts: sharp below, fading above; (H, W) in mm."""
    path = grid.empty()
    radius = patient.breast_mm
    if not radius:
        return path
    rng = patient.rng(5)
    for side in (RIGHT, LEFT):
        hang = float(rng.normal(0, 5))
        x, z = side * (0.62 * patient.lung_width_mm + 0.12 * radius), 30 * patient.size + hang
        x, z = x + side * 0.1 * radius, z + 0.25 * radius
        if grid.is_lateral:
            front = float(
                Thorax(patient).middle(np.array([z]))[0]
                - Thorax(patient).body_half_depth(np.array([z]))[0]
            )
            shape = Ellipsoid(
                (x, front + 0.12 * radius, z), (0.9 * radius, 0.5 * radius, 1.0 * radius)
            )
            grid.add_ellipsoid(path, shape, 0.7)
            continue
        across = (grid.across(grid.whole, -80.0) - x) / (1.06 * radius)
        down = grid.z - z
        high = np.where(down > 0, down / (0.82 * radius), down / (1.7 * radius))
        inside = np.maximum(1 - across * across - high * high, 0)
        # Round below and at the side, flat above.
        upper = ramp(-down, 0.8 * radius)
        path += (0.95 * radius) * (inside**0.62) * (1 - 0.55 * upper)
    return path


def add_breastbone(bone: Array, patient: ChestPatient, grid: FilmGrid) -> None:
    """Add the breastbone of a lateral film, a plate behind the front wall."""
    thorax, size = Thorax(patient), patient.size
    heights = np.linspace(-92, 62, 8) * size
    front = thorax.middle(heights) - thorax.half_depth(heights) - 5 * size
    points = np.column_stack([np.zeros(8), front, heights])
    drawn = grid.empty()
    grid.add_tube(drawn, points, np.full(8, 5.5 * size), 1.5 * size, SPONGY)
    bone += (2.2 * patient.bone_density) * drawn


def add_shoulders_from_the_side(bone: Array, patient: ChestPatient, grid: FilmGrid) -> None:
    """Add the shoulder blades of a lateral film: thin lines over the upper spine."""
    size = patient.size
    middle = float(Thorax(patient).middle(np.array([-60.0 * size]))[0])
    drawn = grid.empty()
    for side in (RIGHT, LEFT):
        back = middle + patient.lung_depth_mm * 0.62 + side * 9
        line = np.array([[-130, -6], [-80, 6], [-20, 16], [10, 14]]) * size
        points = np.column_stack([np.full(4, side * 120.0), back + line[:, 1], line[:, 0]])
        grid.add_tube(drawn, points, size * np.array([5.0, 3.2, 2.6, 3.2]), 1.6 * size, SPONGY)
        head = np.array([[side * 150.0, middle - 8 + side * 7, -128 * size]])
        head = np.vstack([head, head + np.array([0, -18 * size, -90 * size])])
        grid.add_tube(drawn, head, size * np.array([20.0, 12.0]), 2.4 * size, SPONGY)
    bone += (1.2 * patient.bone_density) * drawn
