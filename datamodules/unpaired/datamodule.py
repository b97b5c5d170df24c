"""Two domains of images without pairs, for a module that translates one into the other."""

import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from datamodules.batch_order import OrderedBatches
from datamodules.cached_datamodule import CachedDataModule
from datamodules.chest_xray import WITHOUT_LABELS, ChestXrayDataModule
from datamodules.film_cache import FilmCache
from datamodules.kits19 import KiTS19DataModule
from datamodules.loader import loader_of
from datamodules.open_cache import open_cache
from datamodules.prepared_cache import PreparedCache
from datamodules.synthetic import SyntheticSet
from datamodules.unpaired.class_shares import Shares, matching_subset, matching_weights
from datamodules.unpaired.originals import open_source
from datamodules.unpaired.pairs import DOMAINS, Chosen, PairedBatches, Pairs, of_domain
from knowledge import Knowledge
from licences import together
from provenance import UserError

_MOST_IN_VALIDATION = 256  # of a synthetic set, which has no validation split
_OTHER_ORDER = 2**32  # so that the source's order is not the target's


class UnpairedDataModule(L.LightningDataModule):
    """Images of a source and of a target domain, drawn independently of each other.

    The domains are two caches, or a synthetic set and a cache, or two classes of one cache; of
    films or of slices. Each split of a cache gives that split; of a synthetic set all images are
    trained on, and some are shown in validation too.

    Args:
        root: The cache of the target domain, whose kind of images is made.
        source: The cache of the source domain, or a synthetic set, which is then refined. None: the
            cache of the target, of which `source_label` and `target_label` name two classes.
        source_label: Films of this class alone make the source domain.
        target_label: The same of the target domain. Named both, as for normal to abnormal, they are
            what the translation changes, and nothing is matched.
        source_classes: What the source calls the target's classes, in their order, where it calls
            them otherwise: [normal, abnormal] where the target has normal, pneumonia.
        label_column: Of films, in every cache; None: the first one; "none": no labels.
        class_shares: "matched" draws images such that both domains show each class equally often
            (of slices: each combination of classes), since a translator would else learn to add or
            remove it. "as_they_are" does not, and says how much they differ. Validation compares
            as many images of each class from both domains in either case, where both have labels.
        batch_size: Images of each domain per optimiser step, over all processes together.
        channels: Of films; 3 repeats grey ones.
        slices: Of slices: "foreground" uses those that hold any class, "all" every one.
        augmentation: What is done to training images of both domains; see docs/augmentations.md.
        images_per_epoch: Images of each domain that make an epoch; None: as many as the larger one
            has.
        num_workers: Processes that load; 0 loads in the training process.
        seed: Of order and augmentation.
    """

    def __init__(
        self,
        root: str,
        source: str | None = None,
        source_label: str | None = None,
        target_label: str | None = None,
        source_classes: list[str] | None = None,
        label_column: str | None = None,
        class_shares: Literal["matched", "as_they_are"] = "matched",
        batch_size: int = 1,
        channels: Literal[1, 3] = 1,
        slices: Literal["foreground", "all"] = "foreground",
        augmentation: list[Any] | str = "none",
        images_per_epoch: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
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
        self.class_shares = class_shares
        self.batch_size, self.images_per_epoch = batch_size, images_per_epoch
        self.num_workers, self.seed = num_workers, seed
        common: dict[str, Any] = {
            "batch_size": batch_size,
            "images_per_epoch": images_per_epoch,
            "num_workers": num_workers,
            "seed": seed,
            "augmentation": augmentation,
        }
        self.source_set = _set_at(source)
        self.of_films = isinstance(open_cache(root), FilmCache)
        if self.source_set is not None and source_label is not None:
            raise UserError(
                f"--data.source_label {source_label}: chooses films of a cache, and {source} is a "
                "synthetic set, all of which is used. Leave it out."
            )
        target: CachedDataModule
        here: CachedDataModule
        joins: dict[str, Any] = {}
        own_root = root if source is None or self.source_set is not None else source
        if self.of_films:
            of_films: dict[str, Any] = {**common, "channels": channels}
            column = label_column
            if self.source_set is not None and any(x.label is None for x in self.source_set.items):
                column = WITHOUT_LABELS
            for flag, label, folder, own in (
                ("target_label", target_label, root, label_column),
                ("source_label", source_label, own_root, column),
            ):
                _refuse_no_class(flag, label, folder, own)
            target = ChestXrayDataModule(
                root, label_column=label_column, only_label=target_label, **of_films
            )
            if self.source_set is not None:
                joins = {"synthetic": source, "real_films": False}
            here = ChestXrayDataModule(
                own_root, label_column=column, only_label=source_label, **joins, **of_films
            )
        else:
            _refuse_for_slices(source_label, target_label, source_classes, label_column, channels)
            of_slices: dict[str, Any] = {**common, "slices": slices}
            target = KiTS19DataModule(root, **of_slices)
            if self.source_set is not None:
                joins = {"synthetic": source, "real_slices": False}
            here = KiTS19DataModule(own_root, **joins, **of_slices)
        self._domains = {"source": here, "target": target}
        self.cache: PreparedCache = target.cache
        self.policy, self.augmentation = target.policy, target.augmentation
        if here.image_size != target.image_size:
            raise UserError(
                f"--data.source {source}: images of {here.image_size} px, but those of {root} are "
                f"{target.image_size} px. Prepare both with the same --image-size."
            )
        self.source_classes = self._names_in_target(source_classes)
        self._refuse_held_out()

    # ---- what a training and its record ask for ------------------------------------------------

    @property
    def image_size(self) -> int:
        """Side of the images in pixels."""
        return self._domains["target"].image_size

    @property
    def class_names(self) -> list[str]:
        """Names of the target's classes; empty without labels."""
        return self._domains["target"].class_names

    @property
    def synthetic(self) -> str | None:
        """Folder of the synthetic set that is the source; None for a cache."""
        return None if self.source_set is None else self.source

    @property
    def synthetic_sha256(self) -> str | None:
        """What the source is known by, set or cache; None where it is the target's own cache."""
        if self.source_set is not None:
            return self.source_set.content_sha256
        return None if self.source is None else self._domains["source"].cache.content_sha256

    def also_seen(self) -> Knowledge:
        """Whom a training learns from besides the target's training split: the source."""
        own = self.cache.knowledge(self.cache.indices("train"))
        return self._knowledge_of_source().without(own)

    def licences(self) -> list[dict[str, str]]:
        """Licences of the data of both domains, as plain values."""
        told = (
            [self._domains["source"].cache.licence]
            if self.source_set is None
            else self.source_set.licences
        )
        return [one.plain() for one in together([self.cache.licence, *told])]

    def _knowledge_of_source(self) -> Knowledge:
        if self.source_set is not None:
            return self.source_set.seen()
        cache = self._domains["source"].cache
        return cache.knowledge(cache.indices("train"))

    def _refuse_held_out(self) -> None:
        """Refuse a source that knows validation or test patients of the target.

        Of a synthetic set the datamodule that joins it does so.
        """
        if self.source is None or self.source_set is not None:
            return
        known = self._knowledge_of_source().overlap(self.cache).known
        held_out = np.concatenate([self.cache.indices("val"), self.cache.indices("test")])
        patients = np.unique(self.cache.patient_ids[held_out[known[held_out]]]).tolist()
        if patients:
            raise UserError(
                f"--data.source {self.source}: {len(patients)} validation or test patients of "
                f"{self.root} are in its training split ({', '.join(patients[:3])}). What is "
                "translated could not be kept apart from test data. Prepare both from one split, "
                "or with other patients."
            )

    # ---- classes -------------------------------------------------------------------------------

    def _names_in_target(self, given: list[str] | None) -> dict[str, str]:
        """The target's name of each class of the source, where both have names."""
        theirs, ours = self._domains["source"].class_names, self.class_names
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
            **dict(zip(given, ours, strict=True)),
        }

    @cached_property
    def shares(self) -> Shares | None:
        """How often each class comes; None where a domain has no labels, or is a class."""
        names = self._kinds(self._training)
        return None if names is None else Shares.of(*names)

    @property
    def shown_classes(self) -> list[str] | None:
        """Classes of films that matched training shows, in the target's words; None: all."""
        if not self.of_films or self.class_shares == "as_they_are" or self.shares is None:
            return None
        return self.shares.in_both

    def _kinds(self, images: dict[str, Any]) -> tuple[list[str], list[str]] | None:
        """A name for the class, or the classes, that each image of both domains shows."""
        if self.source_label is not None and self.target_label is not None:
            return None
        found = []
        for domain in DOMAINS:
            dataset = images[domain]
            names = self._domains[domain].class_names
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

    @cached_property
    def _training(self) -> dict[str, Any]:
        return {domain: self._domains[domain].training_set() for domain in DOMAINS}

    def _match(self) -> dict[str, NDArray[np.float64] | None]:
        kinds, free = self._kinds(self._training), {domain: None for domain in DOMAINS}
        changes_class = self.source_label is not None and self.target_label is not None
        if changes_class:
            return {**free}
        if self.class_shares == "as_they_are":
            self._warn()
            return {**free}
        if kinds is None:
            raise UserError(
                "--data.class_shares matched: a domain has no labels, so that nobody can say "
                "whether disease is as frequent in the source as in the target. Where it is not, "
                "the translation adds or removes it. Give labelled data (--data.label_column), or "
                "--data.class_shares as_they_are if you know that the shares are alike."
            )
        assert self.shares is not None
        source, target = matching_weights(*kinds)
        if self.shares.differ:
            left_out = self.shares.only_one_has
            _tell(
                f"note: classes are drawn equally often in both domains ({self.shares.in_words})."
                + (
                    f" Not shown, since one domain lacks them: {', '.join(left_out)}."
                    * bool(left_out)
                )
            )
        return {"source": source, "target": target}

    def _warn(self) -> None:
        asked = "warning: --data.class_shares as_they_are: "
        end = (
            "a translator learns how often a class comes in the target, and adds or removes it. "
            "--model.conditioned true shows it the class; evaluate.py survival measures what is "
            "left of labels."
        )
        if self.shares is None:
            _tell(
                f"{asked}a domain has no labels. If their shares differ, {end} Validation compares "
                "all images too, so best.ckpt may be the one that does so best; take last.ckpt."
            )
        elif self.shares.differ:
            _tell(f"{asked}the shares differ ({self.shares.in_words}). So {end}")

    # ---- batches -------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Open what the stage needs, so that bad input stops a run before its first step."""
        if stage == "fit":
            self._weights = self._match()
            self._refuse_unknown_condition()
            self._tell_of_validation()

    @property
    def _epoch(self) -> int:
        return self.images_per_epoch or max(len(self._training[domain]) for domain in DOMAINS)

    def steps_per_epoch(self) -> int:
        """Steps of all processes together that make an epoch; after `setup`."""
        return len(self._order("target", lambda: 0))

    def images_shown(self, steps: int) -> tuple[int, int]:
        """How many images of each domain the first steps show, and of the target, which is real."""
        return steps * self.batch_size, steps * self.batch_size

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches in an order that depends on the seed and the steps done only."""
        assert self.trainer is not None
        module: Any = self.trainer.lightning_module
        place = (lambda: int(module.steps_done)), self.trainer.global_rank, self.trainer.world_size
        orders = [self._order(domain, *place) for domain in DOMAINS]
        pairs = Pairs(*(self._training[domain] for domain in DOMAINS))
        return loader_of(self, pairs, batch_sampler=PairedBatches(*orders))

    def _order(
        self, domain: str, steps_done: Callable[[], int], rank: int = 0, num_processes: int = 1
    ) -> OrderedBatches:
        return OrderedBatches(
            num_items=len(self._training[domain]),
            global_batch_size=self.batch_size,
            seed=self.seed + (_OTHER_ORDER if domain == "source" else 0),
            steps_done=steps_done,
            rank=rank,
            num_processes=num_processes,
            weights=self._weights[domain],
            images_per_epoch=self._epoch,
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """This process's share of the validation images of both domains."""
        trainer = self.trainer
        rank, number = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
        pairs = Pairs(
            *(Chosen(every, np.arange(rank, len(every), number)) for every in self._compared)
        )
        return loader_of(self, pairs, batch_size=max(1, min(self.batch_size, len(pairs))))

    @cached_property
    def _whole_validation(self) -> dict[str, Any]:
        """All that validation could show; of a synthetic set, which is not split, some."""
        found: dict[str, Any] = {}
        for domain in DOMAINS:
            if domain == "target" or self.source_set is None:
                found[domain] = self._domains[domain].evaluation_set("val")
            else:
                number = len(self._training[domain])
                shown = np.linspace(0, number - 1, min(number, _MOST_IN_VALIDATION)).round()
                found[domain] = Chosen(self._training[domain], np.unique(shown.astype(int)))
        return found

    @cached_property
    def _compared(self) -> list[Any]:
        """Validation images of both domains: as many of each class that training shows in both.

        Compared as they are, the best translator would be one that adds disease, or removes it.

        Raises:
            UserError: The validation images have no such class in common.
        """
        whole = self._whole_validation
        kinds = self._kinds(whole)
        if kinds is None or self.shares is None:
            return [whole[domain] for domain in DOMAINS]
        chosen = matching_subset(*kinds, self.shares.in_both)
        if len(chosen[0]):
            return [Chosen(whole[domain], own) for domain, own in zip(DOMAINS, chosen, strict=True)]
        if self.class_shares == "matched" or self.shares.in_both:
            raise UserError(
                "--data.source: the validation images of the two domains have none of the classes "
                f"in common that training shows ({', '.join(self.shares.in_both)}), so that "
                "nothing can be validated. Prepare more patients, or other --split-ratios or "
                "--split-seed."
            )
        return [whole[domain] for domain in DOMAINS]

    def _tell_of_validation(self) -> None:
        sizes = [len(self._whole_validation[domain]) for domain in DOMAINS]
        compared = [len(each) for each in self._compared]
        if compared != sizes:
            _tell(
                f"note: validation compares {compared[0]} images of each domain, as many of each "
                f"class from both, of {sizes[0]} and {sizes[1]}."
            )

    def _refuse_unknown_condition(self) -> None:
        """Refuse to show networks the class of films that have none of the target's."""
        module = None if self.trainer is None else self.trainer.lightning_module
        shown = self.shown_classes
        if not getattr(module, "conditioned", False) or not self.of_films or shown is not None:
            return
        names = self._domains["source"].class_names
        there = {self.source_classes[names[label]] for label in self._training["source"].kinds()
                 } if names else set()  # fmt: skip
        if unknown := sorted(there - {*self.class_names}):
            raise UserError(
                f"--model.conditioned true: the source shows {', '.join(unknown)}, which is no "
                f"class of {self.root} ({', '.join(self.class_names) or 'it has no labels'}), so "
                "there is no condition to show. Say with --data.source_classes which is which, or "
                "give --data.class_shares matched, which leaves it out."
            )

    def collate(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """Stack samples into a batch: keys of either domain begin with its name."""
        batch: dict[str, Any] = {}
        for domain in DOMAINS:
            own = [of_domain(sample, domain) for sample in samples]
            stacked = self._domains[domain].collate(own)
            batch |= {f"{domain}_{key}": value for key, value in stacked.items()}
            once = torch.tensor([sample[f"{domain}_once"] for sample in samples])
            batch[f"{domain}_once"] = once
        return batch

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Scale on the device."""
        return self.to_unit(batch)

    def to_unit(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Scale both images of a batch where it lies; classes get the target's numbers."""
        whole: dict[str, Any] = {}
        for domain in DOMAINS:
            own = self._domains[domain].to_unit(of_domain(batch, domain))
            if domain == "source" and "label" in own and self.class_names:
                own["label"] = own["label"].new_tensor(self._numbers)[own["label"]]
            whole |= {f"{domain}_{key}": value for key, value in own.items()}
        return whole

    @cached_property
    def _numbers(self) -> list[int]:
        """The target's number of each class of the source; one that it lacks is never drawn."""
        names = [self.source_classes[name] for name in self._domains["source"].class_names]
        ours = self.class_names
        return [ours.index(name) if name in ours else -1 for name in names]


def _set_at(source: str | None) -> SyntheticSet | None:
    """The synthetic set of a folder; None for a cache or nothing."""
    opened = None if source is None else open_source(Path(source))
    return opened if isinstance(opened, SyntheticSet) else None


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


def _tell(sentence: str) -> None:
    rank_zero_only(print)(sentence, file=sys.stderr)
