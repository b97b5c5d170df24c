"""Plain folders of images, which nobody has prepared, as evaluate.py takes them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from provenance import UserError

# What generate.py and prepare.py begin a folder with, and finish it with.
_OURS = {"manifest.json", "request.json", "settings.json", "part.json"}


@dataclass(frozen=True, kw_only=True)
class PlainFolders:
    """What plain folders need that caches and sets do not.

    Attributes:
        held_out: Plain folders only. Folder of real images that the generator has not seen. None:
            some of the real images are held out.
        patients: Plain folders only. Table (CSV) with each real image and its patient.
        patient_pattern: Plain folders only. Regular expression that finds the patient in the name
            of a real image.
        patient_from: Plain folders only. What names the patient. file: each real file counts as a
            patient. folder: the folder's name.
        image_size: Plain folders only. Side in pixels to which all images are resized. None: the
            most common one of the synthetic images, at most 256.
        black: Plain folders only. Value of black in NumPy, NIfTI and CT DICOM files, such as -1;
            with --white. None: as for prepare.py synthetic --values; for CT -200 HU.
        white: Plain folders only. Value of white, such as 1. None: for CT 200 HU.
        workers: Plain folders only. Number of processes that read images.
    """

    held_out: Path | None = None
    patients: Path | None = None
    patient_pattern: str | None = None
    patient_from: Literal["file", "folder"] = "file"
    image_size: int | None = None
    black: float | None = None
    white: float | None = None
    workers: int = 1

    @property
    def values(self) -> tuple[float, ...]:
        """Black and white, as far as they are given."""
        return tuple(value for value in (self.black, self.white) if value is not None)


def is_plain(folder: Path) -> bool:
    """Whether a folder holds anything and is no cache and no set, finished or not; or is a file."""
    if not folder.is_dir():
        return folder.is_file()
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    return bool(names) and not names & _OURS


def prepared_folders(
    kind: str, settings: Mapping[str, Any], folders: PlainFolders
) -> dict[str, Any]:
    """Settings of what was made of plain folders; none where a cache and a set were given.

    Args:
        kind: "images" or "audit", what evaluate.py was asked for.
        settings: Its settings: `root`, `synthetic`, `split` and `out`.
        folders: What was given besides, for plain folders.

    Raises:
        UserError: One is plain and the other is not, or a flag is for the other kind.
    """
    real, made = Path(settings["root"]), Path(settings["synthetic"])
    plain = [is_plain(real), is_plain(made)]
    if not all(plain):
        for one in fields(PlainFolders):
            value = getattr(folders, one.name)
            if value != one.default:
                raise UserError(
                    f"--{one.name.replace('_', '-')} {value}: is for two plain folders of images, "
                    f"and {made if plain[0] else real} is none. Leave it out."
                )
        if plain[0] and (made / "manifest.json").is_file():
            raise UserError(
                f"{real}: is a plain folder, but {made} is a synthetic set. Prepare the real "
                "images (prepare.py image_folder, chest_xray, ...), or give two plain folders."
            )
        if plain[1] and (real / "manifest.json").is_file():
            raise UserError(
                f"{made}: is a plain folder, but {real} is a cache. Bring the images in first: "
                f"python prepare.py synthetic --source {made} --like {real} --trained-on unknown "
                "--out SET (or --trained-on CACHE), and give SET."
            )
        return {}
    usual = "val" if kind == "images" else "val+test"
    if settings["split"] != usual:
        raise UserError(
            f"--split {settings['split']}: two plain folders have no splits. Leave it out"
            + ("; --held-out FOLDER names held-out images." if kind == "audit" else ".")
        )
    if kind == "images" and folders.held_out is not None:
        raise UserError(
            f"--held-out {folders.held_out}: is for evaluate.py audit. Leave it out, or compare "
            "with that folder as --real."
        )
    from preparation.split import Split
    from preparation.synthetic.pictures import prepared_pictures

    divided = Split(all_to="test") if kind == "images" else Split(ratios=(0.7, 0.15, 0.15))
    found = prepared_pictures(real, made, settings["out"], folders, divided)
    print(
        f"{found.cache.parent}: the images as they are compared. It shows patients: keep it "
        "with the data."
    )
    return {
        "root": found.cache,
        "synthetic": found.made,
        "notes": found.notes,
        "split": "test" if kind == "images" or folders.held_out else usual,
    }
