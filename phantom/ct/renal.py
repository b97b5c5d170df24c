"""Paints kidneys (cortex, medulla, sinus), their vessels and tumours, and their labels."""

import numpy as np

from phantom.ct.anatomy import Kidney, Patient, Tumour
from phantom.ct.canvas import Box, Canvas, scaled_distance, tube
from phantom.fields import Array

KIDNEY_LABEL = 1
TUMOUR_LABEL = 2
_NUM_PYRAMIDS = 26
Frame = tuple[Array, Array, Array]


def _local(canvas: Canvas, box: Box, kidney: Kidney) -> Frame:
    """The kidney's own coordinates: along its length, through its thickness, outwards."""
    along = canvas.z[box] - np.float32(kidney.centre[0])
    out_lean, front_lean = kidney.lean
    y = canvas.y[box] - np.float32(kidney.centre[1]) - np.float32(front_lean) * along
    x = np.float32(kidney.side) * (canvas.x[box] - np.float32(kidney.centre[2]))
    x -= np.float32(out_lean) * along
    # The hilum (-outwards) looks to the middle and to the front.
    cos, sin = np.float32(np.cos(kidney.turn_rad)), np.float32(np.sin(kidney.turn_rad))
    return along, cos * y - sin * x, sin * y + cos * x


def to_world(kidney: Kidney, point: tuple[float, float, float]) -> np.ndarray:
    """A point of the kidney's own coordinates as (z, y, x)."""
    along, through, out = point
    cos, sin = np.cos(kidney.turn_rad), np.sin(kidney.turn_rad)
    y = cos * through + sin * out + kidney.lean[1] * along
    x = -sin * through + cos * out + kidney.lean[0] * along
    z0, y0, x0 = kidney.centre
    return np.array([z0 + along, y0 + y, x0 + kidney.side * x])


def _ball(frame: Frame, centre: tuple[float, float, float], radii: tuple[float, ...]) -> Array:
    z, y, x = (
        (c - np.float32(o)) / np.float32(r) for c, o, r in zip(frame, centre, radii, strict=True)
    )
    return scaled_distance(z, y, x, radii)


def _smooth_outside(distance: Array, other: Array, softness_mm: float) -> Array:
    """`distance` without `other`, its rim rounded over `softness_mm`."""
    s = np.float32(softness_mm)
    h = np.maximum(s - np.abs(distance + other), 0) / s
    return np.maximum(distance, -other) + h * h * s * np.float32(0.25)


def _tumour_distance(canvas: Canvas, box: Box, frame: Frame, tumour: Tumour) -> Array:
    radii = tuple(tumour.diameter_mm / 2 * s for s in tumour.stretch)
    lobes = np.float32(0.05 * tumour.diameter_mm) * canvas.noise["medium"][box]
    coarse = np.float32(0.035 * tumour.diameter_mm) * canvas.noise["coarse_too"][box]
    return _ball(frame, tumour.centre, radii) + lobes + coarse


def _paint_tumour(canvas: Canvas, box: Box, distance: Array, tumour: Tumour) -> None:
    medium, other = canvas.noise["medium_too"][box], canvas.noise["medium"][box]
    texture = np.float32(tumour.texture_hu)
    radius = np.float32(tumour.diameter_mm / 2)
    if tumour.kind == "cystic":
        canvas.paint(box, distance, 62.0)
        wall = np.float32(1.6 + 0.03 * tumour.diameter_mm)
        inside = distance + wall + np.maximum(other, 0)
        content = np.float32(tumour.hu) + texture * medium
        canvas.paint(box, inside, content)
        septa = np.abs(canvas.noise["coarse"][box]) * np.float32(14.0) - np.float32(0.8)
        canvas.paint(box, np.maximum(septa, inside), 55.0, thickness_mm=1.6)
        return
    hu = np.float32(tumour.hu) + texture * (medium + np.float32(0.6) * canvas.noise["fine"][box])
    canvas.paint(box, distance, hu)
    if tumour.core_share > 0:
        core = distance + radius * np.float32(1 - tumour.core_share ** (1 / 3))
        core += radius * np.float32(0.16) * (medium + other)
        canvas.paint(box, np.maximum(core, distance + 2), 32.0 + 6 * other)


def _paint_pyramids(
    canvas: Canvas, box: Box, kidney: Kidney, frame: Frame, body: Array, hu: float
) -> None:
    """Medulla: blunt cones around the sinus that leave the cortex and columns between them."""
    index = np.arange(_NUM_PYRAMIDS)
    height = 1 - 2 * (index + 0.5) / _NUM_PYRAMIDS
    angle = index * np.pi * (3 - np.sqrt(5))
    ring = np.sqrt(1 - height**2)
    directions = np.stack([height, ring * np.sin(angle), ring * np.cos(angle)], axis=1)
    nearest = np.full(body.shape, 1e3, np.float32)
    for direction in directions[directions[:, 2] > -0.62]:
        centre = tuple(direction * np.asarray(kidney.radii) * 0.58)
        np.minimum(nearest, _ball(frame, centre, (8.0, 7.0, 7.5)), out=nearest)
    nearest += np.float32(1.2) * canvas.noise["medium"][box]
    canvas.paint(box, np.maximum(nearest, body + np.float32(kidney.cortex_mm)), hu)


