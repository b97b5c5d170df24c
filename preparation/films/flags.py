"""What the flags of a film command say: how films are stored, divided and named."""

import re
from pathlib import Path
from typing import Any

from datamodules.film_cache import FILMS_PER_SHARD, FilmCache
from preparation.films.processing import Clahe, FilmLayout
from preparation.films.pseudonyms import Pseudonyms
from preparation.split import Split
from provenance import UserError, sha256_of

_MEDMNIST_NAME = re.compile(r"[a-z]+mnist(_\d+)?")
# What may differ between two runs for the same cache, or is stored as a hash only.
_NO_SETTINGS = ("config", "out", "source", "labels", "download", "workers", "shard", "verify",
                "patient_salt", "patient_salt_file")  # fmt: skip


def film_settings(name: str, options: Any) -> dict[str, Any]:
    """All flags that decide on the bytes of the cache, as plain values.

    Raises:
        UserError: The label table or the salt's file is missing.
    """
    settings = {
        key: list(value) if isinstance(value, tuple | list) else value
        for key, value in vars(options).items()
        if key not in _NO_SETTINGS and not key.startswith("split_")
    }
    salt, _ = patient_salt(options)
    settings["patient_salt_check"] = Pseudonyms(salt, needed=False, remedy="").check()
    table = table_path(getattr(options, "labels", None))
    if table is not None and not table.is_file():
        raise UserError(f"--labels {table}: there is no such file. Give the label table (CSV).")
    settings["label_table_sha256"] = None if table is None else sha256_of(table)
    version = {"format": FilmCache.FORMAT, "format_version": FilmCache.FORMAT_VERSION}
    return {"command": name, **version, "films_per_shard": FILMS_PER_SHARD, **settings}


def film_split(options: Any, by: str | None = None) -> Split:
    """How the flags divide the films; `by` where the source prescribes it."""
    if by is None and is_medmnist(str(getattr(options, "source", ""))):
        by = "published"
    ratios = tuple(options.split_ratios)
    return Split(by or options.split_by, ratios, options.split_seed, options.split_all_to)


def film_layout(
    name: str, options: Any, size: int, margin: float = 0.05, clahe: Clahe | None = None
) -> FilmLayout:
    """What all films of the cache have in common; `margin` and `clahe` where no flag says so."""
    channels = getattr(options, "channels", 1)
    usual: Clahe = clahe or ("none" if channels == 3 else "after_resize")
    return FilmLayout(
        dataset=name,
        image_size=size,
        margin=margin if options.margin is None else options.margin,
        channels=channels,
        bit_depth=options.bit_depth,
        on_nonsquare=options.on_nonsquare,
        clahe=options.clahe or usual,
        clahe_clip_limit=options.clahe_clip_limit,
    )


def patient_salt(options: Any) -> tuple[str, str | None]:
    """The salt, and a sentence where everybody knows it.

    Raises:
        UserError: The file that shall hold it is missing or empty.
    """
    file = getattr(options, "patient_salt_file", None)
    if file is not None:
        path = Path(file)
        if not path.is_file() or not (salt := path.read_text().strip()):
            raise UserError(
                f"--patient-salt-file {path}: is "
                f"{'empty' if path.is_file() else 'missing'}. Make one, for example: "
                f"openssl rand -hex 32 > {path}"
            )
        return salt, None
    salt = getattr(options, "patient_salt", "understudy")
    known = salt == "understudy" and getattr(options, "patient_from", None) == "tag"
    note = (
        "patients are named by hashes with the salt that everybody knows; short identifiers can "
        "be guessed from them. Pass --patient-salt-file before a cache leaves your hands."
    )
    return salt, note if known else None


def table_path(labels: str | None) -> Path | None:
    """The label table that --labels names; None for none."""
    return None if labels in (None, "none") else Path(str(labels))


def is_medmnist(source: str) -> bool:
    """Whether a source is a MedMNIST file, or the name of one of its sets."""
    return source.endswith(".npz") or bool(_MEDMNIST_NAME.fullmatch(source))
