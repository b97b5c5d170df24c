"""KiTS19's layout: `case_00000/imaging.nii.gz` and `segmentation.nii.gz`."""

from collections.abc import Sequence
from pathlib import Path

from preparation.pseudonym import Naming
from preparation.volumes.labels.values import MaskValues
from preparation.volumes.nifti.file import NamedFile
from preparation.volumes.nifti.job import nifti_job
from preparation.volumes.volume import (
    Found,
    Job,
    SkipVolume,
    existing_folder,
    found_each,
    named_folder,
)
from provenance import UserError

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
            + (" It has a dataset.json: use prepare.py nnunet." if _is_nnunet(source) else "")
        )
    found = Found(naming=naming)
    cases = set(folders)
    found.notes += passed_over_note([folder for folder in inside if folder not in cases])
    return found_each(folders, found, lambda folder: _job(folder, masks_alone, values, found))


def _is_nnunet(source: Path) -> bool:
    return (source / "dataset.json").is_file()


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
    files: list[NamedFile] = []
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
        files.append((path, found.own_names.add(f"{shard}/{path.name}", own, path)))
    return nifti_job(shard, patient, folder.name, files, values)
