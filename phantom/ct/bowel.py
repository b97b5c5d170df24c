"""Draws and paints colon, small bowel, and the vessels of the mesentery between them."""

import numpy as np

from phantom.ct.anatomy import Loop, Patient, Torso
from phantom.ct.canvas import Canvas, tube

_COLON = np.array(
    [
        (125, 2, -100), (70, 0, -106), (32, -18, -98), (16, -52, -84), (34, -84, -50),
        (44, -92, 0), (30, -88, 45), (-2, -66, 84), (-24, -36, 108), (-4, -6, 113),
        (45, 2, 114), (90, 2, 110), (130, 0, 104),
    ],
    float,
)  # fmt: skip


def _scale(points: np.ndarray, torso: Torso) -> np.ndarray:
    """Fit points (z, y, x) given for the middle-sized cavity into this one."""
    return points * [1, torso.front_mm / 112, torso.cavity_width_mm / 130]


def draw_colon(rng: np.random.Generator, torso: Torso, tissue_hu: dict[str, float]) -> Loop:
    """Draw the colon: a frame around the small bowel, filled with stool and some gas."""
    path = _scale(_COLON, torso) + rng.normal(0, 5, _COLON.shape)
    return Loop(
        path=path,
        radius_mm=float(rng.uniform(14, 21)),
        content="stool",
        content_hu=float(rng.uniform(5, 55)),
        wall_hu=tissue_hu["bowel_wall"] - 12,
        gas_level=float(rng.uniform(-0.2, 1.0)),
    )


def draw_small_bowel(
    rng: np.random.Generator, torso: Torso, tissue_hu: dict[str, float]
) -> tuple[Loop, ...]:
    """Draw loops as random walks that turn slowly; some patients drank contrast."""
    oral_contrast = float(rng.uniform(140, 420)) if rng.random() < 0.2 else None
    low, high = np.array([2.0, -92.0, -84.0]), np.array([130.0, -36.0, 88.0])
    loops = []
    for number in range(15):
        # The first two lie high on the left, where the jejunum is; one is the duodenum.
        start = rng.uniform(low, high)
        if number < 2:
            start = np.array([rng.uniform(-18, 12), rng.uniform(-75, -40), rng.uniform(35, 80)])
        if number == 2:
            start = np.array([-2.0, -48.0, -46.0])
        points, step = [start], rng.normal(size=3)
        for _ in range(14):
            step = 0.72 * step / np.linalg.norm(step) + 0.5 * rng.normal(size=3)
            point = points[-1] + 13 * step / np.linalg.norm(step)
            bounded = np.clip(point, low - [18 if number < 2 else 0, 0, 0], high)
            step = np.where(bounded != point, -step, step)
            points.append(bounded)
        filled = oral_contrast is not None and rng.random() < 0.7
        loops.append(
            Loop(
                path=_scale(np.array(points), torso),
                radius_mm=float(rng.uniform(9.5, 14.5)),
                content="contrast" if filled else "fluid",
                content_hu=oral_contrast
                if filled and oral_contrast
                else float(rng.uniform(12, 60)),
                wall_hu=tissue_hu["bowel_wall"] + float(rng.uniform(-15, 25)),
                gas_level=float(rng.uniform(0.3, 1.6)),
            )
        )
    return tuple(loops)


def _paint_loop(canvas: Canvas, loop: Loop) -> None:
    found = tube(canvas, loop.path, loop.radius_mm)
    if found is None:
        return
    box, shape = found
    noise = canvas.noise
    medium, other, fine = noise["medium"][box], noise["medium_too"][box], noise["fine"][box]
    # Haustra and folds: the calibre varies along the loop.
    shape = shape + np.float32(0.13 * loop.radius_mm) * (medium + other)
    shape = canvas.clip(box, shape)
    canvas.paint(box, shape, loop.wall_hu + 6 * fine)
    thick = np.float32(2.0 if loop.content == "stool" else 2.8)
    lumen = shape + thick + np.maximum(fine, 0)
    if loop.content == "stool":
        canvas.paint(box, lumen, loop.content_hu + 16 * medium + 14 * fine)
        bubbles = np.maximum(lumen + 1, (np.float32(1.15) - fine) * 2.2)
        canvas.paint(box, bubbles, -620.0, thickness_mm=3.5)
    else:
        canvas.paint(box, lumen, loop.content_hu + 8 * medium + 10 * fine)
    # Gas collects where the loop faces the front; the level is a plane.
    height = np.interp(canvas.axes[0][box[0]], *_sorted_height(loop.path)).astype(np.float32)[
        :, None, None
    ]
    level = height - np.float32(loop.gas_level * loop.radius_mm) + 6 * noise["coarse"][box]
    canvas.paint(box, np.maximum(lumen, canvas.y[box] - level), -940.0)
    canvas.occupy(box, shape, 1.6)


def _sorted_height(path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(path[:, 0], kind="stable")
    return path[order, 0], path[order, 1]


def paint_bowel(canvas: Canvas, patient: Patient) -> None:
    """Paint the colon, then loop after loop of small bowel into the room that is left."""
    _paint_loop(canvas, patient.colon)
    for loop in patient.small_bowel:
        _paint_loop(canvas, loop)


def paint_mesentery(canvas: Canvas, patient: Patient) -> None:
    """Small vessels and strands in the fat that no organ took, in front of the spine."""
    noise = canvas.noise
    room = np.maximum(canvas.free + 1.5, canvas.y + 22)
    vessel = np.hypot(noise["medium"], noise["coarse"]) * 5.5 - np.float32(1.2)
    canvas.paint(canvas.whole, np.maximum(vessel, room), 120.0, thickness_mm=2.4)
    vessel = np.hypot(noise["medium_too"], noise["medium"]) * 4.5 - np.float32(0.8)
    canvas.paint(canvas.whole, np.maximum(vessel, room), 90.0, thickness_mm=1.6)
