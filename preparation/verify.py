"""Is a cache still what was written? Hashes of its arrays, and of the source where it is there."""

import csv
from dataclasses import dataclass, field

from tqdm import tqdm

from datamodules.film_cache import FilmCache
from datamodules.slice_cache import SliceCache
from preparation.volumes.shard import record_path, source_hash
from preparation.volumes.volume import Found
from provenance import sha256_of


@dataclass
class Verification:
    """Result of `verify`. `damaged` and `skipped` hold (file, reason)."""

    num_checked: int = 0
    num_source_checked: int = 0
    num_volumes: int = 0
    num_slices: int = 0
    damaged: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def verify(cache: SliceCache, found: Found | None = None) -> Verification:
    """Compute every hash again and compare it with the manifest.

    Args:
        cache: To be checked.
        found: The source's jobs; where given, source files are compared too.
    """
    shards = cache.manifest["shards"]
    result = Verification(num_volumes=len(shards), num_slices=len(cache))
    for name, shard in tqdm(sorted(shards.items()), unit="volume", desc="verify"):
        for kind in ("image", "mask"):
            if shard[kind] is None:
                continue
            result.num_checked += 1
            if sha256_of(cache.root / shard[kind]) != shard[f"sha256_{kind}"]:
                result.damaged.append(
                    (
                        shard[kind],
                        "has changed since it was written. Remove "
                        f"{record_path(cache.root, name)} and run the same prepare.py command "
                        "again.",
                    )
                )
    for job in found.jobs if found else []:
        for entry, name, path in zip(
            shards.get(job.shard, {}).get("source_files", []), job.names, job.files, strict=False
        ):
            result.num_source_checked += 1
            if source_hash(path) != entry["sha256"]:
                result.damaged.append(
                    (name, "has changed since the cache was made from it (its hash differs).")
                )
    table = cache.root / "skipped.csv"
    if table.is_file():
        with open(table, newline="", encoding="utf-8") as stream:
            result.skipped = [(row["file"], row["reason"]) for row in csv.DictReader(stream)]
    return result


def verify_films(cache: FilmCache) -> Verification:
    """Compute the hash of every array again and compare it with the manifest's."""
    result = Verification(num_volumes=len(cache.manifest["shards"]), num_slices=len(cache))
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
    return result
