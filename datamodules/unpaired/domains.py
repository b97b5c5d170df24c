"""The two domains of a translation: which images each holds, and what their classes are called."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from datamodules.chest_xray import ChestXrayDataModule
from datamodules.choice.film_settings import WITHOUT_LABELS
from datamodules.film_cache import FilmCache
from datamodules.kits19 import KiTS19DataModule
from datamodules.open_cache import open_cache
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticSet
from datamodules.unpaired.originals import names_in_target, open_source
from datamodules.unpaired.pairs import DOMAINS
from knowledge import Knowledge
from licences import Licence
from provenance import UserError


class Domains:
    """Source and target, each opened by the datamodule of its kind of images.

    Args:
        root: See `UnpairedDataModule`, as for the next five.
        source: The source's cache or synthetic set.
        source_label: Class of the source's films.
        target_label: Class of the target's films.
        source_classes: What the source calls the target's classes.
        label_column: Of films.
        channels: Of films.
        slices: Which slices.
        common: What both datamodules get besides: batch size, seed and the like.

    Attributes:
        source_set: The synthetic set that is the source; None where it is a cache.
        of_films: Whether they hold films; else slices.
        source_classes: The target's name of each class of the source, where both have names.
    """

    def __init__(
        self,
        root: str,
        source: str | None,
        source_label: str | None,
        target_label: str | None,
        source_classes: list[str] | None,
        label_column: str | None,
        channels: Literal[1, 3],
        slices: Literal["foreground", "all"],
        common: dict[str, Any],
    ) -> None:
        if source is None and (
            source_label is None or target_label is None or source_label == target_label
        ):
            raise UserError(
                "--data.source is not given, so both domains are classes of --data.root: name two "
                "different ones with --data.source_label and --data.target_label, or give "
                "--data.source CACHE_OR_SET."
            )
        self.root, self.source = root, source
        self.source_label, self.target_label = source_label, target_label
        self.source_set = _set_at(source)
        self.of_films = isinstance(open_cache(root), FilmCache)
        _refuse_other_kind(source, self.of_films, root)
        if self.source_set is not None and source_label is not None:
            raise UserError(
                f"--data.source_label {source_label}: chooses films of a cache, and {source} is a "
                "synthetic set, all of which is used. Leave it out."
            )
        if self.of_films:
            self._open_films(label_column, {**common, "channels": channels})
        else:
            _refuse_for_slices(source_label, target_label, source_classes, label_column, channels)
            self._open_slices({**common, "slices": slices})
        here, target = (self._of[domain] for domain in DOMAINS)
        if here.image_size != target.image_size:
            raise UserError(
                f"--data.source {source}: images of {here.image_size} px, but those of {root} are "
                f"{target.image_size} px. Prepare both with the same --image-size."
            )
        self.source_classes = self._names_in_target(source_classes)
        self._refuse_held_out()

    def __getitem__(self, domain: str) -> ChestXrayDataModule | KiTS19DataModule:
        """The datamodule of "source" or "target"."""
        return self._of[domain]

    @property
    def change_the_class(self) -> bool:
        """Whether the translation is from one class to another, as from normal to abnormal."""
        return self.source_label is not None and self.target_label is not None

    def _open_films(self, label_column: str | None, settings: dict[str, Any]) -> None:
        column = label_column
        if self.source_set is not None and any(x.label is None for x in self.source_set.items):
            column = WITHOUT_LABELS
        _refuse_no_class("target_label", self.target_label, self.root, label_column)
        _refuse_no_class("source_label", self.source_label, self._root_of_source, column)
        joins = self._joins("real_films")
        self._of: dict[str, ChestXrayDataModule | KiTS19DataModule] = {
            "target": ChestXrayDataModule(
                self.root, label_column=label_column, only_label=self.target_label, **settings
            ),
            "source": ChestXrayDataModule(
                self._root_of_source,
                label_column=column,
                only_label=self.source_label,
                **joins,
                **settings,
            ),
        }

    def _open_slices(self, settings: dict[str, Any]) -> None:
        joins = self._joins("real_slices")
        self._of = {
            "target": KiTS19DataModule(self.root, **settings),
            "source": KiTS19DataModule(self._root_of_source, **joins, **settings),
        }

    def _joins(self, real: str) -> dict[str, Any]:
        """Flags by which a datamodule has the images of the synthetic source, and no real ones."""
        return {} if self.source_set is None else {"synthetic": self.source, real: False}

    @property
    def _root_of_source(self) -> str:
        """Its cache; a synthetic set is opened with the target's."""
        return self.root if self.source is None or self.source_set is not None else self.source

    # ---- classes -------------------------------------------------------------------------------

    def kinds(self, images: dict[str, Any]) -> tuple[list[str], list[str]] | None:
        """A name for the class, or the classes, that each image of both domains shows.

        Args:
            images: A dataset of each domain.

        Returns:
            Of the source and of the target, in the target's words; None where one has no labels,
            or the class is what the translation changes.
        """
        if self.change_the_class:
            return None
        found = []
        for domain in DOMAINS:
            dataset = images[domain]
            names = self[domain].class_names
            if not names:
                return None
            if self.of_films:
                shown = [names[label] for label in dataset.kinds()]
                if domain == "source":
                    shown = [self.source_classes[name] for name in shown]
            else:
                shown = [
                    " + ".join(name for name, here in zip(names, kind, strict=True) if here)
                    for kind in dataset.kinds()
                ]
            found.append(shown)
        return found[0], found[1]

    def _names_in_target(self, given: list[str] | None) -> dict[str, str]:
        theirs, ours = self["source"].class_names, self["target"].class_names
        if not self.of_films:
            if theirs != ours:
                raise UserError(
                    f"--data.source {self.source}: its labels are {', '.join(theirs)}, but "
                    f"{self.root} has {', '.join(ours)}. Prepare both with the same classes."
                )
            return {name: name for name in ours}
        if given is None:
            return {name: name for name in theirs}
        if len(given) != len(ours) or not set(given) <= set(theirs):
            raise UserError(
                f"--data.source_classes {', '.join(given)}: expected a class of the source "
                f"({', '.join(theirs) or 'it has no labels'}) for each of the target's "
                f"({', '.join(ours) or 'it has no labels'})."
            )
        return {
            **{name: name for name in theirs if name not in given},
            **names_in_target(given, ours),
        }

    # ---- patients and licences -----------------------------------------------------------------

    @property
    def content_of_source(self) -> str | None:
        """Hash of the source, set or cache; None where it is the target's own cache."""
        if self.source_set is not None:
            return self.source_set.content_sha256
        return None if self.source is None else self["source"].cache.content_sha256

    def licences_of_source(self) -> list[Licence]:
        """Of its data."""
        if self.source_set is not None:
            return self.source_set.licences
        return [self["source"].cache.licence]

    def knowledge_of_source(self) -> Knowledge:
        """Whose images a training sees in the source."""
        if self.source_set is not None:
            return self.source_set.seen()
        cache = self["source"].cache
        return cache.knowledge(cache.indices("train"))

    def _refuse_held_out(self) -> None:
        """Refuse a source that knows validation or test patients of the target.

        Of a synthetic set the datamodule that joins it does so.
        """
        if self.source is None or self.source_set is not None:
            return
        target = self["target"].cache
        known = self.knowledge_of_source().overlap(target).known
        held_out = np.concatenate([target.indices("val"), target.indices("test")])
        patients = np.unique(target.patient_ids[held_out[known[held_out]]]).tolist()
        if patients:
            raise UserError(
                f"--data.source {self.source}: {len(patients)} validation or test patients of "
                f"{self.root} are in its training split ({', '.join(patients[:3])}). What is "
                "translated could not be kept apart from test data. Prepare both from one split, "
                "or with other patients."
            )


