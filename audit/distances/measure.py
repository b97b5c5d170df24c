"""Attacks and scores that rest on distances between images, by one extractor or several.

Beside the search for copies, and less sharp: a copy that was turned or mirrored is far by most
extractors. They ask more widely, though: not whether an image is a copy, but whether the set as a
whole lies nearer to those whom its generator knew.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tqdm import tqdm

from audit.distances.fidelity import fidelity
from audit.distances.membership import membership
from audit.distances.reidentification import reidentification
from audit.distances.spaces import Space
from audit.images import AuditedSets

_PARTS: Mapping[str, Callable[[Space, AuditedSets, int], dict[str, Any] | None]] = {
    "membership": membership,
    "reidentification": reidentification,
    "fidelity": fidelity,
}


def by_distance(
    spaces: Sequence[Space], sets: AuditedSets, seed: int, show_progress: bool = False
) -> dict[str, dict[str, Any]]:
    """Plain values for audit.json, by the extractors' names; nothing of them names a patient."""
    found: dict[str, dict[str, Any]] = {}
    total = len(spaces) * len(_PARTS)
    with tqdm(total=total, desc="attacks and scores", disable=not show_progress) as bar:
        for space in spaces:
            found[space.name] = {"description": space.description}
            for name, measure in _PARTS.items():
                bar.set_postfix_str(f"{name}, {space.name}")
                found[space.name][name] = measure(space, sets, seed)
                bar.update()
    return found
