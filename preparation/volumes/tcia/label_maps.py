"""NIfTI label maps in one folder, called by the patients whose they are."""

from dataclasses import dataclass, field
from pathlib import Path

from preparation.volumes.tcia.folders import Study
from preparation.volumes.volume import SkipVolume

_ENDINGS = (".nii.gz", ".nii")
_SHOWN = 3  # names in a sentence
_HOW = (
    "as NIfTI on the CT's own voxels, called by the PatientID or the subject's folder, such as "
    "LIDC-0001.nii.gz, all in one folder, and pass that with --masks and the names with --labels."
)
# What label objects of archives are, and which programs turn them into label maps.
_NOT_READ = {
    "SEG": "a DICOM segmentation (SEG), of which 3D Slicer or dcmqi's segimage2itkimage makes "
    "NIfTI",
    "RTSTRUCT": "contours (RTSTRUCT), of which 3D Slicer, plastimatch or dcmrtstruct2nii makes "
    "NIfTI",
}


@dataclass
class LabelMaps:
    """A folder of label maps.

    Attributes:
        folder: Holds them; None: there are none.
        taken: Those that are some patient's.
    """

    folder: Path | None
    taken: set[Path] = field(default_factory=set)

    def of(self, study: Study, names: set[str], alias: str) -> list[Path]:
        """Those of a study, at least one; the first is used.

        Args:
            study: Whose they are.
            names: Of its patient.
            alias: What the study is called in sentences.

        Raises:
            SkipVolume: There is none.
        """
        # A name of a header is no path.
        called = [f"{Path(name).name}{ending}" for name in sorted(names) for ending in _ENDINGS]
        fitting: list[Path] = []
        if self.folder is not None:
            fitting = [self.folder / name for name in called if (self.folder / name).is_file()]
        if fitting:
            self.taken.update(fitting)
            return fitting
        for modality, sentence in _NOT_READ.items():
            if modality in study.of_modality:
                raise SkipVolume(
                    alias,
                    f"has its labels as {sentence}. They are not read here. Left out; give {_HOW}",
                )
        raise SkipVolume(alias, f"has no label map. Left out; give one {_HOW}")

    def unused_note(self) -> list[str]:
        """A sentence on label maps that are nobody's: a subject may be called otherwise."""
        inside = [] if self.folder is None else sorted(self.folder.iterdir())
        names = [
            path.name
            for path in inside
            if path.name.endswith(_ENDINGS)
            and not path.name.startswith(".")
            and path not in self.taken
        ]
        if not names:
            return []
        shown = ", ".join(names[:_SHOWN])
        shown += f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        which = "1 label map that is" if len(names) == 1 else f"{len(names)} label maps that are"
        return [
            f"--masks {self.folder}: holds {which} called by no patient or subject here, and not "
            f"used: {shown}."
        ]