def _set_at(source: str | None) -> SyntheticSet | None:
    """The synthetic set of a folder; None for a cache or nothing."""
    opened = None if source is None else open_source(Path(source))
    return opened if isinstance(opened, SyntheticSet) else None


def _refuse_other_kind(source: str | None, of_films: bool, root: str) -> None:
    """Refuse a cache of the other kind of images, or without images, as the source.

    A synthetic set of the other kind is refused by the datamodule that it joins.
    """
    opened = None if source is None else open_source(Path(source))
    if opened is None or isinstance(opened, SyntheticSet):
        return
    kinds = {True: "films", False: "CT slices"}
    are_films = isinstance(opened, FilmCache)
    if are_films != of_films:
        raise UserError(
            f"--data.source {source}: holds {kinds[are_films]}, but {root} holds "
            f"{kinds[of_films]}. Give a source of {kinds[of_films]}."
        )
    if isinstance(opened, SliceCache) and not opened.has_images:
        raise UserError(
            f"--data.source {source}: holds label maps without images, so there is nothing to "
            "translate. Give a cache of slices, or a synthetic set."
        )


def _refuse_no_class(flag: str, label: str | None, root: str, column: str | None) -> None:
    """Refuse a class that a cache of films lacks, by the name of the flag that named it."""
    if label is None:
        return
    cache = open_cache(root)
    if not isinstance(cache, FilmCache):
        return  # which the datamodule of films refuses
    there: list[str] = []
    if column != WITHOUT_LABELS and cache.label_columns:
        there = cache.class_names(column or cache.label_columns[0])
    if label not in there:
        raise UserError(
            f"--data.{flag} {label}: {root} has "
            + (f"the classes {', '.join(there)}." if there else "no labels that this run uses.")
        )


def _refuse_for_slices(
    source_label: str | None,
    target_label: str | None,
    source_classes: list[str] | None,
    label_column: str | None,
    channels: int,
) -> None:
    for name, value in (
        ("source_label", source_label),
        ("target_label", target_label),
        ("source_classes", source_classes),
        ("label_column", label_column),
        ("channels", None if channels == 1 else channels),
    ):
        if value is not None:
            raise UserError(
                f"--data.{name} {value}: is for films; slices have label maps. Leave it out."
            )
