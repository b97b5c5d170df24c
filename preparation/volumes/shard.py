"""One volume becomes one shard: read, checked, fitted, written whole, and recorded last.

Files are written as streams, not as memory maps: a full disk is then an error that can be
reported, and not a crash. The record comes last, so a shard without one does not count.
"""

import hashlib
import io
import itertools
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from datamodules.slice_cache import SliceItem
from preparation.copies import pixel_hash
from preparation.disk import is_about, record_path
from preparation.synthetic_files import num_synthetic
from preparation.volumes.geometry import (
    fit_image,
    fit_mask,
    fitted_spacing,
    outline_of,
    padding_to_square,
)
from preparation.volumes.layout import Layout, check_square, layout_notes
from preparation.volumes.volume import AIR_HU, Job, Reader, SkipVolume, Volume, cannot_be_read
from provenance import read_json, sha256_of, whole_file, write_json_atomic

# Labelled pixels from which on nobody else has the same label map by chance.
_MANY_LABELS = 1000


def make_shard(out: Path, job: Job, reader: Reader, layout: Layout) -> dict[str, Any]:
    """Make one shard and its record, and return the record.

    Raises:
        SkipVolume: The volume cannot be used.
        OSError: The disk is full or not writable.
    """
    if not layout.resample:  # which needs the size of a pixel, so the volume
        check_square(job, job.slice_shape, layout)
    volume = _read(reader, job)
    height, width = volume.mask.shape[1:]
    spacing = volume.pixel_spacing_mm
    if layout.resample and spacing is None:
        raise SkipVolume(
            job.names[0],
            "does not say the size of its pixels, which --resample needs. Left out; prepare it "
            "without, into another --out.",
        )
    outline = outline_of((height, width), spacing, layout.resample)
    check_square(job, outline, layout)
    notes = layout_notes(job, layout, outline, (height, width), spacing) + volume.notes
    counts: list[list[int]] = []
    shard: dict[str, Any] = {"image": None, "mask": None}
    shape: tuple[int, ...] = (len(volume.mask), layout.image_size, layout.image_size)
    greys: dict[str, Any] = {}
    if volume.image is not None:
        windows = windows_of(volume.image, layout)
        if any(channel.percentiles for channel in layout.greys):
            ends = ((centre - width / 2, centre + width / 2) for width, centre in windows)
            greys["black_and_white"] = [[float(f"{end:.6g}") for end in pair] for pair in ends]
        several = (layout.num_channels,) if layout.num_channels > 1 else ()
        fitted = (fitted_slice(image, windows, layout, outline) for image in volume.image)
        shard.update(_write(out, job, "image", fitted, (shape[0], *several, *shape[1:])))
    masks = _masks(volume, counts, job, layout, outline)
    shard.update(_write(out, job, "mask", masks, shape))
    if outline == (height, width):
        (top, bottom), (left, right) = padding_to_square(height, width)
        done: dict[str, Any] = {"padded_top_bottom_left_right": [top, bottom, left, right]}
    else:
        done = {"resampled_from_mm": None if spacing is None else list(spacing)}
    shard.update(
        num_slices=len(volume.mask),
        source_files=_sources(job),
        geometry={**volume.geometry, **done, **greys},
    )
    shard |= num_synthetic(volume.num_synthetic)
    fitted_mm = fitted_spacing(spacing, (height, width), layout.image_size, outline)
    thickness = volume.slice_spacing_mm
    items = [
        SliceItem(
            id=f"{job.shard}/{index:04d}",
            patient_id=job.patient_id,
            split="",  # drawn when the manifest is put together
            shard=job.shard,
            row=row,
            slice_index=index,
            class_pixels=tuple(counts[row]),
            pixel_spacing_mm=fitted_mm,
            slice_spacing_mm=thickness[row] if isinstance(thickness, list) else thickness,
        ).to_json()
        for row, index in enumerate(volume.slice_indices)
    ]
    record: dict[str, Any] = {
        "shard": job.shard,
        "patient_id": job.patient_id,
        "content": shard,
        "items": items,
        "pixels": _pixel_hashes(volume),
        "notes": notes,
        "skipped": [list(entry) for entry in volume.skipped],
    }
    if layout.label_map and volume.mapped is not None:
        record["mapped"] = sorted(volume.mapped)
    write_json_atomic(record_path(out, job.shard), record)
    return record


def _read(reader: Reader, job: Job) -> Volume:
    """Read a volume; whatever its reader raises is a reason to leave the volume out."""
    try:
        return reader(job)
    except (SkipVolume, MemoryError):
        raise
    except Exception as error:  # libraries raise what they like
        raise cannot_be_read(job.names[0], error, *job.files) from error


def make_or_skip(
    job: Job, out: Path, reader: Reader, layout: Layout
) -> dict[str, Any] | SkipVolume:
    """Make one shard; what is wrong with a volume is a result, what is wrong with us raises.

    Raises:
        OSError: The disk is full or `out` cannot be written.
    """
    try:
        return make_shard(out, job, reader, layout)
    except SkipVolume as skip:
        return skip
    except MemoryError:
        return SkipVolume(job.names[0], "does not fit into memory. Left out; use fewer --workers.")
    except OSError as error:
        if is_about(out, error):
            raise
        return cannot_be_read(job.names[0], error, *job.files)


