"""Paints the spine, the muscles beside it, the iliac wings, the aorta and the vena cava."""

import numpy as np

from phantom.ct.anatomy import Patient
from phantom.ct.canvas import Box, Canvas, segment, superellipse
from phantom.fields import Array


def _oval(
    canvas: Canvas,
    box: Box,
    y_mm: float,
    x_mm: Array | float,
    height: Array | float,
    width: Array | float,
    power: float = 2.0,
) -> Array:
    y, x = canvas.y[box] - np.float32(y_mm), canvas.x[box] - np.asarray(x_mm, np.float32)
    return superellipse(y, x, height, width, power)


def _paint_muscles(canvas: Canvas, box: Box, patient: Patient) -> None:
    """Psoas, quadratus lumborum and the erector spinae, apart from each other by fat."""
    tissue, noise = patient.tissue_hu, canvas.noise
    z = canvas.z[box]
    free = canvas.free[box]
    muscle = np.float32(tissue["muscle"]) + 7 * noise["fine"][box] + 5 * noise["medium"][box]
    # Fat first: the compartments of the back, seen as dark lines between the muscles.
    back = np.maximum(
        np.abs(canvas.x[box]) - 68, np.maximum(10 - canvas.y[box], canvas.y[box] - 57)
    )
    canvas.paint(box, np.maximum(back, -_oval(canvas, box, 0, 0, 10, 10)), tissue["fat"] + 25)
    lower = np.clip((z + 70) / 120, 0.0, 1.6)
    streaks = np.maximum(noise["medium_too"][box] - 1.4, 0) * 25
    for side in (-1, 1):
        shapes = (
            _oval(canvas, box, 37, side * 31.5, 23, 29.5, 2.3) + streaks,
            _oval(canvas, box, 20, side * 58, 3 + 8 * lower, 3 + 13 * lower),
            _oval(canvas, box, 4, side * (30 + 4 * lower), 2 + 18 * lower, 2 + 15 * lower, 2.2),
        )
        for shape in shapes:
            shape += np.float32(1.0) * noise["medium"][box]
            canvas.paint(box, shape - 1.3, tissue["fat"] + 25, thickness_mm=2.6)
            canvas.paint(box, shape, muscle)
            np.maximum(free, 2 - shape, out=free)
        crus = np.maximum(_oval(canvas, box, -20, side * 15, 16, 5.5), z - 12)
        canvas.paint(box, crus, muscle)
        np.maximum(free, 1 - crus, out=free)
        wing = segment(canvas.y[box], canvas.x[box], (44, side * 66), (-12, side * 122))
        wing += np.clip((np.float32(patient.torso.iliac_z_mm) - z) * 1.2, 0, 60) - 7
        canvas.paint(box, wing, 520.0)
        canvas.paint(box, wing + 2, patient.torso.bone_hu + 60 * noise["fine"][box])
        np.maximum(free, 10 - wing, out=free)


def _paint_bone(canvas: Canvas, box: Box, patient: Patient) -> None:
    """Vertebral bodies and discs, canal, arch and processes, one pattern per vertebra."""
    torso, noise = patient.torso, canvas.noise
    z, y, x = canvas.z[box], canvas.y[box], canvas.x[box]
    turn = 2 * np.pi * (z - np.float32(torso.disc_z_mm)) / np.float32(torso.vertebra_mm)
    # 1 in the disc, -1 at mid-height of the vertebra.
    level = np.cos(turn)
    middle = np.clip((1 - level) * 0.5, 0, 1)
    waist = np.float32(1.5) * middle
    body = _oval(canvas, box, 0, 0, 17.5 - waist, 24 - 1.5 * waist, 2.3)
    cancellous = np.float32(torso.bone_hu) + 45 * noise["fine"][box]
    disc = np.clip((level - 0.72) / 0.12, 0, 1)
    canvas.paint(box, body, 460 * (1 - disc) + 110 * disc)
    canvas.paint(box, body + 2.2, cancellous * (1 - disc) + 88 * disc)
    endplate = np.exp(-(((level - 0.66) / 0.1) ** 2))
    canvas.blend(box, canvas.coverage(body + 2.2) * endplate * 0.8, 430.0)

    ring = _oval(canvas, box, 26, 0, 15, 19, 2.2) + 6 * np.clip(level, 0, 1)
    facets = np.minimum(_oval(canvas, box, 33, -17, 8, 7), _oval(canvas, box, 33, 17, 8, 7))
    spinous = segment(y, x, (36, 0), (57, 0)) - 3.6 + 8 * np.clip(middle - 0.55, 0, 1)
    bones = [ring, facets + 4 * np.clip(-level, 0, 1), spinous]
    for side in (-1, 1):
        process = segment(y, x, (20, side * 15), (25, side * 43)) - 4.2
        bones.append(process + 14 * np.clip(0.75 - middle, 0, 1))
    arch = bones[0]
    for bone in bones[1:]:
        arch = np.minimum(arch, bone)
    arch = arch + np.float32(0.8) * noise["medium"][box]
    canvas.paint(box, arch, 520.0)
    canvas.paint(box, arch + 2.4, cancellous + 90)
    canal = _oval(canvas, box, 25.5, 0, 8, 11.5, 2.2)
    canvas.paint(box, canal, -20.0)
    canvas.paint(box, canal + 2.2, 32.0)
    free = canvas.free[box]
    np.maximum(free, 3 - np.minimum(body, arch), out=free)


def _paint_vessels(canvas: Canvas, box: Box, patient: Patient) -> None:
    tissue, noise = patient.tissue_hu, canvas.noise
    drift = 4 * noise["coarse"][box]
    calcified = np.abs(noise["medium"][box] - 1.7) * 5 - 1.0
    free = canvas.free[box]
    aorta = _oval(canvas, box, -30, 6, 10.5, 10.5) + 0.2 * drift
    vein = _oval(canvas, box, -27, -20, 8.5 + 0.3 * drift, 12.0)
    for shape, name in ((vein, "vena_cava"), (aorta, "aorta")):
        canvas.paint(box, shape, 45.0)
        canvas.paint(box, shape + 1.2, tissue[name])
        np.maximum(free, 2 - shape, out=free)
    canvas.paint(
        box, np.maximum(np.maximum(calcified, aorta), -aorta - 1.6), 480.0, thickness_mm=1.6
    )


def paint_spine(canvas: Canvas, patient: Patient) -> None:
    """Paint what stands in the middle of the back and take it out of the free room."""
    box = canvas.box((-1e4, -45, -135), (1e4, 64, 135))
    if box is None:
        return
    _paint_muscles(canvas, box, patient)
    _paint_vessels(canvas, box, patient)
    _paint_bone(canvas, box, patient)
