"""One synthetic patient as a CT volume with its labels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phantom.ct.canvas import Canvas
from phantom.ct.patient import draw_patient_anatomy, paint_patient
from phantom.ct.scanner import scan
from phantom.ct.torso import body_depth_mm
from phantom.ct.tumour_settings import LARGEST_MM, SMALLEST_MM, USUAL_TUMOURS, TumourSettings
from provenance import UserError

# Slices are painted in blocks of about this many voxels: memory stays that of one patient.
_VOXELS_AT_ONCE = 400_000


@dataclass(frozen=True)
class PhantomPatient:
    """One synthetic patient.

    Attributes:
        hounsfield: (S, H, W) int16 HU in [-1024, 3071]. Slices run from head to feet, rows from
            front to back, columns from the patient's right to the left.
        labels: (S, H, W) uint8: 0 background, 1 kidney, 2 tumour.
        pixel_spacing_mm: Of rows and columns.
        slice_spacing_mm: Of neighbouring slices.
        description: Plain values: habitus, contrast phase, and each tumour's kidney, kind,
            diameter and position. A tumour smaller than a voxel may have no voxel of its own.
    """

    hounsfield: NDArray[np.int16]
    labels: NDArray[np.uint8]
    pixel_spacing_mm: float
    slice_spacing_mm: float
    description: dict[str, Any]


def draw_patient(
    patient_index: int,
    seed: int = 0,
    image_size: int = 64,
    num_slices: int = 24,
    tumours: TumourSettings = USUAL_TUMOURS,
) -> PhantomPatient:
    """Draw one synthetic patient; the result depends on the arguments only.

    The anatomy is a function of (seed, patient_index, tumours), drawn in mm: another image_size or
    num_slices shows the same patient on another grid, with other noise.

    Args:
        patient_index: Which patient, from 0.
        seed: Of the whole set.
        image_size: H = W of a slice in pixels, at least 16.
        num_slices: Slices over the patient's 140 to 195 mm, at least 1.
        tumours: How common and how large they are.
    """
    check_settings(image_size, num_slices, seed, tumours)
    if patient_index < 0:
        raise UserError(f"patient_index is {patient_index}, expected 0 or more.")
    patient = draw_patient_anatomy(np.random.default_rng([seed, patient_index, 0]), tumours)
    pixel_mm = patient.field_of_view_mm / image_size
    slice_mm = patient.coverage_mm / num_slices
    front, rear = body_depth_mm(patient.torso)
    centred = (np.arange(image_size) - (image_size - 1) / 2) * pixel_mm
    # The couch is in the image, so the body lies a little above the middle.
    y_mm = centred + (rear - front) / 2 + 14 + patient.shift_mm[0]
    x_mm = centred + patient.shift_mm[1]
    z_mm = patient.first_z_mm + (np.arange(num_slices) + 0.5) * slice_mm
    hounsfield = np.empty((num_slices, image_size, image_size), np.int16)
    labels = np.empty(hounsfield.shape, np.uint8)
    block = max(1, _VOXELS_AT_ONCE // image_size**2)
    for start in range(0, num_slices, block):
        here = slice(start, min(start + block, num_slices))
        canvas = Canvas(
            z_mm[here], y_mm, x_mm, slice_mm, patient.fields, patient.warp_mm, patient.roll_rad
        )
        paint_patient(canvas, patient)
        labels[here] = canvas.labels
        for offset in range(len(canvas.hu)):
            key = [seed, patient_index, 1, image_size, num_slices, start + offset]
            rng = np.random.default_rng(key)
            hounsfield[start + offset] = scan(
                canvas.hu[offset], rng, pixel_mm, patient.blur_mm, patient.noise_hu
            )
    return PhantomPatient(hounsfield, labels, pixel_mm, slice_mm, patient.description)


def check_settings(image_size: int, num_slices: int, seed: int, tumours: TumourSettings) -> None:
    """Refuse (UserError) a size, a number of slices, a seed or tumours out of range."""
    for name, value, least in (
        ("image_size", image_size, 16),
        ("num_slices", num_slices, 1),
        ("seed", seed, 0),
    ):
        if value < least:
            raise UserError(f"{name} is {value}, expected {least} or more. Nothing was drawn.")
    for name, share, smallest, largest in (
        ("share_with_tumour", tumours.share_of_patients, 0, 1),
        ("tumour_mm", tumours.median_mm, SMALLEST_MM, LARGEST_MM),
    ):
        if not smallest <= share <= largest:
            raise UserError(
                f"{name} is {share:g}, expected {smallest} to {largest}. Nothing was drawn."
            )
