"""Is a cache still what was written? Hashes of its arrays, and of the source where it is there."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from datamodules.film_cache import FilmCache
from datamodules.open_cache import open_cache
from datamodules.prepared_cache import PreparedCache
from datamodules.slice_cache import SliceCache
from display.numbers import count
from preparation.left_out import grouped
from preparation.volumes.shard import source_hash
from preparation.volumes.volume import Found
from provenance import sha256_of

MOST_LISTED = 20


@dataclass
class Verification:
    """Result of `verify`.

    Attributes:
        root: The cache folder.
        num_shards, num_items: Of the cache; items are slices or films, as `unit` says.
        num_checked, num_source_checked: Arrays and source files whose hash was computed.
        damaged, skipped: (file, reason).
    """

    root: Path
    unit: Literal["slices", "films"]
    num_shards: int
    num_items: int
    num_checked: int = 0
    num_source_checked: int = 0
    damaged: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def verify(folder: Path) -> Verification:
    """Compute every hash of a cache again; exit status 1 if something changed.

    Args:
        folder: Folder of the cache.
    """
    cache = open_cache(folder)
    return verify_films(cache) if isinstance(cache, FilmCache) else verify_slices(cache)


def verify_slices(cache: SliceCache, found: Found | None = None) -> Verification:
    """Compute every hash again and compare it with the manifest.

    Args:
        cache: To be checked.
        found: The source's jobs; where given, source files are compared too.
    """
    shards = cache.manifest["shards"]
    result = Verification(cache.root, "slices", len(shards), len(cache))
    for _, shard in tqdm(sorted(shards.items()), unit="volume", desc="verify"):
        for kind in ("image", "mask"):
            if shard[kind] is None:
                continue
            result.num_checked += 1
            if sha256_of(cache.root / shard[kind]) != shard[f"sha256_{kind}"]:
                result.damaged.append(
                    (
                        shard[kind],
                        "has changed since it was written. Give the prepare.py command that "
                        "made the cache again, with --verify: it makes this volume again.",
                    )
                )
    for job in found.jobs if found else []:
        for entry, name, path in zip(
            shards.get(job.shard, {}).get("source_files", []), job.names, job.files, strict=False
        ):
            result.num_source_checked += 1
            if source_hash(path) != entry["sha256"]:
                own = found.own_names.in_text(name) if found else name
                result.damaged.append(
                    (own, "has changed since the cache was made from it (its hash differs).")
                )
    _check_hashes(cache, result)
    table = cache.root / "skipped.csv"
    if table.is_file():
        with open(table, newline="", encoding="utf-8") as stream:
            result.skipped = [(row["file"], row["reason"]) for row in csv.DictReader(stream)]
    return result


def verify_films(cache: FilmCache) -> Verification:
    """Compute the hash of every array again and compare it with the manifest's."""
    result = Verification(cache.root, "films", len(cache.manifest["shards"]), len(cache))
    for shard in tqdm(cache.manifest["shards"], unit="shard", desc="verify"):
        result.num_checked += 1
        if sha256_of(cache.root / shard["array"]) != shard["sha256"]:
            result.damaged.append(
                (
                    shard["array"],
                    "has changed since it was written. Give the prepare.py command that made the "
                    "cache again, with --verify: it makes this shard again.",
                )
            )
    _check_hashes(cache, result)
    return result


def _check_hashes(cache: PreparedCache, result: Verification) -> None:
    """Compare the file of the sources' pixel hashes with its own hash."""
    entry = cache.manifest.get("pixel_hashes")
    if entry is None:
        return
    path = cache.root / entry["file"]
    if not path.is_file() or sha256_of(path) != entry["sha256"]:
        again = "is missing or has changed. Run the prepare.py command that made the cache again."
        result.damaged.append((entry["file"], again))


def print_verification(result: Verification) -> None:
    """Print what `verify` found; the last line says whether the cache is whole."""
    print_checked(result)
    if result.unit == "slices":
        print(
            f"{count(result.num_shards, 'volume')} used with {count(result.num_items, 'slice')}, "
            f"{len(result.skipped)} skipped."
        )
        print_listed(result.skipped, "skipped")
    state = "is damaged" if result.damaged else "is whole"
    held = count(result.num_items, result.unit.removesuffix("s"))
    print(f"Results: {result.root} {state}: {held}.")


def print_checked(result: Verification) -> None:
    """Print how many hashes were compared, and what has changed."""
    sources = (
        f" and {count(result.num_source_checked, 'source')}" if result.num_source_checked else ""
    )
    print(
        f"verify {result.root}: {count(result.num_checked, 'array')}{sources} checked, "
        f"{len(result.damaged)} changed."
    )
    print_listed(result.damaged, "changed")


def made_again_note(shards: Sequence[str]) -> list[str]:
    """A sentence on what an earlier run had finished and this one made again."""
    if not shards:
        return []
    listed = ", ".join(shards[:MOST_LISTED]) + (", ..." if len(shards) > MOST_LISTED else "")
    return [f"damaged since an earlier run, so made again from the source: {listed}."]


def print_listed(entries: Sequence[tuple[str, str]], word: str) -> None:
    """Print the first reasons, each after a word, with the files that they hold for."""
    lines = grouped(entries)
    for line in lines[:MOST_LISTED]:
        print(f"  {word} {line}")
    if len(lines) > MOST_LISTED:
        print(f"  and {len(lines) - MOST_LISTED} reasons more; all of them are in skipped.csv.")


def moved_lines(moved: Mapping[str, Sequence[str]], whose: str) -> list[str]:
    """Who is in another split than the own because of copies, the first by name.

    Args:
        moved: The split that each would have alone and the split now, see `split.moves`.
        whose: What is divided, in the plural.
    """
    if not moved:
        return []
    whose = whose.removesuffix("s") if len(moved) == 1 else whose
    lines = [f"  {len(moved):,} {whose} moved to another split, to be with their copies:"]
    shown = list(moved.items())[:MOST_LISTED]
    lines += [f"    {name}: from {alone} to {now}" for name, (alone, now) in shown]
    if len(moved) > MOST_LISTED:
        lines.append(f"    and {len(moved) - MOST_LISTED} more; all of them are in manifest.json.")
    return lines
