"""How many synthetic films join the real ones, and which of a set these are."""

import sys
from typing import Any

import numpy as np
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray

from datamodules.synthetic import SyntheticSet
from provenance import UserError


def check_synthetic_flags(
    synthetic: str | None,
    share: float | None,
    shows_real: bool,
    balance: str = "none",
    imbalance: float | None = None,
    what: str = "films",
) -> None:
    """Refuse settings of synthetic images that mean nothing, or say two things.

    Args:
        synthetic: Folder of the set.
        share: `synthetic_share` of the datamodule, as are the others.
        shows_real: Whether real images are trained on, as the flag `real_<what>` says.
        balance: "none", "undersample", "oversample" or "synthetic".
        imbalance: Of the real training films.
        what: What the images are called, "films" or "slices".

    Raises:
        UserError: Names the flag.
    """
    if share is not None and not 0 <= share < float("inf"):  # NaN neither
        raise UserError(
            f"--data.synthetic_share is {share}; it must be 0 or more, 1 for as many synthetic "
            f"{what} as real ones."
        )
    asked = {
        f"synthetic_share {share}": share is not None,
        f"real_{what} false": not shows_real,
        "balance synthetic": balance == "synthetic",
    }
    given = [f"--data.{flag}" for flag, is_given in asked.items() if is_given]
    if given and synthetic is None:
        raise UserError(f"{given[0]}: is about synthetic {what}; name a set with --data.synthetic.")
    if balance == "synthetic" and len(given) > 1:
        raise UserError(
            f"{given[0]}: --data.balance synthetic adds to the real films what each class lacks. "
            "Leave one of the two out."
        )
    if not shows_real and share is None:
        chooses = {
            f"imbalance {imbalance}": imbalance is not None,
            f"balance {balance}": balance == "undersample",
        }
        for flag, is_given in chooses.items():
            if is_given:
                raise UserError(
                    f"--data.{flag}: chooses real training films, and with --data.real_films false "
                    "none is used. Leave it out, or give --data.synthetic_share, which counts by "
                    "the real films."
                )


def classes_of(synthetic: SyntheticSet, class_names: list[str]) -> NDArray[np.int64]:
    """(N,) the class of every synthetic image, by the name of its label.

    Raises:
        UserError: One has no label, or one of another class.
    """
    number = {name: label for label, name in enumerate(class_names)}
    for item in synthetic.items:
        if item.label not in number:
            raise UserError(
                f"{synthetic.root}: the image {item.id} "
                + ("has no label" if item.label is None else f"is labelled {item.label!r}")
                + f", but this run tells apart {', '.join(class_names)}. Generate films of these "
                "classes, or leave out --data.synthetic."
            )
    return np.array([number[str(item.label)] for item in synthetic.items], np.int64)


def films_that_join(
    synthetic: SyntheticSet,
    classes: NDArray[np.int64],
    real: NDArray[np.int64],
    class_names: list[str],
    share: float | None,
    fill_up: bool,
) -> SyntheticSet:
    """Those films of a set that join the training.

    Args:
        synthetic: The whole set.
        classes: (len(items),) their classes.
        real: (num_classes,) real training films.
        class_names: Of the classes; [""] where films have none.
        share: For each real film of a class so many synthetic ones; None: no limit.
        fill_up: As many as each class lacks to the largest one.

    Raises:
        UserError: The set has too few of a class.
    """
    if share is not None:
        asked, wanted = f"--data.synthetic_share {share:g}", share_of(real, share)
    elif fill_up:
        asked, wanted = "--data.balance synthetic", filling_up(real)
        if not wanted.any():
            rank_zero_only(print)(
                f"{asked}: the real training films are equally many in all classes already, so no "
                "synthetic film joins.",
                file=sys.stderr,
            )
    else:
        return synthetic
    return first_of_each_class(synthetic, classes, wanted, class_names, asked)


def share_of(real: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """Synthetic films of each class: so many for each real one, rounded.

    Args:
        real: (num_classes,) real films.
        share: >= 0; 1 for as many as there are real ones. A larger one gives no class fewer.
    """
    return np.rint(real * share).astype(np.int64)


def filling_up(real: NDArray[np.int64]) -> NDArray[np.int64]:
    """Synthetic films of each class that bring it up to the largest one.

    Source: Salehinejad et al. 2018, arXiv:1712.01636, who filled up classes of chest films with a
    GAN's.

    Args:
        real: (num_classes,) real films.
    """
    return real.max() - real


def first_of_each_class(
    synthetic: SyntheticSet,
    classes: NDArray[np.int64],
    wanted: NDArray[np.int64],
    class_names: list[str],
    asked: str,
    what: str = "films",
) -> SyntheticSet:
    """The first so many images of each class, in the set's order.

    A smaller number takes a part of what a larger one takes.

    Args:
        synthetic: The whole set.
        classes: (len(items),) their classes.
        wanted: (num_classes,) how many.
        class_names: Of the classes; [""] where films have none.
        asked: The flag that led to these numbers, for the sentence.
        what: What the images are called, "films" or "slices".

    Raises:
        UserError: The set has too few of a class; says how many to generate, or where from.
    """
    there = np.bincount(classes, minlength=len(wanted))
    lacking = np.flatnonzero(there < wanted)
    if len(lacking):
        words = " and ".join(
            f"{wanted[k]} {what}{f' of {class_names[k]}' if class_names[k] else ''} (it holds "
            f"{there[k]})"
            for k in lacking
        )
        raise UserError(
            f"{synthetic.root}: {asked} needs {words}. "
            + (
                "Another program made its images: make more with it and bring them in with "
                "prepare.py synthetic, into another folder; or ask for fewer."
                if synthetic.made_elsewhere
                else "Generate a larger set in another folder: generate.py --num-images "
                f"{wanted[lacking].max()}"
                + (", which makes so many of each generator's class." if len(wanted) > 1 else ".")
            )
        )
    taken = [np.flatnonzero(classes == label)[:count] for label, count in enumerate(wanted)]
    return synthetic.keep(np.sort(np.concatenate(taken)).tolist())


def imbalance_warning(
    synthetic: SyntheticSet, imbalance: float | None, seed: int, largest: str
) -> str | None:
    """A warning if a generator was trained on real films that this run's imbalance leaves out.

    That is no leak of test data; but a comparison of ways to balance would then be one of more real
    data with less.

    Args:
        synthetic: The set; its manifest says which imbalance its generators were trained with.
        imbalance: Of this run.
        seed: Of this run's choice of films.
        largest: The class of which every imbalance keeps all films.

    Returns:
        A sentence to print, or None where no generator was, or no manifest says.
    """
    if imbalance is None:
        return None
    for maker in synthetic.manifest["generator"].get("generators", []):
        told: dict[str, Any] = {"imbalance": maker.get("imbalance"), "seed": maker.get("data_seed")}
        fewer = told["imbalance"] is not None and told["imbalance"] >= imbalance
        if maker.get("trained_on_label") == largest or (fewer and told["seed"] == seed):
            continue
        return (
            f"{synthetic.root}: its generator of {maker.get('label', 'all classes')} was trained "
            f"with --data.imbalance {_or_none(told['imbalance'])} and seed "
            f"{_or_none(told['seed'])}, this run has {imbalance:g} and {seed}. So it has learnt "
            "from real films that this run leaves out, which makes a comparison unfair to "
            "runs without synthetic films. Train it with this run's imbalance and seed."
        )
    return None


def _or_none(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"
