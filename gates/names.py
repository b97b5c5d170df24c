"""The numbers that rules may be about, and what each of them is.

A rule is read before an evaluation begins: so a misspelt name or a limit that nothing can meet is
told at once, not after an hour.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class Kind:
    """What a number is.

    Attributes:
        what: In words.
        range: Lowest and highest value that it can have.
        in_percent: Whether its limit may be written as a percentage.
    """

    what: str
    range: tuple[float, float]
    in_percent: bool = False


SHARE = Kind("a share", (0.0, 1.0), in_percent=True)
DIFFERENCE = Kind("a difference of shares", (-1.0, 1.0), in_percent=True)
COUNT = Kind("a count", (0.0, math.inf))
POSITIVE = Kind("a number", (0.0, math.inf))
NUMBER = Kind("a number", (-math.inf, math.inf))

_DISGUISES = (
    "plain", "flipped", "turned 5 degrees", "cropped 10 %", "shifted 5 %", "gamma 1.4",
    "contrast 0.7, brighter", "noise 0.1", "noise 0.2", "blurred", "inverted", "all together",
    "left half of one, right half of another", "a box of text on it",
    "upside down", "turned 90 degrees", "drawn again by a generator trained on them alone",
)  # fmt: skip
_BY_DISTANCE = {
    **dict.fromkeys(("precision", "recall", "coverage"), SHARE),
    **dict.fromkeys(("alpha_precision", "beta_recall", "authenticity"), SHARE),
    "density": POSITIVE,
}
_ATTACKS = (
    "membership_auc", "membership_tpr", "uncalibrated_auc", "uncalibrated_tpr",
    "reidentification:reidentified", "reidentification:reidentified_held_out",
    "reidentification:reidentified_copies",
)  # fmt: skip

OF_AUDITS: Mapping[str, Kind] = {
    **dict.fromkeys(("copies", "copies_of_any_kind", "planted_found_share"), SHARE),
    **dict.fromkeys(("flagged_share", "held_out_flagged", "smallest_share_shown"), SHARE),
    **dict.fromkeys(("flagged", "above_every_held_out", "like_a_plain_copy"), COUNT),
    **dict.fromkeys(("attacks_succeeded", "num_synthetic", "num_training_patients"), COUNT),
    **dict.fromkeys(("num_held_out_images", "num_held_out_patients"), COUNT),
    **{f"found:{name}": SHARE for name in _DISGUISES},
    "found:rebuilt from * principal components": SHARE,
    **dict.fromkeys(_ATTACKS, SHARE),
    **{f"{name}:*": SHARE for name in _ATTACKS},
    **_BY_DISTANCE,
    **{f"{name}:held_out": kind for name, kind in _BY_DISTANCE.items()},
    **{f"{name}:*": kind for name, kind in _BY_DISTANCE.items()},
}
"""A `*` stands for the name of an extractor, and for the number of components."""

_OF_TWO_SETS = {
    **dict.fromkeys(("frechet", "fid"), POSITIVE),
    **dict.fromkeys(("kernel", "kid"), NUMBER),
    **dict.fromkeys(("precision", "recall", "coverage"), SHARE),
    "density": POSITIVE,
}
_OF_EACH_SET = {
    **dict.fromkeys(("diversity", "inception_score"), POSITIVE),
    "ms_ssim": DIFFERENCE,
}
_OF_PAIRS = {
    **dict.fromkeys(("mae", "feature_distance"), POSITIVE), "psnr": NUMBER, "ssim": DIFFERENCE,
}  # fmt: skip

OF_SETS: Mapping[str, Kind] = {
    **dict.fromkeys(("num_real", "num_real_patients", "num_synthetic"), COUNT),
    **_OF_TWO_SETS,
    **{f"{name}_*": kind for name, kind in _OF_TWO_SETS.items()},
    **_OF_EACH_SET,
    **{f"{name}:{side}": k for name, k in _OF_EACH_SET.items() for side in ("real", "synthetic")},
    **{f"{name}_*": kind for name, kind in _OF_EACH_SET.items()},
    **{f"{name}:{at}": k for name, k in _OF_PAIRS.items() for at in ("train", "val", "test")},
    "feature_distance_*": POSITIVE,
}
"""A `*` stands for the name of an extractor, with the side or the split."""

_OF_FILMS = ("auroc", "accuracy", "sensitivity", "specificity", "average_precision", "ece")
_WHEN_CORRUPTED = ("auroc", "accuracy", "iou_foreground", "iou_mean")

OF_CHECKPOINTS: Mapping[str, Kind] = {
    **dict.fromkeys(("num_images", "num_patients"), COUNT),
    **dict.fromkeys(_OF_FILMS, SHARE),
    **dict.fromkeys(("log_loss", "brier"), POSITIVE),
    "auroc_minus:*": DIFFERENCE,
    **dict.fromkeys(("iou_foreground", "iou_mean", "iou_background"), SHARE),
    **{f"{name}_corrupted": SHARE for name in _WHEN_CORRUPTED},
    **{f"{name}_lost": DIFFERENCE for name in _WHEN_CORRUPTED},
    **{f"{name}_lost:*": DIFFERENCE for name in (*_WHEN_CORRUPTED, "dice_*")},
    "dice_*_lost": DIFFERENCE,
    **dict.fromkeys(("iou_*", "dice_*"), SHARE),
    "hd95_*": POSITIVE,
    **dict.fromkeys(("auroc_*", "average_precision_*"), SHARE),
}
"""A `*` stands for the name of a class or a finding, of another classifier, or of a corruption."""

OF_LESIONS: Mapping[str, Kind] = {
    **dict.fromkeys(("num_images", "num_patients"), COUNT),
    **dict.fromkeys(("lesion_found", "lesion_found_before", "lesion_found_real"), SHARE),
    "lesion_found_change": DIFFERENCE,
}

OF_SURVIVALS: Mapping[str, Kind] = {
    **dict.fromkeys(("num_images", "num_patients"), COUNT),
    **{
        f"{what}:*:{of}": SHARE
        for what in ("found", "added", "dice")
        for of in ("translated", "original")
    },
    **{f"{what}:*:change": DIFFERENCE for what in ("found", "added", "dice")},
    "same": SHARE,
}
"""A `*` stands for the name of a class."""

OF_LABELS: Mapping[str, Kind] = {
    **dict.fromkeys(("num_images", "num_patients"), COUNT),
    **{
        f"{what}:*:{of}": SHARE
        for what in ("found", "added", "dice")
        for of in ("synthetic", "real")
    },
    **{f"{what}:*:difference": DIFFERENCE for what in ("found", "added", "dice")},
    "by_chance:*:real": SHARE,
    "youden:*:real": DIFFERENCE,
}
"""A `*` stands for the name of a class."""

OF_ANY: Mapping[str, Kind] = {
    **OF_AUDITS, **OF_SETS, **OF_CHECKPOINTS, **OF_LESIONS, **OF_SURVIVALS, **OF_LABELS,
}  # fmt: skip


def kind_of(name: str, known: Mapping[str, Kind]) -> Kind | None:
    """What the number of that name is; None where no evaluation has it."""
    if "*" in name:
        return None
    if name in known:
        return known[name]
    return next((kind for like, kind in known.items() if fnmatchcase(name, like)), None)
