"""The files of a synthetic set: how an image and its label map are stored, by its format.

A file gets its name when it is whole, so that an interrupted call can trust what is there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.hounsfield import GreyScale
from datamodules.synthetic import ImageFormat, SyntheticItem, image_name, mask_name
from generation.dicom_file import NAMES, Described, Kind, Origin, dicom_bytes
from generation.nifti_file import nifti_bytes
from provenance import read_json, whole_file, write_json_atomic
from synthetic_marks import LABEL_MAP_NOTICE, NOTICE, as_json, png_info, sidecar

# Drawn when the first file is written, so that a call that goes on uses the same.
ORIGIN = "dicom_origin.json"
ASSUMED_SPACING_MM = 1.0


@dataclass(frozen=True)
class SetFiles:
    """Writes the files of a set.

    Attributes:
        root: The set's folder.
        image_format: Of its images.
        generator: Class of the network.
        kind: What a DICOM file is.
        scale: Which HU the greys stand for, where the format stores HU.
        about: What is the same for all images: `body_part`, `view` of `Described`.
        assumed: Sentences: what the files say although nobody knows it, or leave out.
        assumed_spacing_mm: (row, column) of images that have none of their own.
        origin: Of DICOM files.
        notice: What PNG files say of themselves.
    """

    root: Path
    image_format: ImageFormat = "png"
    generator: str = ""
    kind: Kind = "sc"
    scale: GreyScale | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    assumed_spacing_mm: tuple[float, float] = (ASSUMED_SPACING_MM, ASSUMED_SPACING_MM)
    origin: Origin | None = None
    notice: str = NOTICE

    @property
    def is_dicom(self) -> bool:
        """Whether images are DICOM files."""
        return self.image_format in ("dicom", "secondary_capture")

    @property
    def described(self) -> str | None:
        """A sentence for the card; None of formats that need none."""
        if self.is_dicom:
            what = f"DICOM, {NAMES[self.kind]}"
        elif self.image_format == "nifti":
            what = "NIfTI, Hounsfield units" if self.scale else "NIfTI, grey values"
        else:
            return None
        return " ".join([f"{what}.", *self.assumed])

    @property
    def in_manifest(self) -> dict[str, Any]:
        """What the set's manifest says of its files."""
        told: dict[str, Any] = {"image_format": self.image_format}
        if self.scale is not None:
            told["window"] = {"width_hu": self.scale.width_hu, "center_hu": self.scale.center_hu}
        if self.described is not None:
            told["files"] = self.described
        if self.origin is not None:
            told["dicom_origin"] = vars(self.origin)
        return told

    def with_origin(self) -> "SetFiles":
        """The same, with what DICOM files have in common: drawn now, or when the set was begun."""
        if not self.is_dicom:
            return self
        path = self.root / ORIGIN
        if not path.is_file():
            write_json_atomic(path, vars(Origin.new()))
        told = read_json(path)
        return replace(self, origin=Origin(told["uid"], told["date"], told["time"]))

    def path(self, item: SyntheticItem) -> Path:
        """Where an image lies."""
        return self.root / image_name(item, self.image_format)

    def save(
        self, item: SyntheticItem, image: NDArray[np.uint8], mask: NDArray[np.uint8] | None
    ) -> None:
        """Write an image, (H, W) or (H, W, C), and before it, by which a call goes on, its labels.

        Args:
            item: Which it is.
            image: Its pixels.
            mask: (H, W) labels, where it was painted on any.
        """
        if mask is not None:
            self._save_mask(item, mask)
        path = self.path(item)
        if self.image_format == "nifti":
            write_json_atomic(sidecar(path), {**as_json(), "Notes": list(self.assumed)})
        with whole_file(path) as stream:
            if self.image_format == "npy":
                np.save(stream, image if image.ndim == 2 else np.moveaxis(image, -1, 0))
            elif self.image_format == "png":
                Image.fromarray(image).save(stream, format="PNG", pnginfo=png_info(self.notice))
            elif self.image_format == "nifti":
                stream.write(nifti_bytes(image, *self._size(item), self.scale))
            else:
                stream.write(self._dicom(item, image))

    def _save_mask(self, item: SyntheticItem, mask: NDArray[np.uint8]) -> None:
        path = self.root / mask_name(item, self.image_format)
        in_png = path.suffix == ".png"
        if not in_png:
            write_json_atomic(sidecar(path), as_json(LABEL_MAP_NOTICE))
        with whole_file(path) as stream:
            if in_png:
                notice = png_info(LABEL_MAP_NOTICE)
                Image.fromarray(mask).save(stream, format="PNG", pnginfo=notice)
            else:
                stream.write(nifti_bytes(mask, *self._size(item), notice=LABEL_MAP_NOTICE))

    def _size(self, item: SyntheticItem) -> tuple[tuple[float, float], float]:
        thickness_mm = item.slice_spacing_mm or ASSUMED_SPACING_MM
        return item.pixel_spacing_mm or self.assumed_spacing_mm, thickness_mm

    def _dicom(self, item: SyntheticItem, image: NDArray[np.uint8]) -> bytes:
        assert self.origin is not None
        known = item.pixel_spacing_mm
        described = Described(
            pixels=image,
            name=item.id,
            generator=self.generator,
            comment=" ".join(self.assumed),
            spacing_mm=known if self.kind == "sc" else known or self.assumed_spacing_mm,
            thickness_mm=item.slice_spacing_mm,
            **self.about,
        )
        return dicom_bytes(described, self.kind, self.origin, self.scale)
