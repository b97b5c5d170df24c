"""Paints the body's layers: table, skin, fat, muscle, ribs, lung bases; frees the cavity."""

import numpy as np

from phantom.ct.anatomy import Patient, Torso
from phantom.ct.canvas import Canvas, superellipse
from phantom.fields import Array

# The muscles of the back end here behind the spine's origin; skin and fat follow.
BACK_MUSCLE_MM = 62.0


def _ring(canvas: Canvas, torso: Torso, front: float, rear: float, width: float) -> Array:
    """Distance to a layer that reaches from -front to +rear, `width` to either side."""
    centre, height = (rear - front) / 2, (rear + front) / 2
    taper = 1 + np.float32(torso.taper) * canvas.z
    return superellipse(
        canvas.y - np.float32(centre),
        canvas.x,
        np.float32(height) * taper,
        np.float32(width) * taper,
        torso.power,
    )


def body_depth_mm(torso: Torso) -> tuple[float, float]:
    """How far the skin lies in front of and behind the spine's origin."""
    front = torso.front_mm + 0.85 * torso.wall_mm + torso.fat_front_mm
    return front, BACK_MUSCLE_MM + torso.fat_back_mm


def _paint_table(canvas: Canvas, patient: Patient) -> None:
    """Two thin shells of a carbon couch with a foam core, curved like a cradle."""
    z, y, x = canvas.axes
    back = body_depth_mm(patient.torso)[1] + patient.table_gap_mm
    across = np.abs(np.asarray(x, np.float32))[None, :] / 215
    top = np.asarray(y, np.float32)[:, None] - (np.float32(back) - 34 * across**2.6)
    inside = np.maximum(np.abs(top - 14) - 14, (across - 1) * 215)
    shape = (len(z), len(y), len(x))
    box = canvas.whole
    # Never thinner than a pixel and a half: a line that comes and goes is no couch.
    for offset, hu in ((0.0, 60.0), (max(2.4, 1.5 * float(canvas.edge_mm)), -880.0)):
        distance = np.broadcast_to((inside + np.float32(offset)).astype(np.float32), shape)
        canvas.paint(box, distance, hu)


def _paint_ribs(canvas: Canvas, patient: Patient, muscle: Array) -> None:
    """All ribs at once: bands that run down the wall from the spine to the front."""
    torso = patient.torso
    centre = (torso.rear_mm - torso.front_mm) / 2
    angle = np.arctan2(np.abs(canvas.x), canvas.y - np.float32(centre))
    pitch = np.float32(27.0)
    height = canvas.z - np.float32(torso.last_rib_z_mm) - 50 * angle
    number = np.minimum(np.round(height / pitch), 0)
    # The twelfth and the eleventh rib end early, the others in cartilage.
    reach = np.where(number == 0, 0.95, np.where(number == -1, 1.45, 2.25)).astype(np.float32)
    radial = (muscle + np.float32(6.0)) / np.float32(3.6)
    norm = np.sqrt(radial**2 + ((height - number * pitch) / np.float32(5.8)) ** 2)
    distance = np.maximum((norm - 1) * 3.6, (angle - reach) * 80)
    distance = np.maximum(distance, (np.float32(0.3) - angle) * 60)
    canvas.paint(canvas.whole, distance, 560.0)
    canvas.paint(canvas.whole, distance + 1.8, torso.bone_hu)
    cartilage = np.maximum((norm - 1) * 3.6, np.maximum(reach - angle, angle - 2.75) * 80)
    cartilage = np.where(number <= -2, cartilage, np.float32(50.0))
    canvas.paint(canvas.whole, cartilage, 95.0)


def _paint_lungs(canvas: Canvas, patient: Patient, cavity: Array) -> None:
    """Lung in the recess between wall and dome, wider towards the head and the back."""
    top = patient.torso.last_rib_z_mm - 16
    depth = np.clip((np.float32(top) - canvas.z) * np.float32(0.5), 0, 70)
    depth = depth * np.clip((canvas.y + 45) / 55, 0, 1) + 3 * canvas.noise["coarse"] * (depth > 0)
    lung = np.maximum(cavity + 2, -cavity - depth)
    lung = np.maximum(lung, np.float32(20) - np.abs(canvas.x))
    share = canvas.coverage(lung) * (depth > 0.5)
    canvas.blend(canvas.whole, share, -850 + 40 * canvas.noise["medium"])
    vessel = np.hypot(canvas.noise["coarse"], canvas.noise["medium"]) * 9 - np.float32(1.2)
    canvas.blend(canvas.whole, canvas.coverage(np.maximum(vessel, lung), 2.4) * (depth > 0.5), 40.0)
    np.maximum(canvas.free, np.where(depth > 0.5, 2 - lung, -1e3), out=canvas.free)


def paint_torso(canvas: Canvas, patient: Patient) -> None:
    """Paint the layers from outside to inside; what is left free is the abdominal cavity."""
    torso, tissue, noise = patient.torso, patient.tissue_hu, canvas.noise
    whole = canvas.whole
    _paint_table(canvas, patient)
    front, rear = body_depth_mm(torso)
    muscle_width = torso.cavity_width_mm + torso.wall_mm
    body = _ring(canvas, torso, front, rear, muscle_width + torso.fat_side_mm)
    # The furrow over the spine.
    body += np.float32(7) * np.exp(-((canvas.x / 14) ** 2)) * (canvas.y > 0)
    fat = np.float32(tissue["fat"]) + 5 * noise["coarse"] + 4 * noise["fine"]
    # Its weight flattens the back against the couch.
    flat = canvas.y - np.float32(rear - 5) - np.float32(0.15) * torso.fat_back_mm
    body = np.maximum(body, flat)
    canvas.paint(whole, body, 5.0)
    canvas.paint(whole, body + 2.0, fat)
    septa = np.abs(noise["coarse_too"]) * 16 - np.float32(0.5)
    canvas.paint(whole, np.maximum(septa, body + 5), -60.0, thickness_mm=0.9)

    outer = _ring(
        canvas, torso, torso.front_mm + 0.85 * torso.wall_mm, BACK_MUSCLE_MM, muscle_width
    )
    cavity = _ring(canvas, torso, torso.front_mm, torso.rear_mm, torso.cavity_width_mm)
    cavity += np.float32(0.8) * noise["medium"]
    muscle_hu = np.float32(tissue["muscle"]) + 7 * noise["fine"] + 4 * noise["medium"]
    canvas.paint(whole, outer + np.float32(0.8) * noise["medium_too"], muscle_hu)
    # Fat between the three flat muscles of the flank, and beside and between the recti.
    flank = np.clip((np.abs(canvas.x) - 85) / 15, 0, 1) * (canvas.y < 45)
    for depth in (0.36, 0.68):
        line = np.abs(outer + np.float32(depth * torso.wall_mm)) - np.float32(0.6)
        canvas.blend(whole, canvas.coverage(line, 1.2) * flank, -40.0)
    gap = np.minimum(np.abs(np.abs(canvas.x) - 74) - 5, np.abs(canvas.x) - 3)
    gap = np.maximum(gap, np.maximum(np.abs(outer + 4) - 3, canvas.y + 40))
    canvas.paint(whole, gap, -75.0, thickness_mm=5)

    canvas.paint(whole, cavity, fat + 3)
    canvas.free = cavity + np.float32(1.0)
    _paint_ribs(canvas, patient, outer)
    _paint_lungs(canvas, patient, cavity)
