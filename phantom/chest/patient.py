"""Draws the parameters of a chest phantom: one anatomy per patient, one pose per visit.

Drawing is apart from painting: a `ChestPatient` holds plain numbers in millimetres and radians,
and every film of it, at any size, is a function of these numbers.

Axes: x to the patient's left, y to the back, z to the feet. z = 0 lies a little below the hila.
"""

from dataclasses import dataclass, replace

import numpy as np

from phantom.fields import SmoothField, draw_field

FINDINGS = ("opacity", "nodule", "effusion", "pneumothorax", "large_heart")
MARKERS = ("L", "L", "L", "R", "L PA", "R PA", "PORTABLE L", "ERECT L")
RIGHT, LEFT = -1, 1


@dataclass(frozen=True)
class Finding:
    """One disease of one film.

    Attributes:
        kind: One of FINDINGS.
        side: RIGHT or LEFT; 0 for the heart.
        strength: From barely visible (above 0) to plain (1).
        seed: Of its details (position, outline), the same on every film of the patient.
    """

    kind: str
    side: int
    strength: float
    seed: int


@dataclass(frozen=True)
class Visit:
    """How the patient stood and how the film was taken; drawn anew for every visit.

    Attributes:
        number: 0 for the first visit.
        rotation_rad: About the long axis; what lies in front moves to the patient's left.
        tilt_rad: In the plane of the film.
        shift_mm: (to the left, to the feet) of the film's centre.
        field_of_view_mm: Side of the square film, in the patient.
        short_breath_mm: How much higher the diaphragm stands than in full inspiration.
        arm_rad: How far the arms are held from the body.
        brightness: Shift of the display curve; negative is darker.
        contrast: Slope of the display curve; 1 is usual.
        sharpening: Gain of the edge enhancement.
        photons: Detected per mm^2 where nothing is in the way.
        shutters_mm: Black border, (left, right, top, bottom).
        shutter_rad: Rotation of that border.
        marker: Lead letters on the detector.
        marker_position: (column, row) of the marker as shares of the film.
        marker_rad: Its rotation.
        num_electrodes: ECG electrodes with wires.
    """

    number: int
    rotation_rad: float
    tilt_rad: float
    shift_mm: tuple[float, float]
    field_of_view_mm: float
    short_breath_mm: float
    arm_rad: float
    brightness: float
    contrast: float
    sharpening: float
    photons: float
    shutters_mm: tuple[float, float, float, float]
    shutter_rad: float
    marker: str
    marker_position: tuple[float, float]
    marker_rad: float
    num_electrodes: int


