"""Can somebody who has a real image tell from the synthetic set whether it was trained on?

The attack: images near which a synthetic one lies were trained on. Odd images are far from every
other one and common ones near, so the distance to the synthetic set is held against that to images
of strangers (as GAN-Leaks holds it against a second generator's, arXiv:1909.03935).

An area under the curve off 0.5 may have other reasons than memory: two groups of patients differ by
chance, and by how they were chosen; and the embedding knows training images, and held-out ones not.
So the same attack is made where nothing can be learnt: between two groups of training patients, and
with held-out images in the synthetic ones' place.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from audit.distances.spaces import Space
from audit.images import AuditedSets
from audit.search import distance_to_nearest
from audit.statistics import BoolArray, FloatArray, threshold_of
from metrics.auroc_intervals import resampled_by_patient
from metrics.ranking import WeightedRanking

RATE = 0.01
"""Of false alarms, at which an attack is worth an attacker's while."""

FEWEST_FOR_RATE = 100
"""Held-out patients: of fewer, one is more than 1 %."""

_SPLITS = 200
_PLACEBOS = 20
_RESAMPLES = 500
_NEAREST = 1e-4
"""Of the usual distance: nearer than this, images are equal."""


def membership(space: Space, sets: AuditedSets, seed: int) -> dict[str, Any]:
    """The attack and its controls, as plain values.

    Args:
        space: Where distances are measured.
        sets: Whose images they are; at least 4 held-out patients and 2 training ones.
        seed: Of the splits and the bootstrap.

    Returns:
        "membership_auc" and "membership_tpr" (share of training images that are told at 1 % false
        alarms), each "value", "low" and "high", 95 % by a bootstrap over patients; "uncalibrated_"
        likewise without strangers' images. "members_only": what 95 of 100 splits of the training
        patients into two groups give. "placebo": the attack with held-out images for synthetic
        ones, over 20 halves of the held-out patients. "planted_tpr": the share of training images
        that are told when copies of them, in all disguises, join the set. "succeeds": whether the
        whole interval of the attack is beyond its controls. Every "tpr" is None with fewer than 100
        held-out patients.
    """
    random = np.random.default_rng(seed)
    members, strangers = (
        np.unique(one.patients, return_inverse=True)[1] for one in (sets.training, sets.held_out)
    )
    rated = int(strangers.max()) + 1 >= FEWEST_FOR_RATE
    everyone = np.ones(len(strangers), bool)
    to_set = [distance_to_nearest(points, space.synthetic) for points in _real(space)]
    to_strangers = _to_strangers(space, members, strangers, everyone, random)
    scores = _calibrated(to_set, to_strangers)
    owner = np.concatenate([members, strangers + members.max() + 1])
    found = {
        **_attack("membership", scores, owner, rated, seed),
        **_attack("uncalibrated", [_closeness(one) for one in to_set], owner, rated, seed),
        "members_only": _members_only(scores[0], members, strangers, rated, random),
        "placebo": _placebo(space, members, strangers, random),
        "planted_tpr": _planted(space, to_set, to_strangers) if rated else None,
        "num_planted": len(space.source.unique()),
        "num_members": len(members),
        "num_member_patients": int(members.max()) + 1,
        "num_strangers": len(strangers),
        "num_stranger_patients": int(strangers.max()) + 1,
    }
    return found | {"succeeds": _succeeds(found)}


def _real(space: Space) -> tuple[Tensor, Tensor]:
    return space.training, space.held_out


def _to_strangers(
    space: Space,
    members: np.ndarray,
    strangers: np.ndarray,
    judges: BoolArray,
    random: np.random.Generator,
) -> list[Tensor]:
    """Distances of real images to those of strangers: for each image of one patient fewer.

    A held-out image leaves out its own patient; a training image one at random, or it would have
    more strangers to be near to.
    """
    names = np.unique(strangers[judges])
    left_out = names[random.integers(len(names), size=members.max() + 1)][members]
    whose = torch.from_numpy(strangers[judges])
    return [
        distance_to_nearest(points, space.held_out[judges], torch.from_numpy(without), whose)
        for points, without in zip(_real(space), (left_out, strangers), strict=True)
    ]


def _closeness(distances: Tensor) -> FloatArray:
    found: FloatArray = -distances.double().numpy()
    return found


