"""Draws kidneys, their cysts and their tumours at random."""

import numpy as np

from phantom.ct.anatomy import TUMOUR_KINDS, Kidney, Tumour
from phantom.ct.tumour_settings import LARGEST_MM, SMALLEST_MM, USUAL_TUMOURS, TumourSettings

# Shares of the kinds; clear-cell carcinoma dominates, as in KiTS19.
_KIND_SHARES = (0.42, 0.2, 0.22, 0.16)
_SHARE_WITH_SECOND = 0.1
_SHARE_WITH_CYSTS = 0.35


def _draw_direction(rng: np.random.Generator, turn_rad: float, inside: bool) -> np.ndarray:
    """A unit vector (length, thickness, outwards) that does not point at the hilum.

    What bulges out of the kidney must also have room: not towards the spine or the back's wall.
    """
    cos, sin = np.cos(turn_rad), np.sin(turn_rad)
    while True:
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        along, through, out = direction
        backwards, sideways = cos * through + sin * out, cos * out - sin * through
        has_room = backwards < 0.2 and sideways > -0.2 and abs(along) < 0.85
        within = backwards < 0.5 and sideways > -0.3 and abs(along) < 0.95
        if out > -0.35 and (has_room or (inside and within)):
            return direction


def _centre_of(direction: np.ndarray, radii: np.ndarray, outside: float, size: float) -> np.ndarray:
    """Centre of a ball: at the kidney's surface, moved by `outside` of its radius outwards."""
    surface = direction / np.linalg.norm(direction / radii)
    return surface + direction * outside * size


def draw_tumour(
    rng: np.random.Generator,
    radii: tuple[float, float, float],
    turn_rad: float,
    tissue_hu: dict[str, float],
    median_mm: float = TumourSettings.median_mm,
) -> Tumour:
    """Draw kind, size, position and texture.

    Diameters are log-normal around their median, kept within 5 to 60 mm. Mean HU
    overlaps with kidney medulla, spleen, liver and unopacified bowel, so that a threshold cannot
    find a tumour.
    """
    kind = str(rng.choice(TUMOUR_KINDS, p=_KIND_SHARES))
    drawn = np.exp(rng.normal(np.log(median_mm), 0.5))
    diameter = float(np.clip(drawn, SMALLEST_MM, LARGEST_MM))
    # -0.8: inside the kidney; +0.55: a short contact. Big ones have no room inside.
    exophytic = float(rng.uniform(-0.8 if diameter < 30 else -0.3, 0.55))
    direction = _draw_direction(rng, turn_rad, inside=exophytic < -0.5)
    centre = _centre_of(direction, np.asarray(radii), exophytic, diameter / 2)
    cortex, medulla = tissue_hu["cortex"], tissue_hu["medulla"]
    hu, texture, core = {
        "clear_cell": (rng.uniform(0.45, 0.85) * cortex, rng.uniform(16, 32), 0.16),
        "papillary": (rng.uniform(52, min(92, medulla)), rng.uniform(3, 8), 0.0),
        "necrotic": (rng.uniform(85, 135), rng.uniform(8, 18), 0.5),
        "cystic": (rng.uniform(6, 24), 2.0, 0.88),
    }[kind]
    if kind == "clear_cell" and diameter < 25:
        core = 0.0
    stretch = rng.uniform(0.85, 1.18, size=3)
    stretch /= stretch.prod() ** (1 / 3)
    return Tumour(
        kind=kind,
        diameter_mm=diameter,
        centre=(float(centre[0]), float(centre[1]), float(centre[2])),
        stretch=(float(stretch[0]), float(stretch[1]), float(stretch[2])),
        exophytic=exophytic,
        hu=float(hu),
        texture_hu=float(texture),
        core_share=float(core * rng.uniform(0.8, 1.1)),
    )


def _draw_cysts(
    rng: np.random.Generator, radii: tuple[float, float, float], turn_rad: float
) -> tuple[tuple[float, float, float, float], ...]:
    """Simple cysts, which belong to the kidney in KiTS19's labels: (centre, radius) each."""
    cysts = []
    for _ in range(int(rng.integers(1, 4))):
        radius = float(np.clip(np.exp(rng.normal(np.log(6), 0.45)), 2.5, 14))
        direction = _draw_direction(rng, turn_rad, inside=True)
        centre = _centre_of(direction, np.asarray(radii), rng.uniform(-0.8, 0.1), radius)
        cysts.append((float(centre[0]), float(centre[1]), float(centre[2]), radius))
    return tuple(cysts)


def draw_kidneys(
    rng: np.random.Generator,
    habitus: float,
    tissue_hu: dict[str, float],
    tumour_settings: TumourSettings = USUAL_TUMOURS,
) -> tuple[Kidney, Kidney]:
    """Draw the right and the left kidney of one patient; the left lies a little higher."""
    has_tumour = rng.random() < tumour_settings.share_of_patients
    tumour_side = -1 if rng.random() < 0.5 else 1
    has_second = rng.random() < _SHARE_WITH_SECOND
    size = float(np.clip(rng.normal(1, 0.08), 0.82, 1.2))
    fat = float(np.clip(7 + 4 * habitus + 2 * rng.normal(), 2, 18))

    def one(side: int) -> Kidney:
        own = size * rng.uniform(0.93, 1.07)
        radii = (
            float(55 * own * rng.uniform(0.94, 1.08)),
            float(28 * own * rng.uniform(0.92, 1.08)),
            float(30 * own * rng.uniform(0.92, 1.08)),
        )
        turn = float(np.radians(rng.uniform(18, 48)))
        num_tumours = 1 + int(has_second) if has_tumour and side == tumour_side else 0
        return Kidney(
            side=side,
            centre=(
                float(rng.normal(8 if side < 0 else -4, 8)),
                float(-4 + 3 * rng.normal() - 1.5 * habitus),
                float(side * (65 + 3.5 * habitus + 3 * rng.normal())),
            ),
            radii=radii,
            turn_rad=turn,
            lean=(float(rng.uniform(0.1, 0.26)), float(rng.uniform(-0.22, -0.06))),
            cortex_mm=float(rng.uniform(5.5, 8)),
            fat_around_mm=fat,
            cysts=_draw_cysts(rng, radii, turn) if rng.random() < _SHARE_WITH_CYSTS else (),
            tumours=tuple(
                draw_tumour(rng, radii, turn, tissue_hu, tumour_settings.median_mm)
                for _ in range(num_tumours)
            ),
        )

    return one(-1), one(1)
