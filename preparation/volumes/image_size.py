"""How large the slices of a cache become where nobody says it."""

from collections import Counter
from typing import Any

from preparation.volumes.volume import Found


def common_size(found: Found, on_nonsquare: str = "pad") -> int:
    """Return the most common height or width (the larger) of the source's slices, in pixels.

    Args:
        found: What its headers tell is not used does not count.
        on_nonsquare: With `skip`, slices that are no squares do not count either.
    """
    shapes = (job.slice_shape for job in found.jobs)
    used = (max(s) for s in shapes if on_nonsquare != "skip" or s[0] == s[1])
    sizes = Counter(size for size in used if size > 0)
    return max(sorted(sizes), key=sizes.__getitem__) if sizes else 0


def resized_note(found: Found, manifest: dict[str, Any]) -> list[str]:
    """A sentence where volumes that are used were resized, though nobody gave a size."""
    size = manifest["image_size"]
    sides = [max(job.slice_shape) for job in found.jobs if job.shard in manifest["shards"]]
    other = Counter(side for side in sides if side not in (0, size))
    if not other:
        return []
    whose = f"of {min(other)}" if len(other) == 1 else f"of {min(other)} to {max(other)}"
    count = other.total()
    verbs = ("has", "was") if count == 1 else ("have", "were")
    chosen = "the most common size" if size in sides else "the size of volumes that were left out"
    return [
        f"{count} of {len(sides)} volumes {verbs[0]} slices {whose} pixels and {verbs[1]} resized "
        f"to {size}, {chosen}. Pass --image-size for another, into another --out."
    ]
