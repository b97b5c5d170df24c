"""Draws a whole patient, and paints a block of its slices organ by organ."""

import numpy as np

from phantom.ct.anatomy import Patient, draw_tissue, draw_torso
from phantom.ct.bowel import draw_colon, draw_small_bowel, paint_bowel, paint_mesentery
from phantom.ct.canvas import Canvas
from phantom.ct.kidneys import draw_kidneys
from phantom.ct.organs import paint_organs
from phantom.ct.renal import paint_kidneys
from phantom.ct.spine import paint_spine
from phantom.ct.torso import paint_torso
from phantom.ct.tumour_settings import USUAL_TUMOURS, TumourSettings
from phantom.fields import draw_field


def draw_patient_anatomy(
    rng: np.random.Generator, tumours: TumourSettings = USUAL_TUMOURS
) -> Patient:
    """Draw everything about one patient and one examination from one generator."""
    habitus = float(np.clip(rng.normal(), -1.7, 2.0))
    torso = draw_torso(rng, habitus)
    tissue, phase = draw_tissue(rng)
    kidneys = draw_kidneys(rng, habitus, tissue, tumours)
    colon = draw_colon(rng, torso, tissue)
    small_bowel = draw_small_bowel(rng, torso, tissue)
    fields = {
        "warp_z": draw_field(rng, 90, 260),
        "warp_y": draw_field(rng, 80, 260),
        "warp_x": draw_field(rng, 80, 260),
        "coarse": draw_field(rng, 32, 70),
        "coarse_too": draw_field(rng, 32, 70),
        "medium": draw_field(rng, 12, 26),
        "medium_too": draw_field(rng, 12, 26),
        "fine": draw_field(rng, 3, 9, num_waves=64),
    }
    body_width = 2 * (torso.cavity_width_mm + torso.wall_mm + torso.fat_side_mm)
    body_depth = torso.front_mm + torso.wall_mm + torso.fat_front_mm + 64 + torso.fat_back_mm
    field_of_view = max(body_width * rng.uniform(1.06, 1.25), body_depth * 1.2)
    coverage = float(rng.uniform(140, 195))
    drawn = [(k.side, t) for k in kidneys for t in k.tumours]
    return Patient(
        torso=torso,
        tissue_hu=tissue,
        kidneys=kidneys,
        colon=colon,
        stomach_gas=float(rng.uniform(-0.2, 0.9)),
        small_bowel=small_bowel,
        fields=fields,
        warp_mm=float(rng.uniform(2.4, 3.6)),
        roll_rad=float(np.clip(rng.normal(0, 0.04), -0.1, 0.1)),
        shift_mm=(float(rng.normal(0, 5)), float(rng.normal(0, 5))),
        field_of_view_mm=float(np.clip(field_of_view, 320, 520)),
        first_z_mm=-coverage / 2 + float(rng.uniform(-14, 14)),
        coverage_mm=coverage,
        noise_hu=float(rng.uniform(12, 28)),
        blur_mm=float(rng.uniform(0.55, 0.95)),
        table_gap_mm=float(rng.uniform(3, 12)),
        description={
            "habitus": round(habitus, 3),
            "contrast_phase": round(phase, 3),
            "tumours": [
                {
                    "kidney": "right" if side < 0 else "left",
                    "kind": t.kind,
                    "diameter_mm": round(t.diameter_mm, 1),
                    "exophytic": round(t.exophytic, 2),
                }
                for side, t in drawn
            ],
            "num_benign_cysts": sum(len(k.cysts) for k in kidneys),
        },
    )


def paint_patient(canvas: Canvas, patient: Patient) -> None:
    """Paint everything on a block of slices.

    What comes first keeps its room: the kidneys, whose labels must be exact, before the organs
    that yield to them.
    """
    paint_torso(canvas, patient)
    paint_spine(canvas, patient)
    paint_kidneys(canvas, patient)
    paint_organs(canvas, patient)
    paint_bowel(canvas, patient)
    paint_mesentery(canvas, patient)
