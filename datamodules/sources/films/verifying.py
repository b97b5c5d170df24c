"""Is a film cache still what was written?"""

from pathlib import Path

from tqdm import tqdm

from datamodules.film_cache import FilmCache
from datamodules.sources.verifying import Verification
from provenance import sha256_of


def verify_films(out: Path) -> Verification:
    """Compute the hash of every array again and compare it with the manifest's.

    Raises:
        UserError: There is no finished film cache, or files of it are missing or cut short.
    """
    cache = FilmCache.open(out)  # compares items.csv with its hash
    result = Verification(num_volumes=len(cache.manifest["shards"]), num_slices=len(cache))
    for shard in tqdm(cache.manifest["shards"], unit="shard", desc="verify"):
        result.num_checked += 1
        if sha256_of(out / shard["array"]) != shard["sha256"]:
            result.damaged.append(
                (
                    shard["array"],
                    "has changed since it was written. Give the prepare.py command that made the "
                    "cache again, with --verify: it makes this shard again.",
                )
            )
    return result
