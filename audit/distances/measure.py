"""Attacks and scores that rest on distances between images, by one extractor or several.

Beside the search for copies, and less sharp: a copy that was turned or mirrored is far by most
extractors. They ask more widely, though: not whether an image is a copy, but whether the set as a
whole lies nearer to those whom its generator knew.
"""

from collections.abc import Iterable
from typing import Any

from audit.distances.fidelity import fidelity
from audit.distances.membership import membership
from audit.distances.reidentification import reidentification
from audit.distances.spaces import Space
from audit.images import AuditedSets


def by_distance(spaces: Iterable[Space], sets: AuditedSets, seed: int) -> dict[str, dict[str, Any]]:
    """Plain values for audit.json, by the extractors' names; nothing of them names a patient."""
    return {
        space.name: {
            "description": space.description,
            "membership": membership(space, sets, seed),
            "reidentification": reidentification(space, sets, seed),
            "fidelity": fidelity(space, sets, seed),
        }
        for space in spaces
    }