@dataclass(frozen=True)
class ChestPatient:
    """One drawn chest as it is on one visit. Lengths are in mm, for the patient's own size.

    Attributes:
        seed: Of the whole set.
        index: Number of the patient in the set.
        sex: "F" or "M".
        age_years: 18 to 90.
        size: Linear size; 1 is an adult man of middle height.
        fat_mm: Thickness of the fat under the skin.
        lung_width_mm: From the midline to the inner side of the lowest ribs.
        lung_depth_mm: Half the depth of the thorax's inside.
        apex_z_mm: Top of the lungs.
        dome_z_mm: Tops of the (right, left) diaphragm in full inspiration.
        heart: Linear size of the heart; 1 is usual, 1.35 is plainly too large.
        heart_turn_rad: How much the heart lies (positive) or stands (negative).
        aorta: Linear size of the aortic arch, which grows and stretches with age.
        kyphosis_mm: How far the upper spine bends backwards.
        scoliosis_mm: Amplitude of the spine's bend to the side.
        bone_density: 1 is a young adult.
        rib_slope: How steeply the ribs fall; 1 is usual.
        breast_mm: Radius of the breasts; 0 where they leave no shadow.
        vessel_gain: Thickness of the lungs' vessels.
        gas_mm: Radii of the gas in (stomach, colon); 0 for none.
        has_pacemaker: Generator and two leads.
        fields: Irregularity of outlines and tissue.
        visit: Pose and exposure.
        findings: Empty for a normal film.
    """

    seed: int
    index: int
    sex: str
    age_years: int
    size: float
    fat_mm: float
    lung_width_mm: float
    lung_depth_mm: float
    apex_z_mm: float
    dome_z_mm: tuple[float, float]
    heart: float
    heart_turn_rad: float
    aorta: float
    kyphosis_mm: float
    scoliosis_mm: float
    bone_density: float
    rib_slope: float
    breast_mm: float
    vessel_gain: float
    gas_mm: tuple[float, float]
    has_pacemaker: bool
    fields: dict[str, SmoothField]
    visit: Visit
    findings: tuple[Finding, ...]

    def rng(self, purpose: int) -> np.random.Generator:
        """A generator for details that are the same on every visit (purpose < 100)."""
        return np.random.default_rng([self.seed, self.index, 1, purpose])

    def film_rng(self, purpose: int) -> np.random.Generator:
        """A generator for what differs between films, such as noise."""
        return np.random.default_rng([self.seed, self.index, 2, self.visit.number, purpose])

    def in_full_breath(self) -> "ChestPatient":
        """The same body in full inspiration and without disease: where details are placed."""
        return replace(self, visit=replace(self.visit, short_breath_mm=0.0), findings=())

    def strength_of(self, kind: str, side: int | None = None) -> float:
        """Strength of a finding on this film, 0 where it is absent."""
        found = [f for f in self.findings if f.kind == kind and side in (None, f.side)]
        return max((f.strength for f in found), default=0.0)


def _draw_visit(rng: np.random.Generator, number: int, width_mm: float) -> Visit:
    bounded = np.clip(rng.normal(size=8), -2, 2)
    shutters = np.where(rng.random(4) < 0.3, rng.uniform(2, 22, 4), 0.0)
    is_skewed = rng.random() < 0.5
    marker = str(rng.choice(MARKERS))
    # The letter says which of the patient's sides it lies on; a film is looked at face to face.
    column = rng.uniform(0.84, 0.93) if "L" in marker.split() else rng.uniform(0.07, 0.16)
    return Visit(
        number=number,
        rotation_rad=float(0.035 * bounded[0]),
        tilt_rad=float(0.018 * bounded[1]),
        shift_mm=(float(6 * bounded[2]), float(12 * bounded[3])),
        field_of_view_mm=float(np.clip(2 * width_mm * rng.uniform(1.1, 1.4), 310, 450)),
        short_breath_mm=float(max(rng.normal(4, 9), -6)),
        arm_rad=float(rng.uniform(0.15, 0.75)),
        brightness=float(0.055 * bounded[4]),
        contrast=float(np.exp(0.1 * bounded[5])),
        sharpening=float(rng.uniform(0.2, 0.9)),
        photons=float(np.exp(rng.uniform(np.log(6e4), np.log(5e5)))),
        shutters_mm=(
            float(shutters[0]),
            float(shutters[1]),
            float(shutters[2]),
            float(shutters[3]),
        ),
        shutter_rad=float(0.012 * bounded[6]) if is_skewed else 0.0,
        marker=marker,
        marker_position=(float(column), float(rng.uniform(0.05, 0.14))),
        marker_rad=float(rng.normal(0, 0.12)),
        num_electrodes=int(rng.integers(3, 6)) if rng.random() < 0.1 else 0,
    )


def _draw_findings(rng: np.random.Generator) -> list[tuple[str, int, int]]:
    """Kinds, sides and seeds; none for half of the patients, two for a sixth of the others."""
    if rng.random() < 0.5:
        return []
    kinds = rng.choice(FINDINGS, size=2 if rng.random() < 0.17 else 1, replace=False)
    sides = [0 if kind == "large_heart" else int(rng.choice((RIGHT, LEFT))) for kind in kinds]
    # On one side, air above fluid would need its own rules of drawing.
    if {"effusion", "pneumothorax"} <= set(kinds):
        sides = [RIGHT, LEFT]
    return [(str(k), s, int(rng.integers(2**31))) for k, s in zip(kinds, sides, strict=True)]


