"""The flags of the film sources of `prepare.py`."""

from typing import Literal

from jsonargparse import ArgumentParser

from preparation.split import Split

FILM_SOURCES = {
    "chest_xray": "Prepare chest films from a folder of DICOM files: PA films by their tags, all "
    "others refused by reason and listed.",
    "image_folder": "Prepare PNG or JPEG pictures with a label table or in class folders, or a "
    "MedMNIST .npz file.",
    "phantom_cxr": "Draw chest films as DICOM, normal and abnormal, PA and lateral, and prepare "
    "them. Needs no data.",
}
_RATIOS = (0.6, 0.2, 0.2)


def add_film_flags(sub: ArgumentParser, name: str) -> None:
    """Add the flags of one film source to its parser."""
    add = sub.add_argument
    add("--out", required=True, type=str, help="Folder of the cache.")
    if name == "phantom_cxr":
        add("--num_patients", type=int, default=200, help="Patients to draw, 1 to 3 films each.")
        add("--seed", type=int, default=0, help="The same seed draws the same patients.")
    else:
        what = "Folder, zip or tar" + (", MedMNIST .npz" if name == "image_folder" else "")
        add("--source", required=True, type=str, help=f"{what} of the films; only read.")
    _add_picture_flags(sub, name)
    if name != "phantom_cxr":
        _add_label_flags(sub, name)
        _add_patient_flags(sub, name)
    if name != "image_folder":
        _add_dicom_flags(sub)
    add("--split_by", type=Literal["patient", "image"], default="patient",
        help="patient: all films of a patient in one split. image: films of one patient fall on "
        "both sides, which overstates every score.")  # fmt: skip
    add("--split_ratios", nargs=3, type=float, default=list(_RATIOS),
        help="Shares of train, val and test.")  # fmt: skip
    add("--split_seed", type=int, default=Split().seed, help="Another seed, another division.")
    add("--split_all_to", type=Literal["train", "val", "test"] | None, default=None,
        help="Put everything into train, val or test.")  # fmt: skip
    add("--on_duplicates", type=Literal["report", "same_split"], default="report",
        help="Equal and nearly equal films of different patients: list them in duplicates.csv, or "
        "also keep such patients on the same side.")  # fmt: skip
    add("--workers", type=int, default=1, help="Processes; each holds one film in memory.")
    add("--shard", type=str, default="1/1",
        help="i/n: make the i-th of n parts on this machine, into an --out of its own; "
        "prepare.py merge joins them.")  # fmt: skip
    add("--verify", action="store_true",
        help="Compare what an earlier run finished with its hashes; make damaged parts again.",
    )  # fmt: skip


def _add_picture_flags(sub: ArgumentParser, name: str) -> None:
    add = sub.add_argument
    own = " Default: 512, for .npz the file's own." if name == "image_folder" else ""
    add("--image_size", type=int | None, default=128 if name == "phantom_cxr" else None,
        help=f"Height = width that a network sees, in pixels.{own or ' Default: 512.'}"
        if name != "phantom_cxr" else "Height = width that a network sees, in pixels.")  # fmt: skip
    add("--margin", type=float | None, default=None,
        help="Share of the stored side that the random crop at training takes away. Default: "
        "0.05; 0 for .npz files.")  # fmt: skip
    add("--bit_depth", type=Literal[8, 16], default=8, help="Bits of a stored pixel.")
    add("--on_nonsquare", type=Literal["pad", "crop", "stretch"], default="pad",
        help="Films that are not square: pad with black, crop the middle, or stretch.")  # fmt: skip
    add("--clahe", type=Literal["after_resize", "before_resize", "none"] | None, default=None,
        help="Contrast-limited adaptive histogram equalisation of the stored film, of the whole "
        "film as the paper does, or none. Default: after_resize; none for colour and .npz.",
    )  # fmt: skip
    add("--clahe_clip_limit", type=float, default=0.01, help="scikit-image's: 0 to 1.")
    if name == "image_folder":
        add("--channels", type=Literal[1, 3], default=1, help="1: grey, 3: colour.")
        add("--download", type=bool, default=False,
            help="For the name of a MedMNIST set as --source, such as pneumoniamnist: fetch it.",
        )  # fmt: skip


def _add_label_flags(sub: ArgumentParser, name: str) -> None:
    add = sub.add_argument
    folders = (
        " Default: the names of the class folders, where the pictures lie in 2 to 20 of them; "
        "none: no labels."
        if name == "image_folder"
        else ""
    )
    add(
        "--labels", type=str | None, default=None, help=f"Table (CSV) with a row per film.{folders}"
    )
    add("--label_columns", nargs="+", type=str, default=["label"],
        help="Columns of the table to keep as labels; no other column is read.")  # fmt: skip
    add("--key_column", type=str | None, default=None,
        help="Column that names the film: its file or SOPInstanceUID. Default: image, file, "
        "filename, path, sop_instance_uid or Image Index.")  # fmt: skip
    add("--patient_column", type=str | None, default=None,
        help="Column that names the patient. Default: patient, patient_id or Patient ID.",
    )  # fmt: skip
    add("--unlabelled", type=Literal["reject", "keep"], default="reject",
        help="Films without a label: leave them out, or keep them without.")  # fmt: skip


def _add_patient_flags(sub: ArgumentParser, name: str) -> None:
    add = sub.add_argument
    if name == "image_folder":
        add("--patient_pattern", type=str | None, default=None,
            help="Regular expression that finds the patient in a file's name, such as "
            r"'IM-\d+|person\d+'.")  # fmt: skip
        add("--patient_from", type=Literal["none", "folder", "file"], default="none",
            help="folder: the folder's name is the patient. file: every picture is somebody else.",
        )  # fmt: skip
    else:
        add("--patient_from", type=Literal["tag", "folder", "file"], default="tag",
            help="tag: PatientID. folder: the folder's name. file: every film is somebody else.",
        )  # fmt: skip
    add("--patient_salt", type=str, default="understudy",
        help="Mixed into the hashes that name patients and films. Not stored.")  # fmt: skip
    add("--patient_salt_file", type=str | None, default=None,
        help="File that holds the salt instead: a secret of your own, without which short "
        "identifiers cannot be guessed from a shared cache.")  # fmt: skip


def _add_dicom_flags(sub: ArgumentParser) -> None:
    add = sub.add_argument
    add("--view", nargs="+", type=str, default=["PA"],
        help="Values of ViewPosition to take; any takes every film.")  # fmt: skip
    add("--view_from_text", action="store_true",
        help="Where ViewPosition is missing, look for the view in the words of the series, "
        "protocol and study descriptions.")  # fmt: skip
    add("--without_body_part", type=Literal["reject", "keep"], default="reject",
        help="Films that do not name a body part.")  # fmt: skip
    add("--orientation", type=Literal["reject", "ignore"], default="reject",
        help="Films whose PatientOrientation says that they are turned.")  # fmt: skip
