"""Phantom CT: synthetic abdominal volumes with kidney and tumour labels, in KiTS19's layout.

For quickstarts and tests: images that are nobody's, that need no download, and that a network
must still learn. They say nothing about real patients.
"""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.phantom.canvas import Canvas
from datamodules.phantom.files import claim_folder, is_finished, write_case
from datamodules.phantom.patient import draw_patient_anatomy, paint_patient
from datamodules.phantom.scanner import scan
from datamodules.phantom.torso import body_depth_mm
from provenance import UserError

# Slices are painted in blocks of about this many voxels: memory stays that of one patient.
_VOXELS_AT_ONCE = 400_000
# Not forked: the caller may have started threads (torch, a progress bar). The price is that each
# process imports anew, so workers pay for large images only.
_START_METHOD = "spawn"
Progress = Callable[[int, int, str], None]


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
            diameter and place. A tumour smaller than a voxel may have no voxel of its own.
    """

    hounsfield: NDArray[np.int16]
    labels: NDArray[np.uint8]
    pixel_spacing_mm: float
    slice_spacing_mm: float
    description: dict[str, Any]


def _check_settings(image_size: int, num_slices: int, seed: int) -> None:
    for name, value, least in (
        ("image_size", image_size, 16),
        ("num_slices", num_slices, 1),
        ("seed", seed, 0),
    ):
        if value < least:
            raise UserError(f"{name} is {value}, expected {least} or more. Nothing was drawn.")


def draw_patient(
    patient_index: int, seed: int = 0, image_size: int = 64, num_slices: int = 24
) -> PhantomPatient:
    """Draw one synthetic patient; the result depends on the four arguments only.

    The anatomy is a function of (seed, patient_index), drawn in mm: another image_size or
    num_slices shows the same patient on another grid, with other noise.

    Args:
        patient_index: Which patient, from 0.
        seed: Of the whole set.
        image_size: H = W of a slice in pixels, at least 16.
        num_slices: Slices over the patient's 140 to 195 mm, at least 1.
    """
    _check_settings(image_size, num_slices, seed)
    if patient_index < 0:
        raise UserError(f"patient_index is {patient_index}, expected 0 or more.")
    patient = draw_patient_anatomy(np.random.default_rng([seed, patient_index, 0]))
    pixel_mm = patient.field_of_view_mm / image_size
    slice_mm = patient.coverage_mm / num_slices
    front, rear = body_depth_mm(patient.torso)
    centred = (np.arange(image_size) - (image_size - 1) / 2) * pixel_mm
    # The couch is in the picture, so the body lies a little above the middle.
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


def _write_case(case: Path, index: int, seed: int, image_size: int, num_slices: int) -> None:
    write_case(case, draw_patient(index, seed, image_size, num_slices))


def write_phantom_ct(
    out: Path,
    num_patients: int = 40,
    image_size: int = 64,
    num_slices: int = 24,
    seed: int = 0,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[Path]:
    """Write synthetic patients as `case_00000/imaging.nii.gz` and `segmentation.nii.gz`.

    Finished patients are left untouched, so an interrupted run continues where it stopped, and
    a larger `num_patients` adds to a set. A case's `phantom_patient.json` is written last and
    marks it finished.

    Args:
        out: Folder of the set; made when missing.
        num_patients: Patients 0 to num_patients - 1.
        image_size: H = W in pixels, at least 16.
        num_slices: Slices of each patient.
        seed: Of the whole set.
        workers: Processes; each holds one patient in memory.
        progress: Called as (done, total, case) after each patient.

    Returns:
        The case folders in order.

    Raises:
        UserError: Settings out of range, or `out` holds something else than this set.
    """
    out = Path(out)
    _check_settings(image_size, num_slices, seed)
    for name, number in (("num_patients", num_patients), ("workers", workers)):
        if number < 1:
            raise UserError(f"{name} is {number}, expected 1 or more.")
    claim_folder(out, {"image_size": image_size, "num_slices": num_slices, "seed": seed})
    cases = [out / f"case_{index:05d}" for index in range(num_patients)]
    todo = [i for i, case in enumerate(cases) if not is_finished(case)]
    done = num_patients - len(todo)
    if progress is not None and done:
        progress(done, num_patients, cases[done - 1].name)

    def report(index: int) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, num_patients, cases[index].name)

    if workers == 1 or len(todo) < 2:
        for index in todo:
            _write_case(cases[index], index, seed, image_size, num_slices)
            report(index)
        return cases
    with ProcessPoolExecutor(
        min(workers, len(todo)), mp_context=get_context(_START_METHOD)
    ) as pool:
        futures = {
            pool.submit(_write_case, cases[i], i, seed, image_size, num_slices): i for i in todo
        }
        for future in as_completed(futures):
            future.result()
            report(futures[future])
    return cases