def draw_chest_patient(index: int, seed: int = 0, visit: int = 0) -> ChestPatient:
    """Draw a patient as seen on one visit; a function of the three arguments only.

    Visits of a patient share anatomy, devices and kinds of finding, and differ in pose, breath,
    exposure, noise and the findings' strength.

    Args:
        index: Number of the patient, from 0.
        seed: Of the whole set.
        visit: From 0.
    """
    rng = np.random.default_rng([seed, index, 0])
    habitus = float(np.clip(rng.normal(), -1.8, 2.4))
    sex = "F" if rng.random() < 0.46 else "M"
    age = int(np.clip(rng.normal(50, 17), 18, 90))
    old = float(np.clip((age - 45) / 40, 0, 1))
    size = float((0.93 if sex == "F" else 1.0) * np.exp(0.045 * np.clip(rng.normal(), -2, 2)))
    wide = float(np.clip(rng.normal(), -2, 2))
    lung_width = size * (137 + 5 * wide + 2 * habitus)
    has_breasts = sex == "F" or (habitus > 1.4 and rng.random() < 0.7)
    kinds = _draw_findings(rng)
    right_dome = size * (92 + 6 * float(np.clip(rng.normal(), -2, 2)) - 4 * habitus)
    fields = {
        "warp_u": draw_field(rng, 120, 300),
        "warp_z": draw_field(rng, 120, 300),
        "coarse": draw_field(rng, 30, 90),
        "medium": draw_field(rng, 9, 26),
        "fine": draw_field(rng, 3, 8, num_waves=64),
    }
    pose = np.random.default_rng([seed, index, 2, visit])
    return ChestPatient(
        seed=seed,
        index=index,
        sex=sex,
        age_years=age,
        size=size,
        fat_mm=float(np.clip(11 + 7 * habitus + (4 if sex == "F" else 0), 3, 34)),
        lung_width_mm=lung_width,
        lung_depth_mm=size * (78 + 5 * float(np.clip(rng.normal(), -2, 2)) + 5 * old),
        apex_z_mm=-size * float(rng.uniform(122, 134)),
        dome_z_mm=(right_dome, right_dome + size * float(rng.uniform(3, 16))),
        heart=float(np.clip(rng.normal(1.0 + 0.03 * habitus, 0.05), 0.86, 1.12)),
        heart_turn_rad=float(0.06 * habitus - 0.05 * wide + rng.normal(0, 0.07)),
        aorta=float(0.92 + 0.3 * old + rng.normal(0, 0.05)),
        kyphosis_mm=float(8 + 26 * old * rng.random()),
        scoliosis_mm=float(rng.normal(0, 4)),
        bone_density=float((1 - 0.35 * old) * rng.uniform(0.85, 1.12)),
        rib_slope=float(np.clip(rng.normal(1, 0.13), 0.7, 1.3)),
        breast_mm=size * float(np.clip(rng.normal(56 + 9 * habitus, 8), 36, 92)) * has_breasts,
        vessel_gain=float(np.exp(rng.normal(0, 0.13))),
        gas_mm=(
            float(rng.uniform(12, 36)) if rng.random() < 0.8 else 0.0,
            float(rng.uniform(9, 24)) if rng.random() < 0.6 else 0.0,
        ),
        has_pacemaker=bool(rng.random() < 0.02 + 0.16 * old),
        fields=fields,
        visit=_draw_visit(pose, visit, lung_width + 22),
        findings=tuple(
            Finding(kind, side, float(np.round(1 - 0.85 * pose.random() ** 2, 3)), detail)
            for kind, side, detail in kinds
        ),
    )
