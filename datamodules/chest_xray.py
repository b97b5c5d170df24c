"""Chest films (and every picture prepared in the same cache format) for Lightning."""

import sys
from collections import Counter
from functools import cached_property
from typing import Any, Literal

import numpy as np
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray
from torch import Tensor

from augmentations.language import read_policy, written_list
from augmentations.operation import Images
from datamodules.augmented import Where, augmented_batch
from datamodules.cached_datamodule import CachedDataModule
from datamodules.choice.class_balance import ClassChoice
from datamodules.choice.fewer_patients import patients_of_images
from datamodules.choice.film_settings import (
    chosen_column,
    few_films_note,
    no_film,
    open_films,
    refuse_numbers,
    unlabelled_note,
    usable_size,
)
from datamodules.choice.synthetic_films import (
    check_synthetic_flags,
    classes_of,
    films_that_join,
    imbalance_warning,
)
from datamodules.film_cache import FilmCache
from datamodules.film_dataset import (
    FilmDataset,
    collate,
    to_unit,
)
from datamodules.findings import Findings, chosen_findings, refuse_beside_findings
from datamodules.synthetic import SyntheticSet
from provenance import UserError


class ChestXrayDataModule(CachedDataModule):
    """Films from a cache that prepare.py made. Training sees random crops, evaluation the centre.

    Args:
        root: The cache folder.
        batch_size: Images per optimiser step, over all processes together. So a run's result and
            its learning rate do not depend on the number of GPUs.
        synthetic: Folder of a synthetic set that joins the training split, and only that. The run
            stops if the set knows a validation or test patient. Labels join by the class's name.
        synthetic_share: How many synthetic films join, as a share of the real training films of
            the same class: 1 for as many again, 0 for none. The first of each class in the set's
            order, so a larger share holds what a smaller one holds. None: all of the set.
        real_films: False: train on the synthetic films alone; with `synthetic_share` on that share
            of the real films' number, so that sizes match. Validation and test stay real.
        label_column: Label that every batch carries; films without it are left out. None: the
            first label column that the cache has, and no labels where it has none. The word
            "none" uses all films without labels, as an unconditional GAN may.
        findings: In place of `label_column`: several label columns of two classes each, such as
            [Edema, Mass], or "all" for those of 0 and 1. Every batch carries them, unknown ones
            too; films of which none is known are left out. For `FindingsClassifier`.
        only_label: Use films of this class alone, in every split: one generator per class.
        imbalance: Make the training split this unequal: all films of the largest class are kept,
            and of every other one so many that it is this many times rarer. Which, depends on the
            patients and the seed; a larger ratio keeps a part of what a smaller one keeps. Comes
            before `only_label`, so that a generator sees what its classifier sees.
        balance: "undersample" cuts every class of the real training films to the rarest one;
            "oversample" draws with replacement, synthetic films too, so that all classes are
            seen equally often; "synthetic" fills every class up to the largest one with synthetic
            films of that class.
        channels: 3 repeats grey films to three equal channels.
        resolution: Side in pixels of what the network sees, if smaller than the prepared images:
            squares of pixels are averaged on the device.
        images_per_epoch: Training images that make an epoch; None: all of them, once. A number
            gives runs with and without synthetic images the same number of steps, so that a study
            compares data and not training length.
        num_workers: Processes that load; 0 loads in the training process.
        seed: Of order, crops and the choice of films.
        control: None: the synthetic images join. The two controls of that, with which a study tells
            what they do from what longer training does: "steps" shows real films of the same
            class in their places, "real" shortens the epochs so that as many real films are
            shown as beside them, to a whole batch. The set then says only how many.
        augmentation: What is done to training films: the name of a preset such as geometric, a
            list of operations, or a YAML file with one; see docs/augmentations.md.
        augment_on: Where: "loader" as a film is loaded, "device" on the batch, such as on a GPU.
            What is drawn is the same.
        imbalance_seed: Of the choice of films that `imbalance` keeps; None: `seed`. Trainings with
            seeds of their own that are compared, and their generator, keep the same ones by it.
        fraction_of_patients: Share of the training patients whose films are used, such as 0.25:
            what a smaller data set would have given. A smaller share is a part of a larger one of
            the same seed; validation and test stay whole. Comes before `imbalance`.
        patients_seed: Of the choice of these patients; None: `seed`. Trainings with seeds of their
            own that are compared, and their generator, use the same patients by it.
        num_images: Train on at most so many films: of patients in the order of `patients_seed`,
            each with all films that the run can use, so a few less. A smaller number's are a part
            of a larger one's. Not beside `fraction_of_patients`; comes before `imbalance`. None:
            all.
    """

    cache: FilmCache
    collate = staticmethod(collate)

    def __init__(
        self,
        root: str,
        batch_size: int = 16,
        synthetic: str | None = None,
        synthetic_share: float | None = None,
        real_films: bool = True,
        label_column: str | None = None,
        only_label: str | None = None,
        imbalance: float | None = None,
        balance: Literal["none", "undersample", "oversample", "synthetic"] = "none",
        channels: Literal[1, 3] = 1,
        resolution: int | None = None,
        images_per_epoch: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
        control: Literal["steps", "real"] | None = None,
        imbalance_seed: int | None = None,
        augmentation: list[Any] | str = "none",
        augment_on: Where = "loader",
        fraction_of_patients: float = 1.0,
        patients_seed: int | None = None,
        num_images: int | None = None,
        findings: list[str] | str | None = None,
    ) -> None:
        super().__init__(
            root, synthetic, batch_size, images_per_epoch, num_workers, seed, control, real_films,
            fraction_of_patients, patients_seed,
        )  # fmt: skip
        refuse_numbers(imbalance, num_images, fraction_of_patients)
        self.num_images = num_images
        self.synthetic_share = synthetic_share
        self.real_films = real_films
        self.only_label = only_label
        self.imbalance = imbalance
        self.imbalance_seed = seed if imbalance_seed is None else imbalance_seed
        self.balance = balance
        self.channels = channels
        self.cache = open_films(root, channels)
        self.image_size = usable_size(self.cache, resolution)
        self.findings: Findings | None = None
        if findings is None:
            self.label_column = chosen_column(self.cache, label_column)
        else:
            refuse_beside_findings(
                label_column=label_column,
                synthetic=synthetic,
                only_label=only_label,
                imbalance=imbalance,
                balance=None if balance == "none" else balance,
            )
            self.label_column = None
            self.findings = chosen_findings(self.cache, findings, "--data.findings")
        self.augmentation = written_list(augmentation)
        images = Images(
            self.cache.channels, labels=self.label_column is not None or findings is not None
        )
        self.policy = read_policy(augmentation, images)
        self.augment_on = augment_on
        self._classes = ClassChoice(
            self.cache, self.label_column, only_label, imbalance, self.imbalance_seed, balance, seed
        )
        self._classes.check(beside_synthetic=synthetic is not None)
        check_synthetic_flags(synthetic, synthetic_share, real_films, balance, imbalance)
        notes = unlabelled_note(self.cache, self.label_column)
        notes += [] if self.findings is None else self.findings.notes(root)
        for note in notes:
            rank_zero_only(print)(note, file=sys.stderr)

    @property
    def class_names(self) -> list[str]:
        """Names of the classes 0, 1, ... of the labels, or of the findings; empty without."""
        if self.findings is not None:
            return list(self.findings.names)
        return [] if self.label_column is None else self.cache.class_names(self.label_column)

    @cached_property
    def chosen_patients(self) -> frozenset[str]:
        """Training patients whose films are used: all, a share, or so many that films suffice."""
        if self.num_images is None:
            return super().chosen_patients
        films = self.cache.indices("train")
        films = self._classes.films(films, training=False)
        if self.findings is not None:
            films = films[self.findings.some_known[films]]
        counts = Counter(self.cache.patient_ids[films].tolist())
        for note in few_films_note(self.root, len(films), self.num_images):
            rank_zero_only(print)(note, file=sys.stderr)
        patients = self.cache.patients("train")
        return frozenset(patients_of_images(patients, counts, self.num_images, self.patients_seed))

    def items(self, split: str) -> NDArray[np.int64]:
        """Indices in the cache of a split's films that this run uses.

        Raises:
            UserError: There are none, or not so unequal a choice of them as asked for.
        """
        indices = self.cache.indices(split)
        if split == "train":
            chosen = sorted(self.chosen_patients)
            indices = indices[np.isin(self.cache.patient_ids[indices], chosen)]
        indices = self._classes.films(indices, training=split == "train")
        if self.findings is not None:
            indices = indices[self.findings.some_known[indices]]
        if self.left_out:
            indices = indices[~np.isin(self.cache.ids[indices], sorted(self.left_out))]
        if not len(indices):
            findings = self.findings is not None
            raise no_film(self.root, split, self.only_label, self.class_names, findings)
        return indices

    def real_set(self) -> FilmDataset:
        """Real training films alone, also with `real_films` false."""
        return self._dataset(self.items("train"), None)

    def _dataset(self, indices: NDArray[np.int64], synthetic: SyntheticSet | None) -> FilmDataset:
        return FilmDataset(
            self.cache,
            indices,
            synthetic,
            "random",
            label_column=self.label_column,
            augmentation=self.policy,
            on_device=self.augment_on == "device",
            resolution=self.image_size,
            findings=None if self.findings is None else self.findings.values,
        )

    def training_set(self) -> FilmDataset:
        """Real training films, then the synthetic ones, after the leak check."""
        indices = self.items("train")
        synthetic = self.joining_set(False, {self.cache.image_size, self.image_size})
        if synthetic is not None:
            synthetic = self._chosen_synthetic(synthetic, indices)
        if not self.real_films:
            indices = indices[:0]
        dataset = self._dataset(indices, synthetic)
        if not len(dataset):
            raise UserError(
                f"--data.real_films false: no film of {self.synthetic} joins, so there is nothing "
                "to train on. Give a larger --data.synthetic_share."
            )
        return dataset

    def training_labels(self) -> NDArray[np.int64] | None:
        """(n,) class of each training film, synthetic ones too; None without labels."""
        labels: NDArray[np.int64] | None = self._training_set.labels
        return labels

    def training_findings(self) -> NDArray[np.float32] | None:
        """(n, K) findings of each training film, after `setup`; None where a run tells none."""
        if self.findings is None:
            return None
        found: NDArray[np.float32] = self.findings.values[self._training_set.indices]
        return found

    def class_counts(self) -> NDArray[np.int64]:
        """(num_classes,) real training films of each class that this run uses or counts by."""
        return self._classes.counts(self.items("train"))

    def evaluation_set(self, split: str, rank: int = 0, num_processes: int = 1) -> FilmDataset:
        """A process's share of a split in the cache's order, centre crops."""
        indices = self.items(split)[rank::num_processes]
        findings = None if self.findings is None else self.findings.values
        return FilmDataset(self.cache, indices, label_column=self.label_column, findings=findings)

    def to_unit(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The same scaling for who iterates a loader without a trainer."""
        batch = augmented_batch(batch, self.policy, self._unit_image)
        return to_unit(batch, self.image_size, self.channels)

    def _unit_image(self, image: Tensor) -> Tensor:
        unit: Tensor = to_unit({"image": image[None]}, self.image_size)["image"][0]
        return unit

    def _chosen_synthetic(self, synthetic: SyntheticSet, real: NDArray[np.int64]) -> SyntheticSet:
        """Those films of a set that join these real ones."""
        names, counts = self.class_names or [""], self._classes.counts(real)
        largest = names[int(self._classes.counts(self.cache.indices("train")).argmax())]
        unfair = imbalance_warning(synthetic, self.imbalance, self.imbalance_seed, largest)
        if unfair is not None:
            rank_zero_only(print)(unfair, file=sys.stderr)
        classes = np.zeros(len(synthetic.items), np.int64)
        if self.label_column is not None:
            classes = classes_of(synthetic, names)
        fill_up = self.balance == "synthetic"
        return films_that_join(synthetic, classes, counts, names, self.synthetic_share, fill_up)

    def weights(self, dataset: FilmDataset) -> NDArray[np.float64] | None:
        """With `balance: oversample`, such that all classes are drawn equally often."""
        if self.balance != "oversample":
            return None
        assert dataset.labels is not None
        return self._classes.equal_weights(dataset.labels)