def _paint_vessels(canvas: Canvas, kidney: Kidney, tissue: dict[str, float]) -> None:
    """Renal vein to the vena cava and artery to the aorta, taken out of the fat's room."""
    hilum = to_world(kidney, (0.0, 0.0, -0.35 * kidney.radii[2]))
    middle = np.array([hilum[0] - 4, -26.0, kidney.side * 34.0])
    ends = {
        "vena_cava": (np.array([hilum[0] - 8, -30.0, -19.0 if kidney.side < 0 else -10.0]), 4.2),
        "aorta": (np.array([hilum[0] - 6, -27.0, 6.0]), 2.6),
    }
    for name, (end, radius) in ends.items():
        bend = middle + (np.array([0, -14.0, 0]) if name == "vena_cava" and kidney.side > 0 else 0)
        found = tube(canvas, np.stack([hilum, bend, end]), radius)
        if found is None:
            continue
        box, distance = found
        distance = np.maximum(distance, canvas.free[box])
        canvas.paint(box, distance, tissue[name], thickness_mm=2 * radius)
        canvas.occupy(box, distance, 1.0)


def paint_kidney(canvas: Canvas, patient: Patient, kidney: Kidney) -> None:
    """Paint one kidney with what belongs to it; labels are set where HU are painted."""
    reach = np.array(kidney.radii) + 8
    low, high = (
        np.asarray(kidney.centre) - reach[[0, 2, 2]],
        np.asarray(kidney.centre) + reach[[0, 2, 2]],
    )
    lean = np.array([0.0, 12.0, 14.0])
    low, high = low - lean, high + lean
    for tumour in kidney.tumours:
        centre = to_world(kidney, tumour.centre)
        low = np.minimum(low, centre - 0.8 * tumour.diameter_mm)
        high = np.maximum(high, centre + 0.8 * tumour.diameter_mm)
    box = canvas.box(tuple(low), tuple(high))
    if box is None:
        return
    tissue, noise = patient.tissue_hu, canvas.noise
    frame = _local(canvas, box, kidney)
    whole = _ball(frame, (0, 0, 0), kidney.radii) + np.float32(1.3) * noise["medium"][box]
    r_z, r_y, r_x = kidney.radii
    sinus = _ball(frame, (0, 0, -0.68 * r_x), (0.45 * r_z, 0.3 * r_y, 0.66 * r_x))
    sinus += np.float32(2.0) * noise["medium_too"][box]
    body = canvas.clip(box, _smooth_outside(whole, sinus, 6.0))
    cysts = np.full(body.shape, 1e3, np.float32)
    for z, y, x, radius in kidney.cysts:
        np.minimum(cysts, _ball(frame, (z, y, x), (radius, radius, radius)), out=cysts)
    cysts = canvas.clip(box, cysts)
    distances = [canvas.clip(box, _tumour_distance(canvas, box, frame, t)) for t in kidney.tumours]

    # Sinus: fat with branches of vein and the pelvis, which the masks leave out.
    inside = canvas.clip(box, np.maximum(whole, sinus))
    canvas.paint(box, inside, tissue["fat"] + 12)
    branch = np.hypot(noise["medium"][box], noise["medium_too"][box]) * 6 - np.float32(2.6)
    canvas.paint(box, np.maximum(branch, inside), tissue["vena_cava"], thickness_mm=4)
    pelvis = _ball(frame, (0.06 * r_z, 0, -0.55 * r_x), (12.0, 5.0, 10.0))
    canvas.paint(box, np.maximum(pelvis, inside + 2), 14.0)

    canvas.paint(box, body, tissue["cortex"] + 5 * noise["fine"][box])
    _paint_pyramids(canvas, box, kidney, frame, body, tissue["medulla"])
    canvas.paint(box, cysts, 9.0)
    for distance, tumour in zip(distances, kidney.tumours, strict=True):
        _paint_tumour(canvas, box, distance, tumour)

    labels = canvas.labels[box]
    labels[(body < 0) | (cysts < 0)] = KIDNEY_LABEL
    for distance in distances:
        labels[distance < 0] = TUMOUR_LABEL
    taken = np.minimum(np.minimum(body, cysts), inside)
    for distance in distances:
        taken = np.minimum(taken, distance)
    canvas.occupy(box, taken, kidney.fat_around_mm)


def paint_kidneys(canvas: Canvas, patient: Patient) -> None:
    """Paint both kidneys and their vessels."""
    for kidney in patient.kidneys:
        paint_kidney(canvas, patient, kidney)
    for kidney in patient.kidneys:
        _paint_vessels(canvas, kidney, patient.tissue_hu)
