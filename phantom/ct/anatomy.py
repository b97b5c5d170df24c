"""What a patient is made of, as plain numbers, and how body and tissue are drawn at random.

Drawing is apart from painting, so that the same patient can be painted on any pixel grid.
Lengths are in mm, points are (z, y, x) with the origin in the spine at the kidneys' height.
"""

from dataclasses import dataclass, field

import numpy as np

from phantom.fields import SmoothField

TUMOUR_KINDS = ("clear_cell", "papillary", "necrotic", "cystic")


@dataclass(frozen=True)
class Torso:
    """Body outline and layers."""

    cavity_width_mm: float
    front_mm: float
    rear_mm: float
    wall_mm: float
    fat_side_mm: float
    fat_front_mm: float
    fat_back_mm: float
    power: float
    taper: float
    disc_z_mm: float
    vertebra_mm: float
    last_rib_z_mm: float
    iliac_z_mm: float
    bone_hu: float


@dataclass(frozen=True)
class Tumour:
    """A tumour in its kidney's own coordinates (length, thickness, outwards)."""

    kind: str
    diameter_mm: float
    centre: tuple[float, float, float]
    stretch: tuple[float, float, float]
    exophytic: float
    hu: float
    texture_hu: float
    core_share: float


@dataclass(frozen=True)
class Kidney:
    """One kidney. `side` is -1 for the patient's right (left in the image), +1 for the left."""

    side: int
    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    turn_rad: float
    lean: tuple[float, float]
    cortex_mm: float
    fat_around_mm: float
    cysts: tuple[tuple[float, float, float, float], ...] = ()
    tumours: tuple[Tumour, ...] = ()


@dataclass(frozen=True)
class Loop:
    """A length of bowel."""

    path: np.ndarray
    radius_mm: float
    content: str
    content_hu: float
    wall_hu: float
    gas_level: float


@dataclass(frozen=True)
class Patient:
    """All that painting needs."""

    torso: Torso
    tissue_hu: dict[str, float]
    kidneys: tuple[Kidney, Kidney]
    colon: Loop
    stomach_gas: float
    small_bowel: tuple[Loop, ...]
    fields: dict[str, SmoothField]
    warp_mm: float
    roll_rad: float
    shift_mm: tuple[float, float]
    field_of_view_mm: float
    first_z_mm: float
    coverage_mm: float
    noise_hu: float
    blur_mm: float
    table_gap_mm: float
    description: dict[str, object] = field(default_factory=dict)


def draw_tissue(rng: np.random.Generator) -> tuple[dict[str, float], float]:
    """HU of the tissues from the contrast phase: 0 late arterial to 1 nephrographic.

    Ranges follow what radiology texts give for abdominal CT after iodine. KiTS19 is late
    arterial, so early phases are the more frequent ones.
    """
    phase = float(rng.beta(1.1, 1.6))
    spread = {name: float(v) for name, v in zip("abcdefgh", rng.normal(size=8), strict=True)}
    steatosis = float(rng.uniform(15, 50)) if rng.random() < 0.15 else 0.0
    uptake = float(rng.uniform(0.68, 1.05))
    tissue = {
        "fat": -103 + 4 * spread["a"],
        "muscle": 56 + 5 * spread["b"] + 6 * phase,
        "liver": 76 + 34 * phase + 8 * spread["c"] - steatosis,
        "liver_vessel": 95 + 75 * phase + 8 * spread["c"],
        "spleen": 112 + 14 * phase + 9 * spread["d"],
        "pancreas": 92 + 7 * spread["e"],
        "aorta": 300 - 135 * phase + 22 * spread["f"],
        "vena_cava": 105 + 45 * phase + 12 * spread["g"],
        "cortex": 38 + (132 - 6 * phase + 8 * spread["h"]) * uptake,
        "medulla": 38 + (44 + 64 * phase + 6 * spread["e"]) * uptake,
        "bowel_wall": 88 + 8 * spread["d"],
    }
    return tissue, phase


def draw_torso(rng: np.random.Generator, habitus: float) -> Torso:
    """Layers of the body; habitus is a standard normal number, larger is heavier."""
    jitter = rng.normal(size=8)
    return Torso(
        cavity_width_mm=124 + 9 * habitus + 5 * jitter[0],
        front_mm=float(np.clip(116 + 14 * habitus + 7 * jitter[1], 90, 160)),
        rear_mm=40 + 3 * habitus + 2 * jitter[2],
        wall_mm=float(np.clip(11.5 + 1.8 * jitter[3], 8, 16)),
        fat_side_mm=float(np.clip(15 + 8 * habitus + 4 * jitter[4], 4, 42)),
        fat_front_mm=float(np.clip(15 + 8 * habitus + 4 * jitter[5], 4, 42)),
        fat_back_mm=float(np.clip(15 + 6 * habitus + 4 * jitter[6], 5, 40)),
        power=float(rng.uniform(2.15, 2.5)),
        taper=float(rng.normal(0, 0.0003)),
        disc_z_mm=float(rng.uniform(-18, 18)),
        vertebra_mm=float(rng.uniform(32, 38)),
        last_rib_z_mm=float(rng.uniform(-45, -15)),
        iliac_z_mm=float(rng.uniform(72, 110)),
        bone_hu=float(rng.uniform(130, 240)),
    )
