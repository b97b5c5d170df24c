"""Phantom CT: synthetic abdominal volumes with kidney and tumour labels, in KiTS19's layout.

For quickstarts and tests: images that are nobody's, that need no download, and that a network
must still learn. They say nothing about real patients.
"""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from phantom.ct.nifti_case import claim_folder, is_finished, write_case
from phantom.ct.volume import check_settings, draw_patient
from provenance import UserError

# Not forked: the caller may have started threads (torch, a progress bar). The price is that each
# process imports anew, so workers pay for large images only.
_START_METHOD = "spawn"
Progress = Callable[[int, int, str], None]


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
    check_settings(image_size, num_slices, seed)
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
