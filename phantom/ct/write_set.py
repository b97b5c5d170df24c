"""Phantom CT: synthetic abdominal volumes with kidney and tumour labels, in KiTS19's layout.

For quickstarts and tests: images that are nobody's, that need no download, and that a network
must still learn. They say nothing about real patients.
"""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from output_folder import claim_folder
from phantom.ct.nifti_case import is_finished, write_case
from phantom.ct.tumour_settings import USUAL_TUMOURS, TumourSettings
from phantom.ct.volume import check_settings, draw_patient
from provenance import UserError, __version__
from worker_pool import in_processes

SETTINGS_FILE = "phantom.json"
_FORMAT = "understudy-phantom-ct"
# Raised whenever the same settings give other voxels, so that a set is never half old.
_DRAWING_VERSION = 1
_NOTE = "Drawn by a program: synthetic, nobody's anatomy, not for clinical conclusions."
Progress = Callable[[int, int, str], None]


def _write_case(
    index: int, out: Path, seed: int, image_size: int, num_slices: int, tumours: TumourSettings
) -> None:
    write_case(_case(out, index), draw_patient(index, seed, image_size, num_slices, tumours))


def _case(out: Path, index: int) -> Path:
    return out / f"case_{index:05d}"


def write_phantom_ct(
    out: Path,
    num_patients: int = 40,
    image_size: int = 64,
    num_slices: int = 24,
    seed: int = 0,
    workers: int = 1,
    progress: Progress | None = None,
    tumours: TumourSettings = USUAL_TUMOURS,
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
        workers: Processes; each holds one patient in memory. They pay for large images only.
        progress: Called as (done, total, case) after each patient.
        tumours: How common and how large they are.

    Returns:
        The case folders in order.

    Raises:
        UserError: Settings out of range, or `out` holds something else than this set.
    """
    out = Path(out)
    check_settings(image_size, num_slices, seed, tumours)
    for name, number in (("num_patients", num_patients), ("workers", workers)):
        if number < 1:
            flag = name.replace("_", "-")
            raise UserError(f"--{flag} {number}: expected 1 or more. Nothing was written.")
    identity: dict[str, Any] = {
        "format": _FORMAT,
        "drawing_version": _DRAWING_VERSION,
        "image_size": image_size,
        "num_slices": num_slices,
        "seed": seed,
    }
    if tumours != USUAL_TUMOURS:  # sets of earlier versions name none, and are these
        identity["tumours"] = asdict(tumours)
    note = {"synthetic": True, "note": _NOTE, "software_version": __version__}
    claim_folder(out, SETTINGS_FILE, identity, "phantom set", note=note)
    cases = [_case(out, index) for index in range(num_patients)]
    todo = [i for i, case in enumerate(cases) if not is_finished(case)]
    done = num_patients - len(todo)
    if progress is not None and done:
        progress(done, num_patients, cases[done - 1].name)
    work = partial(
        _write_case,
        out=out,
        seed=seed,
        image_size=image_size,
        num_slices=num_slices,
        tumours=tumours,
    )
    for index, _ in in_processes(work, todo, workers):
        done += 1
        if progress is not None:
            progress(done, num_patients, cases[index].name)
    return cases
