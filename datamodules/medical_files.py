"""Images of a synthetic set in DICOM and NIfTI, as `generation/set_files.py` writes them.

A set may come from others, so nothing is decoded that its manifest does not promise: no compressed
pixels, no other size, no other type.
"""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.hounsfield import GreyScale

_MOST_HEADER_BYTES = 1 << 16  # of our own files: below 3,000


def read_dicom(path: Path, size: int, scale: GreyScale | None) -> NDArray[np.uint8]:
    """Read an uncompressed image whose sides are known.

    Args:
        path: The file.
        size: Side in pixels.
        scale: Which HU the set's greys stand for; a CT image is brought back to them.

    Returns:
        (size, size) grey or (3, size, size) colour.

    Raises:
        ValueError: Anything else.
    """
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian

    _check_bytes(path, 3 * size * size + _MOST_HEADER_BYTES)
    try:
        dataset = pydicom.dcmread(path)
        if dataset.file_meta.TransferSyntaxUID != ExplicitVRLittleEndian:
            raise ValueError("its pixels are compressed")
        samples, bits = int(dataset.SamplesPerPixel), int(dataset.BitsAllocated)
        found = (int(dataset.Rows), int(dataset.Columns))
        if found != (size, size) or (samples, bits) not in ((1, 8), (3, 8), (1, 16)):
            raise ValueError(
                f"is {found[0]}x{found[1]} with {samples} samples of {bits} bits, but its "
                f"manifest.json says {size}x{size}"
            )
        data = np.frombuffer(dataset.PixelData, "<u2" if bits == 16 else np.uint8)
        pixels = data[: size * size * samples].reshape(size, size, samples)
        if bits == 8:
            return np.array(pixels[..., 0] if samples == 1 else np.moveaxis(pixels, -1, 0))
        if scale is None:
            raise ValueError("it holds Hounsfield units, but its manifest.json tells no window")
        slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
        return scale.grey(pixels[..., 0] * slope + intercept)
    except ValueError:
        raise
    except Exception as error:  # pydicom raises many kinds for a damaged file
        raise ValueError(f"{type(error).__name__}") from error


def read_nifti(path: Path, size: int, scale: GreyScale | None) -> NDArray[np.uint8]:
    """Read a slice, or its label map, whose sides are known.

    Args:
        path: The `.nii.gz`.
        size: Side in pixels.
        scale: Which HU the set's greys stand for; a slice in HU is brought back to them.

    Returns:
        (size, size) greys or labels.

    Raises:
        ValueError: Anything else.
    """
    import nibabel

    most = 2 * size * size + _MOST_HEADER_BYTES
    _check_bytes(path, most)
    try:
        with gzip.open(path) as stream:
            content = stream.read(most + 1)  # no more is unpacked, whatever the file holds
        image: Any = nibabel.Nifti1Image.from_bytes(content)
        dtype = image.get_data_dtype()
        if len(content) > most or image.shape != (size, size, 1) or dtype not in ("<i2", "u1"):
            raise ValueError(f"is {dtype} {image.shape}, but its manifest.json says {size}x{size}")
        values = np.asarray(image.dataobj)[..., 0].T
    except ValueError:
        raise
    except Exception as error:  # nibabel raises many kinds for a damaged file
        raise ValueError(f"{type(error).__name__}") from error
    if dtype == "u1":
        return np.ascontiguousarray(values, np.uint8)
    if scale is None:
        raise ValueError("it holds Hounsfield units, but its manifest.json tells no window")
    return scale.grey(values)


def _check_bytes(path: Path, most: int) -> None:
    if not path.is_file():
        raise ValueError("no such file")
    if path.stat().st_size > most:
        raise ValueError("it is larger than its manifest.json says")
