"""NIfTI volumes: a label map, and the channels of its image on the same voxels."""

import itertools
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.openers import Opener
from numpy.typing import NDArray

from preparation.volumes.mask_values import MaskValues, labels_of
from preparation.volumes.nifti_grid import FILE_ORDER, Grid, grid_of, mask_on_image, notes_on
from preparation.volumes.volume import (
    AIR_HU,
    MAX_HU,
    Job,
    SkipVolume,
    Volume,
    all_marked_note,
    check_image,
    is_synthetic,
)
from synthetic_marks import mark_in_nifti

UNREADABLE = (OSError, EOFError, zlib.error, ValueError, ImageFileError)
_BLOCK_BYTES = 16 << 20
# Of values without a unit: far beyond any scanner's, and far below what float32 holds.
_LARGEST = 1e30
# A label that a rescale slope was multiplied into, in single precision, is still whole.
_WHOLE = 1e-3

NamedFile = tuple[Path, str]
"""A file, and what it is called in sentences and in the manifest, see `own_names`."""


def nifti_job(
    shard: str,
    patient: str,
    identifier: str,
    files: Sequence[NamedFile],
    values: MaskValues,
    channels_in_file: int = 1,
    item_key: str | None = None,
) -> Job:
    """The job of one volume, whose headers are read and compared.

    Args:
        shard: Its name, see `Found.new_shard`.
        patient: Whose it is.
        identifier: What the source calls the patient.
        files: The label map, then the image, a file for each of its channels.
        values: What the values of the label map mean.
        channels_in_file: Of the image's only file, along its fourth axis.
        item_key: What the source calls the volume; None: as the patient.

    Raises:
        SkipVolume: A header cannot be read, or they do not cover the same voxels.
    """
    (mask_path, mask_name), *images = files
    shown = grid_of(header_of(mask_path, mask_name))
    mask_grid, first = shown, None
    for path, name in images:
        grid = grid_of(header_of(path, name, channels_in_file))
        if first is None:
            first = (grid, name)
            mask_grid, shown, _ = mask_on_image(mask_grid, grid, mask_name, name)
        else:
            mask_on_image(grid, first[0], name, first[1])
    num_slices, height, width = shown.shape
    return Job(
        shard=shard,
        patient_id=patient,
        identifiers=(identifier,),
        split_key=identifier,
        item_key=item_key or identifier,
        files=tuple(path for path, _ in files),
        names=tuple(name for _, name in files),
        slice_shape=(height, width),
        num_slices=num_slices,
        class_names=values.class_names,
        options={**values.options(), "channels_in_file": channels_in_file},
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


def header_of(path: Path, name: str, channels: int = 1) -> Any:
    """Open a file without reading its voxels.

    Args:
        path: The file.
        name: What it is called in sentences.
        channels: Along its fourth axis; 1: it has three.

    Raises:
        SkipVolume: It cannot be read, or holds no such numbers or axes.
    """
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
    shape = image.shape
    if len(shape) == 4 and shape[3] == channels and min(shape) > 0:
        return image
    if channels > 1:
        raise SkipVolume(
            name,
            f"has shape {shape}, expected four axes, the last of {channels} channels. Left out.",
        )
    if len(shape) != 3 or min(shape) < 1:
        raise SkipVolume(name, f"has shape {shape}, expected three axes (slices, H, W). Left out.")
    return image


def read_case(job: Job) -> Volume:
    """Read one case; at most its image and its uint8 mask are in memory at once.

    `in_hu` among the job's options tells which channels hold Hounsfield units; without, all.

    Raises:
        SkipVolume: A file says that it is synthetic or is cut short, shapes differ, a voxel is NaN,
            a channel is constant, or a label has no name.
    """
    (mask_path, *image_paths), (mask_name, *image_names) = job.files, job.names
    mask_file = header_of(mask_path, mask_name)
    synthetic = is_synthetic(mask_name, mark_in_nifti(mask_path, mask_file.header), job)
    grid = mask_grid = grid_of(mask_file)
    in_one_file: int = job.options["channels_in_file"]
    notes: list[str] = []
    images: list[tuple[Any, Path, str, Grid]] = []
    for path, name in zip(image_paths, image_names, strict=True):
        file = header_of(path, name, in_one_file)
        synthetic |= is_synthetic(name, mark_in_nifti(path, file.header), job)
        own_grid = grid_of(file)
        if not images:
            mask_grid, grid, said = mask_on_image(mask_grid, own_grid, mask_name, name)
            own_grid, notes = grid, said + notes_on(file, own_grid, name)
        else:
            own_grid, _, said = mask_on_image(own_grid, grid, name, images[0][2])
            notes += [note for note in said if note not in notes]
        images.append((file, path, name, own_grid))
    if not images:
        notes += notes_on(mask_file, grid, mask_name) if grid.known else [FILE_ORDER]
    mapped: set[int] = set()
    mask = mask_on_grid(mask_file, mask_path, mask_name, mask_grid, job, mapped)
    if rescale := _rescale(mask_file):
        notes.append(f"{mask_name}: its labels are read as its header rescales them ({rescale}).")
    notes += all_marked_note(mask, mask_name)
    image = None
    if images:
        in_hu = job.options.get("in_hu", [True] * len(images) * in_one_file)
        image, said = _read_channels(images, in_hu, "or pass --window percentiles if it is no CT.")
        notes += said
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


def mask_on_grid(
    file: Any, path: Path, name: str, grid: Grid, job: Job, mapped: set[int]
) -> NDArray[np.uint8]:
    """Read a label map: (slices, H, W).

    Args:
        file: As `header_of` opened it.
        path: Where it lies.
        name: What it is called.
        grid: How its voxels lie.
        job: Whose mask it is; its options say what values mean.
        mapped: Takes in the values that a label map changed.

    Raises:
        SkipVolume: It is cut short, or holds values that mean nothing.
    """
    mask = np.empty(grid.shape, np.uint8)
    _read(file, path, name, grid, mask[None], (job, mapped))
    return mask


def read_images(
    files: Sequence[NamedFile], in_hu: Sequence[bool], or_else: str
) -> tuple[NDArray[Any], Grid, list[str]]:
    """Read the channels of one image, without a mask.

    Args:
        files: One that holds all channels, or one for each.
        in_hu: Whether each channel holds Hounsfield units.
        or_else: See `check_image`.

    Returns:
        (slices, H, W), or (slices, channels, H, W) of several, as `read_case` gives them; the grid
        of the first file; and sentences.

    Raises:
        SkipVolume: A file cannot be read, is cut short, or has NaN, a channel is constant, or they
            lie in different places.
    """
    images: list[tuple[Any, Path, str, Grid]] = []
    notes: list[str] = []
    for path, name in files:
        file = header_of(path, name, len(in_hu) // len(files))
        grid = grid_of(file)
        if images:
            grid, _, said = mask_on_image(grid, images[0][3], name, images[0][2])
        else:
            said = notes_on(file, grid, name) if grid.known else [FILE_ORDER]
        notes += [note for note in said if note not in notes]
        images.append((file, path, name, grid))
    image, said = _read_channels(images, in_hu, or_else)
    return image, images[0][3], notes + said


def _read_channels(
    images: Sequence[tuple[Any, Path, str, Grid]], in_hu: Sequence[bool], or_else: str
) -> tuple[NDArray[Any], list[str]]:
    """(slices, H, W) or (slices, channels, H, W) of opened files, and sentences on the channels."""
    count, in_one_file, notes = len(in_hu), len(in_hu) // len(images), list[str]()
    channels = np.empty((count, *images[0][3].shape), np.int16 if all(in_hu) else np.float32)
    for number, (file, path, name, grid) in enumerate(images):
        own = slice(number, number + in_one_file)
        _read(file, path, name, grid, channels[own], clip=in_hu[own])
        for place in range(number, number + in_one_file):
            which = name if in_one_file == 1 else f"{name}, channel {place}"
            notes += check_image(channels[place], which, in_hu[place], or_else)
    return (channels[0] if count == 1 else channels.swapaxes(0, 1)), notes


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
    result: NDArray[Any],
    mask_of: tuple[Job, set[int]] | None = None,
    clip: Sequence[bool] = (),
) -> None:
    """Decode a file block by block, converting each at once.

    KiTS19's images are float64: as one array, its longest volume is 2 GB; here it is int16.

    Args:
        image: The opened file.
        path: Where it lies.
        name: What it is called.
        grid: How its voxels lie.
        result: (channels, slices, H, W) takes them in.
        mask_of: It is this job's mask, and the set takes in the values that a label map changed.
        clip: Of an image, whether each channel holds Hounsfield units.
    """
    # nibabel clears the header's own scaling on loading and keeps it here.
    slope, intercept = image.dataobj.slope, image.dataobj.inter
    targets = [grid.in_file_axes(channel) for channel in result]
    said = f" (rescaled by its header: {rescale})" if (rescale := _rescale(image)) else ""
    try:
        for channel, start, block in _blocks(image, path):
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
                values = labels_of(values, name, job.class_names, job.options, mapped, said)
            elif clip[channel]:
                whole = np.rint(values) if values.dtype.kind == "f" else values.astype(np.int32)
                values = np.clip(whole, AIR_HU, MAX_HU)
            elif max(abs(float(values.min())), abs(float(values.max()))) > _LARGEST:
                raise SkipVolume(
                    name,
                    f"holds values beyond {_LARGEST:.0e}, which are no picture's. Left out; export "
                    "the volume again.",
                )
            targets[channel][:, :, start : start + block.shape[2]] = values
    except UNREADABLE as error:
        raise SkipVolume(
            name,
            f"is cut short or damaged ({type(error).__name__}). Left out; copy or download it "
            "again.",
        ) from error


def _blocks(image: Any, path: Path) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """Yield (channel, start along the last file axis, (d0, d1, k) block) in the file's order."""
    d0, d1, d2, *channels = image.shape
    dtype = image.header.get_data_dtype()
    plane = d0 * d1 * dtype.itemsize
    step = max(1, _BLOCK_BYTES // plane)
    with Opener(str(path), "rb") as stream:
        stream.seek(image.dataobj.offset)
        for channel, start in itertools.product(range(*channels or [1]), range(0, d2, step)):
            count = min(step, d2 - start)
            data = stream.read(count * plane)
            if len(data) != count * plane:
                raise EOFError("it ends before its last slice")
            yield channel, start, np.frombuffer(data, dtype).reshape((d0, d1, count), order="F")
        # gzip checks its sum only at the end of the stream; without this a flipped bit passes.
        while stream.read(1 << 20):
            pass