def finished(out: Path, job: Job, layout: Layout, verify: bool = False) -> dict[str, Any] | None:
    """Return the record of a shard that needs no more work, else None.

    Args:
        out: The cache folder.
        job: The shard as the source has it now.
        layout: Settings of the cache.
        verify: Compare the arrays' bytes with their hashes, not only their number.

    Raises:
        SourceChangedError: The shard was made from other files than those of this job.
    """
    path = record_path(out, job.shard)
    if not path.is_file():
        return None
    record: dict[str, Any] = read_json(path)
    content = record["content"]
    now = [(name, _bytes(file)) for name, file in zip(job.names, job.files, strict=True)]
    before = [(entry["name"], entry["bytes"]) for entry in content["source_files"]]
    if now != before or record["patient_id"] != job.patient_id:
        raise SourceChangedError(job.shard)
    for kind, channels in (("image", layout.num_channels), ("mask", 1)):
        expected = content["num_slices"] * channels * layout.image_size**2
        array = content[kind]
        if not array:
            continue
        whole = (out / array).is_file() and (out / array).stat().st_size > expected
        if whole and (not verify or sha256_of(out / array) == content[f"sha256_{kind}"]):
            continue
        if verify and any(
            source_hash(file) != entry["sha256"]
            for file, entry in zip(job.files, content["source_files"], strict=True)
        ):
            raise SourceChangedError(job.shard)
        return None
    return record


class SourceChangedError(Exception):
    """A finished shard was made from other source files; its name is the argument."""


def windows_of(image: NDArray[Any], layout: Layout) -> list[tuple[float, float]]:
    """(width, centre) of each channel of a volume; empty where grey values pass through."""
    channels = [image] if image.ndim == 3 else image.swapaxes(0, 1)
    return [grey.of_volume(channel) for grey, channel in zip(layout.greys, channels, strict=False)]


def fitted_slice(
    image: NDArray[Any],
    windows: list[tuple[float, float]],
    layout: Layout,
    outline: tuple[float, float],
) -> NDArray[np.uint8]:
    """A slice as the cache holds it, (size, size), or (C, size, size) of several channels."""
    if not windows:
        return fit_image(image, layout.image_size, None, outline)
    each = []
    for place, (grey, window) in enumerate(zip(layout.greys, windows, strict=True)):
        channel = image if image.ndim == 2 else image[place]
        fill = AIR_HU if grey.in_hu else window[1] - window[0] / 2  # what no scanner saw is black
        each.append(fit_image(channel, layout.image_size, window, outline, fill))
    return each[0] if image.ndim == 2 else np.stack(each)


def _masks(
    volume: Volume,
    counts: list[list[int]],
    job: Job,
    layout: Layout,
    outline: tuple[float, float],
) -> Iterator[NDArray[np.uint8]]:
    for labels in volume.mask:
        fitted = fit_mask(labels, layout.image_size, outline)
        counts.append(np.bincount(fitted.ravel(), minlength=len(job.class_names)).tolist())
        yield fitted


def _write(
    out: Path, job: Job, kind: str, slices: Iterator[NDArray[np.uint8]], shape: tuple[int, ...]
) -> dict[str, str]:
    """Stream slices into a `.npy` file; it takes its name only when it is whole."""
    relative = f"arrays/{job.shard}_{kind}.npy"
    digest, checksums = hashlib.sha256(), list[str]()
    header = io.BytesIO()
    npy.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with whole_file(out / relative, len(header.getvalue()) + math.prod(shape)) as stream:
        for data in itertools.chain([header.getvalue()], map(np.ndarray.tobytes, slices)):
            stream.write(data)
            digest.update(data)
            checksums.append(f"{zlib.crc32(data):08x}")
    return {
        kind: relative,
        f"sha256_{kind}": digest.hexdigest(),
        f"crc32_{kind}": "".join(checksums[1:]),
    }


def _pixel_hashes(volume: Volume) -> dict[str, Any]:
    """Hashes of what the source holds: of all slices as one, and of each where there are images.

    Single slices of label maps are not compared, nor volumes with few labels: small organs look
    alike.
    """
    if volume.image is None:
        return {"volume": pixel_hash(volume.mask), "slices": None}
    return {
        "volume": pixel_hash(volume.image),
        "slices": [pixel_hash(image) for image in volume.image],
        "mask": pixel_hash(volume.mask) if np.count_nonzero(volume.mask) >= _MANY_LABELS else None,
    }


def _files_in(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]


def _bytes(path: Path) -> int:
    return sum(p.stat().st_size for p in _files_in(path))


def source_hash(path: Path) -> str:
    """SHA-256 of a file; of a folder, over the sorted hashes of its files (no names in it)."""
    if not path.is_dir():
        return sha256_of(path)
    hashes = sorted(sha256_of(p) for p in _files_in(path))
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _sources(job: Job) -> list[dict[str, Any]]:
    return [
        {"name": name, "bytes": _bytes(file), "sha256": source_hash(file)}
        for name, file in zip(job.names, job.files, strict=True)
    ]
