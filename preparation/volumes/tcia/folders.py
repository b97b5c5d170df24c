"""Which folders hold a series of DICOM, of which study, and of which modality."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from preparation.volumes.dicom_file import read_dicom

# Of a folder, until one is DICOM: archives put a licence and a list beside the series.
_TRIED = 5


@dataclass
class Study:
    """Folders of series that lie beside one another.

    Attributes:
        folder: That they lie in.
        subject: Name of the folder that tells whose study it is.
        of_modality: The folders of each modality, sorted.
    """

    folder: Path
    subject: str
    of_modality: dict[str, list[Path]] = field(default_factory=dict)

    @property
    def others(self) -> list[str]:
        """Modalities that are no CT, sorted."""
        return sorted(self.of_modality.keys() - {"CT"})


def studies_in(source: Path) -> tuple[list[Study], list[Path]]:
    """The studies below a folder, at any depth, and folders of DICOM that cannot be read; sorted.

    A study is the folder above those of its series: of Subject/Study/Series and of Subject/Series.
    Its subject is the folder above it, or itself where that is the source.
    """
    found: dict[Path, Study] = {}
    unread: list[Path] = []
    for name, folders, files in os.walk(source):
        folders.sort()
        folder = Path(name)
        modality = _modality(folder, sorted(files))
        if modality is None:
            if folder != source and any(one.lower().endswith(".dcm") for one in files):
                unread.append(folder)
            continue
        of = folder if folder == source else folder.parent
        of = folder if of == source else of
        subject = of.name if of == source or of.parent == source else of.parent.name
        study = found.setdefault(of, Study(of, subject))
        study.of_modality.setdefault(modality, []).append(folder)
    return [found[folder] for folder in sorted(found)], sorted(unread)


def _modality(folder: Path, files: Sequence[str]) -> str | None:
    """Of the first DICOM file among the first files of a folder; None where there is none."""
    for name in [name for name in files if not name.startswith(".")][:_TRIED]:
        try:
            header, _ = read_dicom(folder / name)
        except Exception:  # said when the series is read, if it is one
            continue
        if header is not None and header.get("Modality"):
            return str(header.Modality).strip().upper()
    return None
