"""A NIfTI file whose header is read and whose voxels are not."""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
from nibabel.filebasedimages import ImageFileError

from preparation.volumes.nifti.grid import Grid, grid_of
from preparation.volumes.volume import SkipVolume

UNREADABLE = (OSError, EOFError, zlib.error, ValueError, ImageFileError)

NamedFile = tuple[Path, str]
"""A file, and what it is called in sentences and in the manifest, see `own_names`."""


@dataclass(frozen=True)
class NiftiFile:
    """A file as its header tells.

    Attributes:
        path: Where it lies.
        name: What it is called in sentences.
        image: As nibabel opened it.
        grid: How its voxels are read: as its header says, or as another file's does.
    """

    path: Path
    name: str
    image: Any
    grid: Grid

    @classmethod
    def open(cls, path: Path, name: str, channels: int = 1) -> "NiftiFile":
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
        has_channels = len(shape) == 4 and shape[3] == channels and min(shape) > 0
        if channels > 1 and not has_channels:
            raise SkipVolume(
                name,
                f"has shape {shape}, expected four axes, the last of {channels} channels. Left "
                "out.",
            )
        if not has_channels and (len(shape) != 3 or min(shape) < 1):
            raise SkipVolume(
                name, f"has shape {shape}, expected three axes (slices, H, W). Left out."
            )
        return cls(path, name, image, grid_of(image))

    @property
    def rescale(self) -> str:
        """What its header does to its stored values; "" for nothing."""
        # nibabel clears the header's own scaling on loading and keeps it here.
        slope, intercept = self.image.dataobj.slope, self.image.dataobj.inter
        if slope == 1 and not intercept:
            return ""
        return f"slope {slope:g}, intercept {intercept:g}"


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
