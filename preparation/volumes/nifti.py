"""NIfTI volumes in KiTS19's layout: `case_00000/imaging.nii.gz` and `segmentation.nii.gz`."""

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.openers import Opener
from numpy.typing import NDArray

from preparation.pseudonym import Naming
from preparation.volumes.mask_values import MaskValues, changed
from preparation.volumes.nifti_grid import FILE_ORDER, Grid, grid_of, mask_on_image, notes_on
from preparation.volumes.volume import (
    AIR_HU,
    MAX_HU,
    Found,
    Job,
    SkipVolume,
    Volume,
    all_marked_note,
    check_image,
    check_labels,
    existing_folder,
    found_each,
    is_synthetic,
    named_folder,
)
from provenance import UserError
from synthetic_marks import mark_in_nifti

UNREADABLE = (OSError, EOFError, zlib.error, ValueError, ImageFileError)
_BLOCK_BYTES = 16 << 20
# A label that a rescale slope was multiplied into, in single precision, is still whole.
_WHOLE = 1e-3
# Folders, and files of each, in a sentence.
_SHOWN = 3


def find_cases(
    source: Path,
    masks_alone: bool = False,
    values: MaskValues = MaskValues(),
    naming: Naming = Naming(),
) -> Found:
    """List the cases under a folder, or under its `data` folder. The folder's name is the patient.

    Args:
        source: Holds one folder per case.
        masks_alone: Look for `segmentation.nii.gz` only.
        values: What the values of the masks mean.
        naming: How patients are named.

    Returns:
        Jobs sorted by the folders' names, and the cases that lack a file or have an unreadable
        header.

    Raises:
        UserError: The folder is missing or has no case in it.
    """
    existing_folder(source)
    roots = [source / "data", source]
    for root in roots:
        inside = sorted(root.glob("*/"))
        folders = [folder for folder in inside if _is_case(folder)]
        if folders:
            break
    else:
        wanted = "segmentation.nii.gz" if masks_alone else "imaging.nii.gz and segmentation.nii.gz"
        raise UserError(
            f"--source {source}: holds no case. Expected folders such as case_00000 with {wanted} "
            "in them (KiTS19's layout), directly or under data/."
        )
    found = Found(naming=naming)
    found.notes += passed_over_note([folder for folder in inside if folder not in set(folders)])
    return found_each(folders, found, lambda folder: _job(folder, masks_alone, values, found))


def _is_case(folder: Path) -> bool:
    """Whether it holds a volume; one that cannot be opened may, and is then listed."""
    try:
        return _volume(folder, "segmentation") is not None or _volume(folder, "imaging") is not None
    except OSError:
        return True


def passed_over_note(folders: Sequence[Path]) -> list[str]:
    """A sentence on folders that may have been meant as cases, with what they hold."""
    folders = [folder for folder in folders if not folder.name.startswith(".")]
    if not folders:
        return []
    held = []
    for folder in folders[:_SHOWN]:
        names = sorted(path.name for path in folder.iterdir())
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        holds = f"holds {', '.join(names[:_SHOWN])}{more}" if names else "is empty"
        held.append(f"{folder.name} {holds}")
    more = f"; and {len(folders) - _SHOWN} more" if len(folders) > _SHOWN else ""
    one = len(folders) == 1
    return [
        f"{len(folders)} {'folder holds' if one else 'folders hold'} neither imaging.nii.gz nor "
        f"segmentation.nii.gz and {'is' if one else 'are'} no case: {'; '.join(held)}{more}. Copy "
        "or rename the files if a case was meant."
    ]


def _volume(folder: Path, stem: str) -> Path | None:
    for suffix in (".nii.gz", ".nii"):
        if (folder / f"{stem}{suffix}").is_file():
            return folder / f"{stem}{suffix}"
    return None


