"""Batches of two domains of images without pairs, for a module that translates one of them."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader

from datamodules.batch_order import OrderedBatches
from datamodules.loader import loader_of
from datamodules.prepared_cache import PreparedCache
from datamodules.unpaired.class_shares import Shares
from datamodules.unpaired.domains import Domains
from datamodules.unpaired.matching import MatchedImages
from datamodules.unpaired.pairs import DOMAINS, Chosen, PairedBatches, Pairs, of_domain
from knowledge import Knowledge
from licences import together
from provenance import UserError

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
        self.batch_size, self.images_per_epoch = batch_size, images_per_epoch
        self.num_workers, self.seed = num_workers, seed
        common: dict[str, Any] = {
            "batch_size": batch_size,
            "images_per_epoch": images_per_epoch,
            "num_workers": num_workers,
            "seed": seed,
            "augmentation": augmentation,
        }
        self._domains = Domains(
            root, source, source_label, target_label, source_classes, label_column, channels,
            slices, common,
        )  # fmt: skip
        self._images = MatchedImages(self._domains, class_shares)
        target = self._domains["target"]
        self.root = root
        self.cache: PreparedCache = target.cache
        self.policy, self.augmentation = target.policy, target.augmentation

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
    def shares(self) -> Shares | None:
        """How often each class comes; None where a domain has no labels, or is a class."""
        return self._images.shares

    @property
    def shown_classes(self) -> list[str] | None:
        """Classes of films that matched training shows, in the target's words; None: all."""
        return self._images.shown_classes

    @property
    def synthetic(self) -> str | None:
        """Folder of the synthetic set that is the source; None for a cache."""
        return None if self._domains.source_set is None else self._domains.source

    @property
    def synthetic_sha256(self) -> str | None:
        """Hash of the source, set or cache; None where it is the target's own cache."""
        return self._domains.content_of_source

    def also_seen(self) -> Knowledge:
        """Whom a training learns from besides the target's training split: the source."""
        own = self.cache.knowledge(self.cache.indices("train"))
        return self._domains.knowledge_of_source().without(own)

    def licences(self) -> list[dict[str, str]]:
        """Licences of the data of both domains, as plain values."""
        every = together([self.cache.licence, *self._domains.licences_of_source()])
        return [one.plain() for one in every]

    # ---- batches -------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Open what the stage needs, so that bad input stops a run before its first step."""
        if stage == "fit":
            self._weights = self._images.weights()
            self._refuse_unknown_condition()
            self._images.note_validation()

    @property
    def _epoch(self) -> int:
        return self.images_per_epoch or max(map(len, self._images.training.values()))

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
        pairs = Pairs(*(self._images.training[domain] for domain in DOMAINS))
        return loader_of(self, pairs, batch_sampler=PairedBatches(*orders))

    def _order(
        self, domain: str, steps_done: Callable[[], int], rank: int = 0, num_processes: int = 1
    ) -> OrderedBatches:
        return OrderedBatches(
            num_items=len(self._images.training[domain]),
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
        every = self._images.validation
        pairs = Pairs(*(Chosen(each, np.arange(rank, len(each), number)) for each in every))
        return loader_of(self, pairs, batch_size=max(1, min(self.batch_size, len(pairs))))

    def _refuse_unknown_condition(self) -> None:
        """Refuse to show networks the class of films that have none of the target's."""
        module = None if self.trainer is None else self.trainer.lightning_module
        domains, shown = self._domains, self.shown_classes
        if not getattr(module, "conditioned", False) or not domains.of_films or shown is not None:
            return
        names, there = domains["source"].class_names, set()
        if names:
            kinds = self._images.training["source"].kinds()
            there = {domains.source_classes[names[label]] for label in kinds}
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
        names = [self._domains.source_classes[name] for name in self._domains["source"].class_names]
        ours = self.class_names
        return [ours.index(name) if name in ours else -1 for name in names]
