"""Images and label maps of a synthetic set, read from the files that its manifest names."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.hounsfield import GreyScale
from datamodules.medical_files import read_dicom, read_nifti
from datamodules.named_files import FileHashes, inside, read_array, read_png
from provenance import UserError


@dataclass(frozen=True)
class SetFiles:
    """Reads what lies in the folder of a set; names are below it, such as "images/0001.png".

    Attributes:
        root: The set.
        image_format: See `datamodules.synthetic.ImageFormat`.
        image_size: Side in pixels of its images.
        channels: Of its images.
        scale: Which Hounsfield units the greys stand for; None where they are not known.
        hashes: What the files were when the set was finished.
    """

    root: Path
    image_format: str
    image_size: int
    channels: int
    scale: GreyScale | None
    hashes: FileHashes

    def image(self, name: str) -> NDArray[np.uint8]:
        """(H, W) grey, or (C, H, W) of several channels, such as colour.

        Raises:
            UserError: The file is missing, damaged, not what it was when the set was finished, or
                no 8-bit image of the set's size; names it.
        """
        path = self._unchanged(name)
        try:
            if self.image_format == "npy":
                return self._of_array(path)
            if self.image_format in ("dicom", "secondary_capture"):
                return read_dicom(path, self.image_size, self.scale)
            if self.image_format == "nifti":
                return read_nifti(path, self.image_size, self.scale)
            pixels = read_png(path, self.image_size)
            return pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        except ValueError as error:
            raise _damaged(path, error) from error

    def mask(self, name: str) -> NDArray[np.uint8]:
        """(H, W) labels.

        Raises:
            UserError: As of an image.
        """
        path = self._unchanged(name)
        try:
            if not path.name.endswith(".png"):
                return read_nifti(path, self.image_size, None)
            labels = read_png(path, self.image_size)
            if labels.ndim != 2:
                raise ValueError("it is in colour, expected labels")
            return labels
        except ValueError as error:
            raise _damaged(path, error) from error

    def _unchanged(self, name: str) -> Path:
        path = inside(self.root, name)
        self.hashes.check(name)
        return path

    def _of_array(self, path: Path) -> NDArray[np.uint8]:
        size = (self.image_size, self.image_size)
        image = read_array(path)
        if image.dtype != np.uint8 or image.shape not in {size, (3, *size), (self.channels, *size)}:
            raise ValueError(
                f"is {image.dtype} {image.shape}, but its manifest.json says {size[0]}x{size[1]}"
            )
        return np.array(image)


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path}: cannot be read ({error}). The synthetic set is damaged; make it again with "
        "the command in its README.md."
    )