def _job(folder: Path, masks_alone: bool, values: MaskValues, found: Found) -> Job:
    patient = named_folder(folder, found)
    shard = found.new_shard(patient)
    files, names, grids = [], [], []
    for stem in ("segmentation",) if masks_alone else ("segmentation", "imaging"):
        path = _volume(folder, stem)
        if path is None:
            other = "imaging" if stem == "segmentation" else "segmentation"
            kind = "mask" if stem == "segmentation" else "image"
            lone, lost = (f"{name}.nii.gz" for name in (other, stem))
            raise SkipVolume(
                found.own_names.add(f"{shard}/{lone}", f"{folder.name}/{lone}", folder / lone),
                f"has no {kind} beside it ({lost} is missing). Left out.",
            )
        own = f"{folder.name}/{path.name}"
        name = found.own_names.add(f"{shard}/{path.name}", own, path)
        grids.append(grid_of(_header(path, name)))
        files.append(path)
        names.append(name)
    if len(grids) == 2:
        mask_grid, image_grid = grids
        grids = list(mask_on_image(mask_grid, image_grid, *names)[:2])
    num_slices, height, width = grids[-1].shape
    return Job(
        shard=shard,
        patient_id=patient,
        identifiers=(folder.name,),
        split_key=folder.name,
        item_key=folder.name,
        files=tuple(files),
        names=tuple(names),
        slice_shape=(height, width),
        num_slices=num_slices,
        class_names=values.class_names,
        options=values.options(),
    )


def _mend(path: Path) -> str:
    """What to do about a file that nibabel does not read: its name may promise another one."""
    with open(path, "rb") as stream:
        start = stream.read(348)
    packed = start.startswith(b"\x1f\x8b")
    if packed != path.name.endswith(".gz") and (packed or start[344:347] in (b"n+1", b"ni1")):
        kind, suffix = ("", ".nii.gz") if packed else ("not ", ".nii")
        return f"it is {kind}compressed: give it the suffix {suffix}."
    if not packed and start[344:347] not in (b"n+1", b"ni1"):
        return "its content is no NIfTI file's: export it again, or copy it again."
    return "copy it again."


def _header(path: Path, name: str) -> Any:
    try:
        image: Any = nib.load(path)
    except UNREADABLE as error:
        sentence = f"is not a readable NIfTI file ({type(error).__name__}). Left out; "
        raise SkipVolume(name, sentence + _mend(path)) from error
    dtype = image.get_data_dtype()
    if dtype.kind not in "iuf":
        kind = "colours" if dtype.fields else f"{dtype.name} numbers"
        raise SkipVolume(
            name, f"holds {kind}, expected one whole or decimal number per voxel. Left out."
        )
    if len(image.shape) != 3 or min(image.shape) < 1:
        raise SkipVolume(
            name, f"has shape {image.shape}, expected three axes (slices, H, W). Left out."
        )
    return image


def read_case(job: Job) -> Volume:
    """Read one case; at most its int16 image and uint8 mask are in memory at once.

    Raises:
        SkipVolume: A file says that it is synthetic or is cut short, shapes differ, a voxel is NaN,
            the image is constant, or a label has no name.
    """
    mask_name, mask_path = job.names[0], job.files[0]
    mask_file = _header(mask_path, mask_name)
    synthetic = is_synthetic(mask_name, mark_in_nifti(mask_path, mask_file.header), job)
    grid = mask_grid = grid_of(mask_file)
    notes: list[str] = []
    if len(job.names) == 1:
        notes += notes_on(mask_file, grid, mask_name) if grid.known else [FILE_ORDER]
    else:
        image_name, image_path = job.names[1], job.files[1]
        image_file = _header(image_path, image_name)
        synthetic |= is_synthetic(image_name, mark_in_nifti(image_path, image_file.header), job)
        own_grid = grid_of(image_file)
        mask_grid, grid, notes = mask_on_image(mask_grid, own_grid, mask_name, image_name)
        notes += notes_on(image_file, own_grid, image_name)
    mapped: set[int] = set()
    mask = _read(mask_file, mask_path, mask_name, mask_grid, (job, mapped))
    if rescale := _rescale(mask_file):
        notes.append(f"{mask_name}: its labels are read as its header rescales them ({rescale}).")
    notes += all_marked_note(mask, mask_name)
    image = None
    if len(job.names) > 1:
        image = _read(image_file, image_path, image_name, grid)
        notes += check_image(image, image_name)
    spacing = grid.spacing_mm
    return Volume(
        image=image,
        mask=mask,
        slice_indices=list(range(mask.shape[0])),
        pixel_spacing_mm=None if spacing is None else (float(spacing[1]), float(spacing[2])),
        slice_spacing_mm=None if spacing is None else round(float(spacing[0]), 6),
        geometry={
            "source_shape": list(grid.file_shape),
            "source_axes": grid.axes,
            "axes_read_as": "IPL" if grid.known else "file order",
        },
        notes=notes,
        mapped=mapped,
        num_synthetic=len(mask) if synthetic else 0,
    )