def _calibrated(to_set: list[Tensor], to_strangers: list[Tensor]) -> list[FloatArray]:
    """By how much nearer the set is than strangers are: logarithms of ratios."""
    least = _NEAREST * float(torch.cat(to_strangers).median()) + 1e-12
    return [
        (judge.double().clamp_min(least).log() - one.double().clamp_min(least).log()).numpy()
        for one, judge in zip(to_set, to_strangers, strict=True)
    ]


def _ranking(scores: list[FloatArray]) -> WeightedRanking:
    labels = np.repeat([1, 0], [len(one) for one in scores])
    return WeightedRanking(np.concatenate(scores), labels)


def _both(scores: list[FloatArray]) -> tuple[float, float]:
    """AUC, and share of members that are told at 1 % false alarms."""
    ranking, once = _ranking(scores), np.ones((1, sum(map(len, scores))))
    share = ranking.sensitivity_at(once, np.array([RATE]))
    return float(ranking.auroc(once)[0]), float(share[0, 0])


def _attack(
    what: str, scores: list[FloatArray], owner: np.ndarray, rated: bool, seed: int
) -> dict[str, Any]:
    ranking = _ranking(scores)

    def statistic(weights: FloatArray) -> FloatArray:
        shares = ranking.sensitivity_at(weights, np.array([RATE]))
        return np.concatenate([ranking.auroc(weights)[:, None], shares], 1)

    drawn = resampled_by_patient(statistic, owner, int(owner.max()) + 1, _RESAMPLES, seed)
    return {
        f"{what}_{name}": {"value": value, "low": float(low), "high": float(high)} if kept else None
        for name, value, (low, high), kept in zip(
            ("auc", "tpr"),
            _both(scores),
            np.quantile(drawn, [0.025, 0.975], axis=0).T,
            (True, rated),
            strict=True,
        )
    }


def _members_only(
    scores: FloatArray,
    members: np.ndarray,
    strangers: np.ndarray,
    rated: bool,
    random: np.random.Generator,
) -> dict[str, Any]:
    """Training patients against training patients: as many on one side as are held out, or half."""
    number = int(members.max()) + 1
    size = min(int(strangers.max()) + 1, number // 2)
    found = []
    for _ in range(_SPLITS):
        apart = np.zeros(number, bool)
        apart[random.permutation(number)[:size]] = True
        found.append(_both([scores[~apart[members]], scores[apart[members]]]))
    (auc_low, tpr_low), (auc_high, tpr_high) = np.quantile(found, [0.025, 0.975], axis=0).tolist()
    return {
        "auc": {"low": auc_low, "high": auc_high},
        "tpr": {"low": tpr_low, "high": tpr_high} if rated else None,
        "num_splits": _SPLITS,
        "num_patients": [number - size, size],
    }


def _placebo(
    space: Space, members: np.ndarray, strangers: np.ndarray, random: np.random.Generator
) -> dict[str, Any]:
    """Half of the held-out patients stand for the synthetic set, which then knew nobody."""
    number = int(strangers.max()) + 1
    found = []
    for _ in range(_PLACEBOS):
        stands = np.zeros(number, bool)
        stands[random.permutation(number)[: number // 2]] = True
        made = stands[strangers]
        to_set = [distance_to_nearest(points, space.held_out[made]) for points in _real(space)]
        to_strangers = _to_strangers(space, members, strangers, ~made, random)
        scores = _calibrated(to_set, to_strangers)
        found.append(_both([scores[0], scores[1][~made]])[0])
    return {
        "mean_auc": float(np.mean(found)),
        "least_auc": min(found),
        "most_auc": max(found),
        "num_halves": _PLACEBOS,
    }


def _planted(space: Space, to_set: list[Tensor], to_strangers: list[Tensor]) -> float:
    """Of how many training images copies are seen, when planted copies of them join the set."""
    nearer = [
        torch.minimum(one, distance_to_nearest(points, space.copies))
        for one, points in zip(to_set, _real(space), strict=True)
    ]
    scores = _calibrated(nearer, to_strangers)
    rows = space.source.unique()
    told = scores[0][rows] > threshold_of(scores[1], RATE)
    return float(told.mean())


def _succeeds(found: dict[str, Any]) -> bool:
    auc, tpr, control = found["membership_auc"], found["membership_tpr"], found["members_only"]
    by_nothing = max(control["auc"]["high"], found["placebo"]["mean_auc"])
    told = tpr is not None and tpr["low"] > control["tpr"]["high"]
    return bool(auc["low"] > by_nothing or told)
