"""Which images of a cache an audit searches for copies, and which it holds beside them."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from datamodules.choice.fewer_patients import patients_of_generators
from datamodules.film_cache import FilmCache
from datamodules.prepared_cache import PreparedCache
from datamodules.synthetic import SyntheticSet
from provenance import UserError

HeldOutSplit = Literal["val", "test", "val+test"]


def refuse_control(
    control: SyntheticSet, cache: PreparedCache, searched: NDArray[np.bool_], size: int
) -> None:
    """Raise where a control set could not copy what is searched."""
    if not control.items or control.image_size != size:
        raise UserError(
            f"--control-set {control.root}: holds {len(control.items)} images of "
            f"{control.image_size} px, expected some of {size} px, as the audited set's are."
        )
    learnt = control.learnt().overlap(cache, by_item=cache.split_by != "patient").known
    if not (learnt & searched).any():
        raise UserError(
            f"--control-set {control.root}: its generator learnt from none of the images that are "
            f"searched for copies in {cache.root}, or does not tell. None of its copies could be "
            "found: train it on some of these images."
        )


def known_images(
    fakes: SyntheticSet, cache: PreparedCache, split: HeldOutSplit
) -> tuple[NDArray[np.bool_], list[str]]:
    """(N,) which images of the cache the generator knew, and what is to be said about it.

    Where nobody knows, all that are not held out: it may have known any.
    """
    learnt = fakes.learnt()
    if learnt.of_unknown and not learnt.patients:
        return _all_but(cache, split)
    train = np.zeros(len(cache), bool)
    train[cache.indices("train")] = True
    if not learnt.patients and not learnt.items and not len(learnt.pixels):
        return train, [
            "The set does not tell whom its generator was trained on. It was compared with the "
            "training split of this cache; if that was not its training set, this audit says "
            "nothing."
        ]
    known = learnt.overlap(cache, by_item=cache.split_by != "patient").known
    gap = learnt.not_compared("The set", cache)
    if not known.any():
        raise UserError(
            f"{fakes.root}: its generator learnt from {len(learnt.patients)} patients, and none of "
            f"them is in {cache.root}. An audit looks for copies of its training images: give the "
            "cache that it was trained on." + (f" {gap.sentence}" if gap else "")
        )
    # A report is handed on; what things are called on this machine may name a person.
    notes = [gap.sentence.replace(str(cache.root), "the cache")] if gap else []
    notes += cache.synthetic_notes
    here = len(np.unique(cache.patient_ids[known]))
    if len(learnt.patients) > here:
        notes.append(
            f"Its generator learnt from {len(learnt.patients)} patients, of whom {here} are in "
            "this cache. Copies of the others' images cannot be seen here."
        )
    trained = cache.patients("train")
    chosen = patients_of_generators(fakes, trained)
    if chosen is not None and learnt.patients == frozenset(trained):
        known &= np.isin(cache.patient_ids, sorted(chosen))
        notes.append(
            f"Its generator was trained on {len(chosen)} of the {len(trained)} training patients, "
            "chosen by seed. Only their images were searched for copies."
        )
    notes += _more_classes_searched(fakes, cache, known)
    if (known & ~train).any():
        notes.append(
            f"Of the images that it knew, {int((known & ~train).sum())} are not in the cache's "
            "training split. They were searched for copies too."
        )
    return known, notes


def _more_classes_searched(
    fakes: SyntheticSet, cache: PreparedCache, searched: NDArray[np.bool_]
) -> list[str]:
    """That images of other classes than those of --data.only_label were searched too, if any were.

    They are not left out: whoever knew a patient may have gone on from weights that learnt from his
    other images.
    """
    makers = fakes.manifest.get("generator", {}).get("generators", [])
    classes = {maker.get("trained_on_label") for maker in makers}
    if not isinstance(cache, FilmCache) or not classes or None in classes:
        return []
    for column in cache.label_columns:
        names = cache.class_names(column)
        there = {names[row] for row in np.unique(cache.labels(column)[searched]) if row >= 0}
        others = sorted(there - classes)
        if others and classes <= set(names):
            return [
                f"Its generator was trained on images of {', '.join(sorted(classes))} alone (label "
                f"column {column}). Those of {', '.join(others)} were searched for copies too, so "
                "that more images than it was trained on may resemble one of the set."
            ]
    return []


def held_out_images(
    cache: PreparedCache, known: NDArray[np.bool_], split: HeldOutSplit
) -> NDArray[np.bool_]:
    """(N,) images of a split of patients of whom the generator knew no image."""
    chosen: NDArray[np.bool_] = np.zeros(len(cache), bool)
    chosen[_of_split(cache, split)] = True
    return chosen & ~_of_patients(cache, np.flatnonzero(known))


def _of_split(cache: PreparedCache, split: HeldOutSplit) -> NDArray[np.int64]:
    """Indices of the images of one split or of two."""
    return np.concatenate([cache.indices(name) for name in split.split("+")])


def _of_patients(cache: PreparedCache, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N,) all images of the patients of these ones."""
    shown: NDArray[np.bool_] = np.isin(cache.patient_ids, np.unique(cache.patient_ids[indices]))
    return shown


def _all_but(cache: PreparedCache, split: HeldOutSplit) -> tuple[NDArray[np.bool_], list[str]]:
    """(N,) all images whose patients are not held out, and what that means."""
    searched: NDArray[np.bool_] = ~_of_patients(cache, _of_split(cache, split))
    held_out = len(cache) - int(searched.sum())
    return searched, [
        "What the set's generator was trained on is unknown, as whoever brought the set in says. "
        f"It was compared with all {int(searched.sum())} images that are not held out; of what the "
        "generator learnt elsewhere no copy can be seen here.",
        f"The {held_out} images of held-out patients ({split}) say what a likeness by chance is, "
        "and were not searched for copies. If the generator may know them too, audit the set with "
        "--split val and with --split test: each searches the images that the other holds out.",
    ]


def of_shown_classes(
    fakes: SyntheticSet, cache: PreparedCache, notes: list[str]
) -> NDArray[np.bool_]:
    """(N,) images of the classes that the set shows; all where it shows every one, or none.

    Healthy chests are more alike than ill ones: held-out images of another class than the set's
    would be another measure.
    """
    shown = {item.label for item in fakes.items}
    everything = np.ones(len(cache), bool)
    if not isinstance(cache, FilmCache) or None in shown:
        return everything
    for column in cache.label_columns:
        names = cache.class_names(column)
        if shown <= set(names) and shown != set(names):
            notes.append(
                f"The set shows {', '.join(sorted(map(str, shown)))} alone, and so do the held-out "
                f"images that it was compared with (label column {column})."
            )
            return np.isin(cache.labels(column), [names.index(str(name)) for name in shown])
    return everything
