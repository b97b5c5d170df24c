"""The subcommands of `prepare.py` and their flags, with what each does."""

from typing import Literal

from jsonargparse import ArgumentParser

from preparation.split import Split

SOURCES = {
    "phantom_ct": "Draw synthetic abdominal CT with kidneys and tumours, in KiTS19's layout, and "
    "prepare it. Needs no data: what the quickstart and the tests run on.",
    "kits19": "Prepare KiTS19: case_00000/imaging.nii.gz and segmentation.nii.gz, or any NIfTI "
    "pairs in that layout with labels 0 background, 1 kidney, 2 tumour.",
    "ct_dicom": "Prepare CT series in DICOM with masks in DICOM: PATIENT_DICOM/ and "
    "MASKS_DICOM/<structure>/, for one patient or a folder of patients (3D-IRCADb's layout).",
    "slices": "Prepare pairs of 8-bit PNG slices: image/, label/ and index.csv with the columns "
    "file, case and slice. Grey values pass through unwindowed.",
    "masks": "Prepare label volumes alone (case_00000/segmentation.nii.gz), to generate images "
    "from.",
}
OTHERS = {
    "merge": "Join the parts that prepare.py --shard i/n made on several machines.",
    "verify": "Compute every hash of a cache again; exit with 1 if something changed.",
}


def add_flags(sub: ArgumentParser, name: str) -> None:
    """Add the flags of one CT source, or of `merge` or `verify`, to its parser."""
    add = sub.add_argument
    if name == "verify":
        add("folder", type=str, help="Folder of the cache.")
        return
    if name == "merge":
        add("parts", nargs="+", type=str, help="The parts' folders, in any order.")
    add("--out", required=True, type=str, help="Folder of the cache.")
    if name == "merge":
        return
    if name == "phantom_ct":
        add("--num_patients", type=int, default=40, help="Patients to draw.")
        add("--num_slices", type=int, default=24, help="Slices per patient.")
        add("--seed", type=int, default=0, help="The same seed draws the same patients.")
        add("--image_size", type=int, default=64, help="Height = width in pixels.")
    else:
        add("--source", required=True, type=str, help="Folder of the raw data; only read.")
        add(
            "--image_size", type=int | None, default=None,
            help="Height = width in pixels to resize to. Default: the source's own size.",
        )  # fmt: skip
    if name in ("phantom_ct", "kits19", "ct_dicom"):
        add("--window_width_hu", type=float, default=400.0, help="Width of the window in HU.")
        add("--window_center_hu", type=float, default=0.0, help="Centre of the window in HU.")
    if name == "ct_dicom":
        add(
            "--mask_labels", nargs="*", type=str, default=[],
            help="Label of mask folders whose name does not tell: leftkidney=1 mass=2. Folders "
            "named kidney become 1, tumour 2; other structures are not used.",
        )  # fmt: skip
        add(
            "--series", type=str | None, default=None,
            help="SeriesInstanceUID, or its end, where a folder holds several. Default: largest.",
        )  # fmt: skip
        add(
            "--patient_salt", type=str, default="understudy",
            help="Mixed into the hash of PatientID that names a patient. Give a secret of your "
            "own: short identifiers can be guessed from an unsalted hash. It is not stored.",
        )  # fmt: skip
        add(
            "--patient_id_from", type=Literal["tag", "folder"], default="tag",
            help="tag: a hash of PatientID. folder: the folder's name as it is; only where it "
            "identifies nobody.",
        )  # fmt: skip
    default = Split()
    add(
        "--split_by", type=Literal["patient", "slice"], default=default.by,
        help="patient: all slices of a patient in one split. slice: as in the paper; slices of "
        "one patient fall on both sides, which overstates every score.",
    )  # fmt: skip
    add(
        "--split_ratios", nargs=3, type=float, default=list(default.ratios),
        help="Shares of train, val and test.",
    )  # fmt: skip
    add("--split_seed", type=int, default=default.seed, help="Another seed, another division.")
    add(
        "--split_all_to", type=Literal["train", "val", "test"] | None, default=None,
        help="Put everything into train, val or test. Default: test for a single patient.",
    )  # fmt: skip
    add(
        "--on_nonsquare", type=Literal["pad", "skip"], default="pad",
        help="Slices that are not square: pad them with air and background, or skip the volume.",
    )  # fmt: skip
    add("--workers", type=int, default=1, help="Processes; each holds one volume in memory.")
    add("--verify", action="store_true", help="Compute all hashes again when done.")
