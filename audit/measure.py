"""The measurements of an audit: the set, held-out images and planted copies, all judged alike."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from audit.distances.spaces import own_space, space_of
from audit.images import AuditedSets
from audit.kept_embedding import NUMBER, both_embeddings
from audit.matching import Gallery, Matches, match, points_of
from audit.measured import Measured
from audit.planted import Planted, plant
from audit.statistics import (
    PERMUTATIONS,
    BoolArray,
    FloatArray,
    Scale,
    by_chance,
    effective_number,
    held_out_flags,
    threshold_of,
)
from metrics.extractor import FeatureExtractor

_CONTROL = "control set"


def likenesses_of(found: Matches) -> FloatArray:
    """(N, 2): the excess of the whole, and the mean of the two corners with the largest.

    Of a film that is half a copy two corners are copies; of one with a text box on it, three.
    """
    corners = found.excess[:, 1:].topk(2, dim=1).values.mean(1)
    both: FloatArray = torch.stack([found.excess[:, 0], corners], 1).double().cpu().numpy()
    return both


def measured(
    sets: AuditedSets,
    folder: Path,
    num_planted: int,
    device: torch.device,
    seed: int,
    show_progress: bool,
    extractor: FeatureExtractor | None = None,
) -> Measured:
    """Train or fetch two embeddings, and judge everything with both.

    Args:
        sets: Of at least 2 training patients and 2 held-out ones.
        folder: The cache, where embeddings are kept.
        num_planted: Copies of each disguise.
        device: Where to compute.
        seed: Of everything.
        show_progress: Bars with the time left.
        extractor: Distances are measured by it too.
    """
    planted, rebuilt = plant(sets, num_planted, seed, show_progress)
    groups = {"": sets.synthetic.pixels, "held out": sets.held_out.pixels}
    groups |= {name: copies.pixels for name, copies in planted.items()}
    groups[rebuilt.what] = rebuilt.pixels
    if sets.control is not None:
        groups[_CONTROL] = sets.control.pixels
    own = sets.own if bool((sets.own >= 0).any()) else None
    training = sets.training.pixels.to(device)
    names = {name: row for row, name in enumerate(sorted(set(sets.training.patients)))}
    owners = torch.tensor([names[one] for one in sets.training.patients], device=device)
    found: dict[str, list[Matches]] = {name: [] for name in groups}
    queries = NUMBER * sum(map(len, groups.values()))
    networks = both_embeddings(folder, training, seed, show_progress)
    with tqdm(
        total=queries, desc="search for copies", unit="image", disable=not show_progress
    ) as bar:
        for network in networks:
            bar.set_postfix_str("training images get their places")
            gallery = Gallery(training, owners, points_of(network, training))
            bar.set_postfix_str("")
            for name, pixels in groups.items():
                mine = own.to(device) if own is not None and not name else None
                found[name].append(
                    _on_cpu(match(network, gallery, pixels.to(device), mine, bar.update))
                )
    likenesses = {
        name: np.mean([likenesses_of(one) for one in each], 0) for name, each in found.items()
    }
    scale = Scale.of(likenesses["held out"])
    scores = {name: scale.scores(each) for name, each in likenesses.items()}
    with tqdm(
        total=PERMUTATIONS, desc="permutations", unit="draw", disable=not show_progress
    ) as bar:
        chance = by_chance(
            likenesses[""],
            sets.synthetic.patients,
            likenesses["held out"],
            sets.held_out.patients,
            seed,
            bar.update,
        )
    copies_of_all = list(planted.values())
    extractors = 1 if extractor is None else 2
    with tqdm(
        total=extractors, desc="distances", unit="extractor", disable=not show_progress
    ) as bar:
        spaces = [own_space(networks, sets, copies_of_all, device)]
        bar.update()
        if extractor is not None:
            spaces.append(space_of(extractor, sets, copies_of_all, device))
            bar.update()
    return Measured(
        scores[""],
        scores["held out"],
        held_out_flags(likenesses["held out"], sets.held_out.patients, seed),
        threshold_of(scores["held out"]),
        chance,
        {
            name: Planted(
                scores[name],
                [sets.training.patients[row] for row in copies.source.tolist()],
                _named(found[name][0], scale, copies.source),
            )
            for name, copies in planted.items()
        },
        {rebuilt.what: Planted(scores[rebuilt.what], rebuilt.patients)},
        np.stack([_flags_alone(found, number) for number in range(2)]),
        found[""],
        found["held out"],
        regions_of(found[""][0], scale),
        regions_of(found["held out"][0], scale),
        effective_number(scores[""], sets.synthetic.patients),
        None if own is None else _own_facts(found[""][0], own, sets),
        None if sets.control is None else Planted(scores[_CONTROL], sets.control.patients),
        spaces,
        sets,
    )


def regions_of(found: Matches, scale: Scale) -> list[int]:
    """Of each image the region that made its score: the whole, or its most suspicious corner."""
    likenesses = likenesses_of(found)
    whole, corners = ((likenesses - scale.middle) / scale.reach).T
    best = 1 + found.excess[:, 1:].argmax(1)
    return np.where(whole >= corners, 0, best.cpu().numpy()).tolist()


def _named(found: Matches, scale: Scale, source: Tensor) -> BoolArray:
    at = torch.tensor(regions_of(found, scale))
    named: BoolArray = (found.source.gather(1, at[:, None])[:, 0] == source).numpy()
    return named


def _flags_alone(found: Mapping[str, list[Matches]], number: int) -> BoolArray:
    """(n,) which synthetic images one embedding flags by itself."""
    held_out = likenesses_of(found["held out"][number])
    scale = Scale.of(held_out)
    scores = scale.scores(likenesses_of(found[""][number]))
    flags: BoolArray = scores > threshold_of(scale.scores(held_out))
    return flags


def _own_facts(found: Matches, own: Tensor, sets: AuditedSets) -> dict[str, Any]:
    """How often the slice behind an image's label map is what lies on it best."""
    with_map = own >= 0
    best, mine = found.source[with_map, 0], own[with_map]
    patients = np.array(sets.training.patients, str)
    same = patients[best.numpy()] == patients[mine.numpy()]
    return {
        "num_images": int(with_map.sum()),
        "own_slice_is_nearest": float((best == mine).float().mean()),
        "own_patient_is_nearest": float(same.mean()),
    }


def _on_cpu(found: Matches) -> Matches:
    return Matches(*(value.cpu() for value in vars(found).values()))
