"""Joins the parts that several machines made of one source."""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datamodules.named_files import inside
from licences import Licence
from preparation.claim import claimed
from preparation.disk import record_path
from preparation.films.assemble import FilmOutcome, assemble
from preparation.films.film_layout import FilmLayout
from preparation.films.names import bring_names
from preparation.split import Split
from provenance import UserError, read_json, sha256_of


def merge(parts: tuple[Path, ...], *, out: Path) -> FilmOutcome:
    """Join the parts that prepare.py --shard i/n made on several machines.

    The cache has the same bytes as if one machine had made it. Arrays are linked if the file system
    can, else copied; the parts stay as they are. After an interruption, give the same command
    again. If PART.private is beside a part, its names are added to OUT.private.

    Args:
        parts: The parts' folders, in any order.
        out: Folder of the cache.

    Raises:
        UserError: A part is missing, unfinished, doubled or of another preparation.
    """
    found = [_read_part(folder) for folder in parts]
    _check_complete(parts, found)
    first = found[0]
    try:
        split = Split(**{**first["split"], "ratios": tuple(first["split"]["ratios"])})
        layout = FilmLayout(**first["layout"])
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"{parts[0] / 'part.json'}: is not what prepare.py --shard writes ({error}). Nothing "
            "was joined; use the part as it was written."
        ) from error
    licence = _licence(parts, found)
    with claimed(out, first["settings"], split):
        for folder, part in zip(parts, found, strict=True):
            for shard in part["shards"]:
                bring_names(folder, out, shard)
                _bring(folder, out, shard)
        shards = sorted(shard for part in found for shard in part["shards"])
        return assemble(
            out,
            shards,
            layout,
            split,
            first["label_columns"],
            first["settings"]["patients"],
            licence,
            first["settings"]["on_duplicates"],
        )


def _licence(folders: Sequence[Path], parts: Sequence[dict[str, Any]]) -> Licence:
    """What was stated with any of the parts."""
    told = [Licence.of_plain(part.get("licence"), part["layout"].get("dataset")) for part in parts]
    stated = {one: folder for folder, one in zip(folders, told, strict=True) if one.is_stated}
    if len(stated) > 1:
        (first, one), (second, other), *_ = ((name.in_words, of) for name, of in stated.items())
        raise UserError(
            f"{one} and {other}: their licences were stated as {first} and {second}. Nothing was "
            "joined; give the prepare.py commands of the parts again, with one --licence."
        )
    return next(iter(stated), Licence())


def _read_part(folder: Path) -> dict[str, Any]:
    path = folder / "part.json"
    if not path.is_file():
        told = "is no part of a preparation. Give the folders that prepare.py --shard wrote."
        if (folder / "manifest.json").is_file():
            told = (
                "is a finished cache, not a part. Give the folders that prepare.py --shard wrote."
            )
        elif (folder / "records").is_dir():
            told = (
                "is not finished (no part.json). Run its prepare.py --shard command again; it "
                "continues where it stopped."
            )
        raise UserError(f"{folder}: {told}")
    part: dict[str, Any] = read_json(path)
    _check_part(part, path)
    if "patients" not in part["settings"]:
        raise UserError(
            f"{folder}: was made by an earlier version, and its records name files of the source. "
            "Nothing was joined. Make the part again, with the same command and another --out."
        )
    return part


def _check_part(part: Any, path: Path) -> None:
    """Refuse what no preparation writes: a part comes from another machine, perhaps not ours.

    Names of shards become paths, here and in the cache that the parts are joined to.
    """
    kinds = {"part": int, "of": int, "shards": list, "all_shards": int, "settings": dict,
             "split": dict, "layout": dict, "label_columns": list}  # fmt: skip
    wrong = [
        key
        for key, kind in kinds.items()
        if not isinstance(part, dict) or not isinstance(part.get(key), kind)
    ]
    if not wrong and not all(
        isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_]+", name) for name in part["shards"]
    ):
        wrong = ["shards"]
    if wrong:
        raise UserError(
            f"{path}: is not what prepare.py --shard writes ({', '.join(wrong)}). Nothing was "
            "joined; use the part as it was written."
        )


def _check_complete(folders: Sequence[Path], parts: Sequence[dict[str, Any]]) -> None:
    of = parts[0]["of"]
    for folder, part in zip(folders, parts, strict=True):
        for key in ("of", "all_shards", "settings", "split", "label_columns"):
            if part[key] != parts[0][key]:
                raise UserError(
                    f"{folder}: belongs to another preparation than {folders[0]} (their {key} "
                    "differ). Give the parts of one command."
                )
    indices = [part["part"] for part in parts]
    missing = [f"{i}/{of}" for i in range(1, of + 1) if i not in indices]
    if missing or len(indices) > of:
        what = f"missing: --shard {', '.join(missing)}" if missing else "one is given twice"
        raise UserError(f"{len(indices)} parts of {of} were given; {what}. Nothing was joined.")


def _bring(folder: Path, out: Path, shard: str) -> None:
    """Link or copy a shard's array, checked by its hash, and then its record."""
    record = record_path(out, shard)
    if record.is_file():
        return
    content = read_json(record_path(folder, shard))
    array = content.get("array") if isinstance(content, dict) else ""
    if array not in (None, f"arrays/{shard}.npy"):
        raise UserError(
            f"{record_path(folder, shard)}: names the array {str(array)[:200]!r}, expected "
            f"arrays/{shard}.npy. Nothing more was joined; use the part as it was written."
        )
    if array is not None:
        if sha256_of(inside(folder, array)) != content.get("sha256"):
            raise UserError(
                f"{folder / array}: is damaged. Run the prepare.py command that made this part "
                "again, with --verify, and merge again."
            )
        _link(folder / array, out / array)
    _link(record_path(folder, shard), record)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.part")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:  # another file system
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)
