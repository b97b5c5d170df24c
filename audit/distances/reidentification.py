"""Does a synthetic image lead to further images of the patient whom it was made from?

A copy of one image of a patient is near the patient's other images too. Each synthetic image names
the training patient whose image is nearest; that image is set aside, and the patient's others are
ranked among held-out patients' images by how near they are. Somebody who resembles an image
resembles it in every film, so a nearest patient's other images come first oftener than 1 in m: what
that comes to without any copy, held-out images in the synthetic one's place say.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from audit.distances.spaces import Space
from audit.images import AuditedSets
from audit.search import distance_to_nearest
from audit.statistics import BoolArray, difference_by_chance, share_of

FEWEST_PATIENTS = 10
"""With several training images each; of fewer, too little hangs on too few."""

BEYOND_CHANCE = 0.005


def reidentification(space: Space, sets: AuditedSets, seed: int) -> dict[str, Any]:
    """The share of images whose patient's other images come first, with its controls.

    Args:
        space: Where distances are measured.
        sets: Whose images they are.
        seed: Of the permutations, and of which held-out patient is not among the ranked ones.

    Returns:
        "num_patients": training patients with several images. Where these are enough also
        "reidentified", the share of synthetic images that are ranked first, "reidentified_held_out"
        and "reidentified_copies" (the training images themselves, each set aside as its own copy's
        nearest), each "value", "low" and "high", 95 % over patients; "p" of synthetic against
        held-out ones, permutations of whole patients; "succeeds".
    """
    names = np.array(sets.training.patients, str)
    owner, counts = np.unique(names, return_inverse=True, return_counts=True)[1:]
    several = counts[owner] > 1
    number = int((counts > 1).sum())
    found: dict[str, Any] = {"num_patients": number, "num_images": int(several.sum())}
    if number < FEWEST_PATIENTS:
        return found | {"succeeds": False}
    random = np.random.default_rng(seed)
    gallery = space.training[several], torch.from_numpy(owner[several])
    strangers = np.unique(sets.held_out.patients, return_inverse=True)[1]

    def first(queries: Tensor, own: np.ndarray | None = None) -> BoolArray:
        # A held-out image is not ranked among its own patient's; others leave out one as well.
        without = random.integers(strangers.max() + 1, size=len(queries)) if own is None else own
        to_strangers = distance_to_nearest(
            queries, space.held_out, torch.from_numpy(without), torch.from_numpy(strangers)
        )
        ranked: BoolArray = (distance_to_another(queries, *gallery) < to_strangers).numpy()
        return ranked

    groups = {
        "reidentified": (first(space.synthetic), sets.synthetic.patients),
        "reidentified_held_out": (first(space.held_out, strangers), sets.held_out.patients),
        "reidentified_copies": (first(gallery[0]), names[several].tolist()),
    }
    for name, (flags, patients) in groups.items():
        share = share_of(flags, patients)
        found[name] = {"value": share.value, "low": share.low, "high": share.high}
    p = difference_by_chance(*groups["reidentified"], *groups["reidentified_held_out"], seed)
    return found | {"p": p, "succeeds": p <= BEYOND_CHANCE}


def distance_to_another(queries: Tensor, gallery: Tensor, patients: Tensor) -> Tensor:
    """(N,) distance to the nearest other image of the patient whose image is nearest.

    Args:
        queries: (N, D).
        gallery: (M, D), of patients with two images at least.
        patients: (M,) whose each is.
    """
    found = []
    for block in queries.split(max(1, 2**24 // len(gallery))):
        distances = torch.cdist(block, gallery)
        nearest = distances.argmin(1, keepdim=True)
        others = (patients == patients[nearest]).scatter(1, nearest, False)
        found.append(distances.masked_fill(~others, torch.inf).min(1).values)
    return torch.cat(found)
