"""The folder of a cache: whose it is, and that one command at a time works on it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datamodules.film_cache import FilmCache
from datamodules.slice_cache import SliceCache
from output_folder import claim_folder, locked, refuse_differences
from preparation.split import Split
from provenance import UserError, read_json


@contextmanager
def claimed(out: Path, settings: Mapping[str, Any], split: Split) -> Iterator[None]:
    """Work on a folder as this cache's, or refuse one that belongs to something else.

    The split is compared only with a finished manifest: until then it may still be chosen.

    Args:
        out: The cache folder.
        settings: All that decides on the bytes of the cache; plain JSON values.
        split: How its images are split.

    Raises:
        UserError: It holds other files, another data set or other settings, or another prepare.py
            is at work on it. Nothing is changed.
    """
    with locked(out, "prepare.py"):
        made = any((out / "records").glob("*.json"))
        # Some settings are said only where they were given: one that is gone differs too.
        path = out / "settings.json"
        begun = read_json(path) if made and path.is_file() else {}
        if made and "patients" in settings and "patients" not in begun:
            raise UserError(
                f"{out}: was made by an earlier version, which named patients and files "
                "differently. Nothing was changed, and it can still be read. To make it anew give "
                "the same command with another --out: patients stay in their splits."
            )
        _refuse_another_kind(out, begun.get("format"), settings.get("format"))
        absent = {key: None for key in begun if key not in settings}
        identity = {**settings, **absent}
        claim_folder(out, path.name, identity, "cache", may_differ=not made)
        if (out / "manifest.json").is_file():
            manifest = read_json(out / "manifest.json")
            refuse_differences(out, "cache", manifest, {"split": split.plain()})
        yield


def _refuse_another_kind(out: Path, begun: str | None, wanted: str | None) -> None:
    """Refuse (UserError) a folder with the other kind of cache: nearly every setting differs."""
    if None not in (begun, wanted) and begun != wanted:
        kinds = {FilmCache.FORMAT: "films", SliceCache.FORMAT: "CT slices"}
        raise UserError(
            f"{out}: holds a cache of {kinds.get(str(begun), begun)}, and this command makes one "
            f"of {kinds.get(str(wanted), wanted)}. Nothing was changed. Give another --out."
        )


def refuse_one_in_the_other(
    out: Path, source: Path, masks: Path | None = None, noun: str = "cache"
) -> None:
    """Refuse an output folder among the files that it is made of, or the other way round.

    Args:
        out: The output folder; nothing is made.
        source: What it is made of: a folder or a file.
        masks: Of the images, where they lie in a folder of their own.
        noun: What the folder is to hold: "cache" or "set".

    Raises:
        UserError: One lies in the other.
    """
    for flag, given in (("--source", source), ("--masks", masks)):
        if given is None:
            continue
        own, theirs = out.resolve(), given.resolve()
        if own.is_relative_to(theirs):
            raise UserError(
                f"--out {out}: is inside {flag} {given}. The next time the files of the {noun} "
                "would be read as raw data. Nothing was changed. Give a folder outside of it."
            )
        if theirs.is_relative_to(own):
            raise UserError(
                f"{flag} {given}: is inside --out {out}, a folder for nothing but the {noun}. "
                "Nothing was changed. Give another --out."
            )
