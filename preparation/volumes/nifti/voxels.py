"""Decodes the voxels of a NIfTI file block by block, so that no whole file lies in memory."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from nibabel.openers import Opener
from numpy.typing import NDArray

from preparation.volumes.nifti.file import UNREADABLE, NiftiFile
from preparation.volumes.volume import SkipVolume

_BLOCK_BYTES = 16 << 20


def read_into(
    result: NDArray[Any],
    file: NiftiFile,
    converted: Callable[[NDArray[Any], int], NDArray[Any]],
) -> None:
    """Decode a file, converting each block at once.

    KiTS19's images are float64: as one array, its longest volume is 2 GB; here it is int16.

    Args:
        result: (channels, slices, H, W) takes the voxels in.
        file: The file.
        converted: From rescaled values and the number of their channel to what is stored.

    Raises:
        SkipVolume: It is cut short or damaged, or holds values that are no numbers.
    """
    slope, intercept = file.image.dataobj.slope, file.image.dataobj.inter
    targets = [file.grid.in_file_axes(channel) for channel in result]
    try:
        for channel, start, block in _blocks(file):
            values = block * slope + intercept if file.rescale else block
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise SkipVolume(
                    file.name, "holds NaN or infinite voxels. Left out; export the volume again."
                )
            target = targets[channel][:, :, start : start + block.shape[2]]
            target[...] = converted(values, channel)
    except UNREADABLE as error:
        raise SkipVolume(
            file.name,
            f"is truncated or damaged ({type(error).__name__}). Left out; copy or download it "
            "again.",
        ) from error


def _blocks(file: NiftiFile) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """Yield (channel, start along the last file axis, (d0, d1, k) block) in the file's order."""
    d0, d1, d2, *channels = file.image.shape
    dtype = file.image.header.get_data_dtype()
    plane = d0 * d1 * dtype.itemsize
    step = max(1, _BLOCK_BYTES // plane)
    with Opener(str(file.path), "rb") as stream:
        stream.seek(file.image.dataobj.offset)
        for channel, start in itertools.product(range(*channels or [1]), range(0, d2, step)):
            count = min(step, d2 - start)
            data = stream.read(count * plane)
            if len(data) != count * plane:
                raise EOFError("it ends before its last slice")
            yield channel, start, np.frombuffer(data, dtype).reshape((d0, d1, count), order="F")
        # gzip checks its sum only at the end of the stream; without this a flipped bit passes.
        while stream.read(1 << 20):
            pass
