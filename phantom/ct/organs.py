"""Paints liver, gallbladder, spleen, stomach and pancreas into the room that is free."""

import numpy as np

from phantom.ct.anatomy import Patient
from phantom.ct.canvas import Box, Canvas, ellipsoid, tube
from phantom.fields import Array


def _scales(patient: Patient) -> tuple[float, float]:
    """How wide and how deep this patient's cavity is beside the one the organs are given for."""
    return patient.torso.cavity_width_mm / 130, patient.torso.front_mm / 112


def _vessels(canvas: Canvas, box: Box, first: str, second: str, size_mm: float) -> Array:
    """A branching network: where two smooth fields vanish together is a set of curves."""
    near = np.hypot(canvas.noise[first][box], canvas.noise[second][box])
    wavelength = 7.5 if "medium" in first else 14.0
    return near * np.float32(wavelength * 0.5) - np.float32(size_mm)


def _paint_liver(canvas: Canvas, patient: Patient) -> None:
    wide, deep = _scales(patient)
    tissue, noise = patient.tissue_hu, canvas.noise
    box = canvas.box((-200, -150 * deep, -150 * wide), (45, 60, 95 * wide))
    if box is None:
        return
    right = ellipsoid(canvas, box, (-80, -30 * deep, -82 * wide), (108, 84 * deep, 74 * wide))
    left = ellipsoid(canvas, box, (-98, -76 * deep, -6), (72, 42 * deep, 78 * wide))
    soft = np.float32(18)
    blend = np.maximum(soft - np.abs(right - left), 0) / soft
    shape: Array = np.minimum(right, left) - blend * blend * soft * np.float32(0.25)
    shape += 3 * noise["coarse"][box]
    fissure = np.abs(canvas.x[box] + 24 * wide - 5 * noise["coarse_too"][box]) - 1.2
    shape = np.maximum(shape, -np.maximum(fissure, canvas.y[box] + np.float32(66 * deep)))
    shape = canvas.clip(box, shape)
    canvas.paint(box, shape, tissue["liver"] + 4 * noise["fine"][box] + 3 * noise["medium"][box])
    big = _vessels(canvas, box, "coarse", "coarse_too", 2.6)
    small = _vessels(canvas, box, "medium", "coarse", 1.1)
    for vessel, thickness in ((big, 5.0), (small, 2.2)):
        canvas.paint(box, np.maximum(vessel, shape + 6), tissue["liver_vessel"], thickness)
    canvas.occupy(box, shape, 1.5)


def _paint_spleen(canvas: Canvas, patient: Patient) -> None:
    wide, _ = _scales(patient)
    centre = (-62.0, 2.0, 104.0 * wide)
    box = canvas.around(centre, (60, 58, 40))
    if box is None:
        return
    noise = canvas.noise
    shape = ellipsoid(canvas, box, centre, (55, 52, 33))
    hollow = ellipsoid(canvas, box, (-62, -20, 72 * wide), (62, 48, 27))
    shape = np.maximum(shape + 2 * noise["coarse"][box], -hollow)
    shape = canvas.clip(box, shape)
    canvas.paint(
        box, shape, patient.tissue_hu["spleen"] + 6 * noise["fine"][box] + 5 * noise["medium"][box]
    )
    canvas.occupy(box, shape, 1.5)


def _paint_stomach(canvas: Canvas, patient: Patient) -> None:
    wide, deep = _scales(patient)
    centre = (-70.0, -62.0 * deep, 58.0 * wide)
    box = canvas.around(centre, (66, 48 * deep, 62 * wide))
    if box is None:
        return
    noise = canvas.noise
    fundus = ellipsoid(canvas, box, centre, (56, 38 * deep, 40 * wide))
    antrum = ellipsoid(canvas, box, (-32, -78 * deep, 22 * wide), (18, 20 * deep, 48 * wide))
    shape = canvas.clip(box, np.minimum(fundus, antrum) + 2 * noise["medium"][box])
    canvas.paint(box, shape, patient.tissue_hu["bowel_wall"])
    lumen = shape + 4 + 1.2 * noise["medium_too"][box]
    canvas.paint(box, lumen, 28 + 14 * noise["medium"][box] + 8 * noise["fine"][box])
    level = np.float32(-62 * deep - 38 * deep * patient.stomach_gas)
    canvas.paint(box, np.maximum(lumen, canvas.y[box] - level), -960.0)
    canvas.occupy(box, shape, 2.0)


def _paint_small_organs(canvas: Canvas, patient: Patient) -> None:
    """Gallbladder, pancreas, and the mesenteric vessels in front of the aorta."""
    wide, deep = _scales(patient)
    tissue, noise = patient.tissue_hu, canvas.noise
    centre = (4.0, -66.0 * deep, -58.0 * wide)
    box = canvas.around(centre, (30, 22, 20))
    if box is not None:
        shape = canvas.clip(box, ellipsoid(canvas, box, centre, (26, 18, 14)))
        canvas.paint(box, shape, 60.0)
        canvas.paint(box, shape + 1.6, 9.0)
        canvas.occupy(box, shape, 1.0)
    for x_mm, size, name in ((7.0, 3.6, "aorta"), (-9.0, 5.5, "vena_cava")):
        path = np.array([[-25.0, -46.0, x_mm], [30.0, -56.0, x_mm], [110.0, -66.0, x_mm * 0.5]])
        found = tube(canvas, path, size)
        if found is not None:
            shape = canvas.clip(*found)
            canvas.paint(found[0], shape, tissue[name] * 0.95, thickness_mm=2 * size)
            canvas.occupy(found[0], shape, 2.5)
    points = [(14, -52, -34), (0, -58, -22), (-14, -64, 12), (-26, -48, 48), (-40, -30, 82)]
    found = tube(canvas, np.array([(z, y * deep, x * wide) for z, y, x in points]), 10.5)
    if found is not None:
        box, shape = found
        shape = canvas.clip(box, shape + 2.5 * noise["medium"][box])
        lobules = np.clip(noise["medium_too"][box] - 0.6, 0, 1) * 70
        canvas.paint(box, shape, tissue["pancreas"] - lobules)
        canvas.occupy(box, shape, 1.5)


def paint_organs(canvas: Canvas, patient: Patient) -> None:
    """Paint the solid organs and the stomach; each keeps what it took."""
    _paint_spleen(canvas, patient)
    _paint_liver(canvas, patient)
    _paint_stomach(canvas, patient)
    _paint_small_organs(canvas, patient)