def read_image(path: Path, name: str) -> tuple[NDArray[np.int16], Grid, list[str]]:
    """Read one image without a mask.

    Returns:
        (slices, H, W) Hounsfield units as `read_case` gives them, the grid of the file, and
        sentences on it.

    Raises:
        SkipVolume: It cannot be read, is cut short, has NaN, or is constant.
    """
    file = _header(path, name)
    grid = grid_of(file)
    image = _read(file, path, name, grid)
    told = notes_on(file, grid, name) if grid.known else [FILE_ORDER]
    return image, grid, told + check_image(image, name)


def _rescale(mask: Any) -> str:
    """What a file's header does to its stored values; "" for nothing."""
    slope, intercept = mask.dataobj.slope, mask.dataobj.inter
    if slope == 1 and not intercept:
        return ""
    return f"slope {slope:g}, intercept {intercept:g}"


def _read(
    image: Any,
    path: Path,
    name: str,
    grid: Grid,
    mask_of: tuple[Job, set[int]] | None = None,
) -> NDArray[Any]:
    """Decode a file block by block into (slices, H, W), converting each block at once.

    With `mask_of` it is that job's mask, uint8 labels, and the set takes in the values that a
    label map changed; without, an image, int16 HU.

    KiTS19's images are float64: as one array, its longest volume is 2 GB; here it is int16.
    """
    # nibabel clears the header's own scaling on loading and keeps it here.
    slope, intercept = image.dataobj.slope, image.dataobj.inter
    dtype = np.int16 if mask_of is None else np.uint8
    result = np.empty(grid.shape, dtype)
    in_file_axes = grid.in_file_axes(result)
    said = f" (rescaled by its header: {rescale})" if (rescale := _rescale(image)) else ""
    try:
        for start, block in _blocks(image, path):
            values = block if slope == 1 and not intercept else block * slope + intercept
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise SkipVolume(
                    name, "holds NaN or infinite voxels. Left out; export the volume again."
                )
            if mask_of is not None:
                if values.dtype.kind == "f":
                    labels = np.rint(values)
                    if np.abs(values - labels).max() > _WHOLE:
                        raise SkipVolume(
                            name, "holds fractional labels; it is not a label map. Left out."
                        )
                    values = labels
                job, mapped = mask_of
                values = changed(values, job.options["changes"], mapped)
                check_labels(values, name, job.class_names, said)
            else:
                whole = np.rint(values) if values.dtype.kind == "f" else values.astype(np.int32)
                values = np.clip(whole, AIR_HU, MAX_HU)
            in_file_axes[:, :, start : start + block.shape[2]] = values
    except UNREADABLE as error:
        raise SkipVolume(
            name,
            f"is cut short or damaged ({type(error).__name__}). Left out; copy or download it "
            "again.",
        ) from error
    return result


def _blocks(image: Any, path: Path) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield (start along the last file axis, (d0, d1, k) block) in the order of the file."""
    d0, d1, d2 = image.shape
    dtype = image.header.get_data_dtype()
    plane = d0 * d1 * dtype.itemsize
    step = max(1, _BLOCK_BYTES // plane)
    with Opener(str(path), "rb") as stream:
        stream.seek(image.dataobj.offset)
        for start in range(0, d2, step):
            count = min(step, d2 - start)
            data = stream.read(count * plane)
            if len(data) != count * plane:
                raise EOFError("it ends before its last slice")
            yield start, np.frombuffer(data, dtype).reshape((d0, d1, count), order="F")
        # gzip checks its sum only at the end of the stream; without this a flipped bit passes.
        while stream.read(1 << 20):
            pass
