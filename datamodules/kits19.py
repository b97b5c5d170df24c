"""KiTS19 slices, and everything prepared in the same cache format, for Lightning."""

from typing import Any, Literal

import numpy as np

from augmentations.language import read_policy, written_list
from augmentations.operation import Images
from datamodules.augmented import Where, augmented_batch
from datamodules.cached_datamodule import CachedDataModule
from datamodules.choice.synthetic_films import check_synthetic_flags, first_of_each_class, share_of
from datamodules.open_cache import open_cache
from datamodules.slice_cache import SliceCache, SliceItem
from datamodules.slice_dataset import SliceDataset, collate, to_unit, unit_image
from datamodules.synthetic import SyntheticSet
from provenance import UserError

UNIFORM = "uniform"


class KiTS19DataModule(CachedDataModule):
    """CT slices with label maps from a cache that prepare.py made, such as KiTS19's.

    Args:
        root: The cache folder.
        batch_size: Images per optimiser step, over all processes together. So a run's result and
            its learning rate do not depend on the number of GPUs.
        synthetic: Folder of a synthetic set that joins the training split, and only that. The run
            stops if the set knows a validation or test patient.
        synthetic_share: How many synthetic slices join, as a share of the real training slices: 1
            for as many again. The first in the set's order, so a larger share holds what a smaller
            one holds. None: all of the set.
        real_slices: False: train on the synthetic slices alone; with `synthetic_share` on that
            share of the real slices' number. Validation and test stay real.
        augmentation: What is done to training slices, image and mask alike: the name of a preset
            such as geometric, a list of operations, or a YAML file with one; see
            docs/augmentations.md.
        augment_on: Where: "loader" as a slice is loaded, "device" on the batch, such as on a GPU.
            What is drawn is the same.
        slices: "foreground" uses the slices that hold any class but the background (in KiTS19 the
            64 a patient of Choe et al. 2022 match these), "all" every slice.
        sampling: "uniform" draws every training slice once per epoch; the name of a class, such as
            "tumour", draws with replacement so that every second slice holds it.
        images_per_epoch: Training images that make an epoch; None: all of them, once. A number
            gives runs with and without synthetic images the same number of steps, so that a study
            compares data and not training length.
        num_workers: Processes that load; 0 loads in the training process.
        seed: Of order and augmentation.
        control: None: the synthetic images join. The two controls of that, with which a study tells
            what they do from what longer training does: "steps" shows real slices of the same
            labels in their places, "real" shortens the epochs so that as many real slices are
            shown as beside them, to a whole batch. The set then says only how many.
        fraction_of_patients: Share of the training patients whose slices are used, such as 0.25:
            what a smaller data set would have given. A smaller share is a part of a larger one of
            the same seed; validation and test stay whole.
        patients_seed: Of the choice of these patients; None: `seed`. Trainings with seeds of their
            own that are compared use the same patients by it.
    """

    cache: SliceCache
    collate = staticmethod(collate)

    def __init__(
        self,
        root: str,
        batch_size: int = 8,
        synthetic: str | None = None,
        synthetic_share: float | None = None,
        real_slices: bool = True,
        augmentation: list[Any] | str = "none",
        slices: Literal["foreground", "all"] = "foreground",
        sampling: str = UNIFORM,
        images_per_epoch: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
        control: Literal["steps", "real"] | None = None,
        augment_on: Where = "loader",
        fraction_of_patients: float = 1.0,
        patients_seed: int | None = None,
    ) -> None:
        super().__init__(
            root, synthetic, batch_size, images_per_epoch, num_workers, seed, control, real_slices,
            fraction_of_patients, patients_seed,
        )  # fmt: skip
        check_synthetic_flags(synthetic, synthetic_share, real_slices, what="slices")
        self.synthetic_share = synthetic_share
        self.real_slices = real_slices
        self.augmentation = written_list(augmentation)
        self.augment_on = augment_on
        self.slices = slices
        self.sampling = sampling
        cache = open_cache(root)
        if not isinstance(cache, SliceCache):
            raise UserError(
                f"--data.root {root}: holds films, expected CT slices. Give a cache of slices; to "
                "train on films, a configuration for films (`python train.py list`)."
            )
        self.cache = cache
        if not self.cache.has_images:
            raise UserError(
                f"--data.root {root}: this cache holds label maps without images. It can be given "
                "to generate.py --labels, not to training."
            )
        self.policy = read_policy(augmentation, Images(channels=cache.num_channels, masks=True))
        if sampling not in (UNIFORM, *cache.foreground):
            raise UserError(
                f"--data.sampling {sampling}: expected {UNIFORM}, or a class of {root}: "
                f"{', '.join(cache.foreground)}."
            )

    @property
    def image_size(self) -> int:
        """Side of the slices in pixels."""
        return self.cache.image_size

    @property
    def image_channels(self) -> int:
        """Channels of the slices."""
        return self.cache.num_channels

    @property
    def class_names(self) -> list[str]:
        """Names of the labels 0, 1, 2, ..."""
        return self.cache.class_names

    def items(self, split: str) -> list[SliceItem]:
        """The slices of a split that this run uses.

        Raises:
            UserError: There are none.
        """
        items = self.cache.select(split, foreground_only=self.slices == "foreground")
        items = [item for item in items if item.id not in self.left_out]
        if split == "train":
            items = [item for item in items if item.patient_id in self.chosen_patients]
        if not items:
            held = f" with {' or '.join(self.cache.foreground)}"
            raise UserError(
                f"{self.root}: the {split} split has no slice"
                + (held if self.slices == "foreground" else "")
                + ". Prepare more patients, or other --split-ratios or --split-seed."
            )
        return items

    def real_set(self) -> SliceDataset:
        """Real training slices alone, also with `real_slices` false."""
        return self._dataset(self.items("train"), None)

    def _dataset(self, items: list[SliceItem], synthetic: SyntheticSet | None) -> SliceDataset:
        return SliceDataset(self.cache, items, synthetic, self.policy, self.augment_on == "device")

    def training_set(self) -> SliceDataset:
        """Real training slices, then the synthetic ones, after the leak check."""
        real = self.items("train")
        synthetic = self.joining_set(with_label_maps=True, sizes={self.image_size})
        if synthetic is not None:
            made_of = synthetic.manifest.get("class_names", self.class_names)
            if made_of != self.class_names:
                raise UserError(
                    f"--data.synthetic {self.synthetic}: its labels are {', '.join(made_of)}, but "
                    f"{self.root} has {', '.join(self.class_names)}. Give a set of these classes."
                )
            if synthetic.channels != self.image_channels:
                raise UserError(
                    f"--data.synthetic {self.synthetic}: its images have {synthetic.channels} "
                    f"channels, those of {self.root} {self.image_channels}. Give a set that a "
                    "generator of these data made."
                )
            synthetic = self._joining(synthetic, len(real))
        if not self.real_slices:
            real = []
        dataset = self._dataset(real, synthetic)
        if not len(dataset):
            raise UserError(
                f"--data.real_slices false: no slice of {self.synthetic} joins, so there is "
                "nothing to train on. Give a larger --data.synthetic_share."
            )
        return dataset

    def _joining(self, synthetic: SyntheticSet, num_real: int) -> SyntheticSet:
        """Those slices of a set that join so many real ones."""
        if self.synthetic_share is None:
            return synthetic
        asked, wanted = f"--data.synthetic_share {self.synthetic_share:g}", np.array([num_real])
        one_class = np.zeros(len(synthetic.items), np.int64)
        wanted = share_of(wanted, self.synthetic_share)
        return first_of_each_class(synthetic, one_class, wanted, [""], asked, "slices")

    def evaluation_set(self, split: str, rank: int = 0, num_processes: int = 1) -> SliceDataset:
        """A process's share of a split in the cache's order, patient by patient, unaugmented."""
        return SliceDataset(self.cache, self.items(split)[rank::num_processes])

    def to_unit(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Scale a batch where it lies: images travel as uint8."""
        return to_unit(augmented_batch(batch, self.policy, unit_image))

    def weights(self, dataset: SliceDataset) -> np.ndarray | None:
        """With a class as `sampling`, such that every second slice holds it."""
        if self.sampling == UNIFORM:
            return None
        holds = dataset.has_class(self.class_names.index(self.sampling))
        share = holds.mean()
        if share in (0.0, 1.0):
            raise UserError(
                f"--data.sampling {self.sampling}: {'all' if share else 'none'} of the "
                f"{len(dataset)} training slices hold it, so there is nothing to balance. "
                f"Use --data.sampling {UNIFORM}."
            )
        return np.where(holds, 0.5 / share, 0.5 / (1.0 - share))
