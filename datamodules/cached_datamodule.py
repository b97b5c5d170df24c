"""What the datamodules of slices and of films share: batches in their order, and the leak check."""

import sys
from collections.abc import Callable, Sized
from functools import cached_property
from typing import Any, Literal

import lightning as L
import numpy as np
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from augmentations.batch_mixing import check_share, mix_batch
from augmentations.catalogue import name_of
from augmentations.policy import NOTHING, Policy
from datamodules.batch_order import OrderedBatches
from datamodules.choice.controls import check_control, epoch_of_real_images, stand_ins
from datamodules.choice.fewer_patients import check_fraction, patients_warning, some_patients
from datamodules.leak_check import check_no_leak, refuse_other_set
from datamodules.loader import loader_of
from datamodules.prepared_cache import PreparedCache
from datamodules.synthetic import SyntheticSet
from knowledge import Knowledge
from licences import together
from provenance import UserError

_MANY_TIMES = 5  # so often in one epoch no configuration shows an image by intention


class CachedDataModule(L.LightningDataModule):
    """A cache's splits in batches. Subclasses say what a split holds and how a batch is scaled.

    Args:
        root: The cache folder.
        synthetic: Folder of a synthetic set that joins the training split; None for none.
        batch_size: Images per optimiser step, over all processes together.
        images_per_epoch: Training images that make an epoch; None: all of them, once.
        num_workers: Processes that load; 0 loads in the training process.
        seed: Of order and augmentation.
        control: None: the synthetic images join. "steps" and "real" leave them out, and show real
            images in their places or shorten the epochs; see `datamodules/choice/controls.py`.
        real_images: False: train on the synthetic images alone.
        fraction_of_patients: Share of the training patients whose images are used.
        patients_seed: Of the choice of these patients; None: `seed`.

    Raises:
        UserError: A number below the least that makes sense, or a control of nothing.
    """

    cache: PreparedCache

    def __init__(
        self,
        root: str,
        synthetic: str | None,
        batch_size: int,
        images_per_epoch: int | None,
        num_workers: int,
        seed: int,
        control: Literal["steps", "real"] | None,
        real_images: bool,
        fraction_of_patients: float = 1.0,
        patients_seed: int | None = None,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("images_per_epoch", images_per_epoch, 1),
            ("num_workers", num_workers, 0),
        ):
            if value is not None and value < least:
                raise UserError(f"--data.{name} is {value}; it must be {least} or more.")
        check_control(control, synthetic, real_images)
        check_fraction(fraction_of_patients)
        self.left_out: frozenset[str] = frozenset()
        """Ids of images that no split holds: an evaluation leaves out what its model has seen."""
        self.root = root
        self.synthetic = synthetic
        self.control = control
        self.batch_size = batch_size
        self.images_per_epoch = images_per_epoch
        self.num_workers = num_workers
        self.seed = seed
        self.fraction_of_patients = fraction_of_patients
        self.patients_seed = seed if patients_seed is None else patients_seed

    balance: str = "none"
    """How the classes of training images are balanced; modules that can do it have a flag."""

    augmentation: list[Any] | str = "none"
    """As it is written in a configuration: the name of a preset, or a list."""

    policy: Policy = NOTHING
    """What is done to training images."""

    @staticmethod
    def collate(samples: list[Any]) -> dict[str, Any]:
        """Stack samples into a batch."""
        raise NotImplementedError

    @property
    def class_names(self) -> list[str]:
        """Names of the classes 0, 1, ... of labels or of label maps; empty without either."""
        raise NotImplementedError

    def items(self, split: str) -> Sized:
        """What a split holds; UserError where that is nothing."""
        raise NotImplementedError

    def real_set(self) -> Any:
        """Real training images alone."""
        raise NotImplementedError

    def training_set(self) -> Any:
        """Real training images, then synthetic ones, after the leak check; as without a control."""
        raise NotImplementedError

    def evaluation_set(self, split: str, rank: int = 0, num_processes: int = 1) -> Any:
        """A process's share of a split, in the cache's order and unaugmented."""
        raise NotImplementedError

    def to_unit(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Scale a batch where it lies: images travel as integers."""
        raise NotImplementedError

    @cached_property
    def chosen_patients(self) -> frozenset[str]:
        """Training patients whose images are used: all, or those that the seed draws."""
        patients = self.cache.patients("train")
        if self.fraction_of_patients < 1:
            patients = some_patients(patients, self.fraction_of_patients, self.patients_seed)
        return frozenset(patients)

    @cached_property
    def synthetic_set(self) -> SyntheticSet | None:
        """The synthetic set as it was when it was first asked for; None without one.

        Raises:
            UserError: There is no finished set.
        """
        return None if self.synthetic is None else SyntheticSet.open(self.synthetic)

    @property
    def synthetic_sha256(self) -> str | None:
        """SHA-256 of the set's manifest, which tells its generator, seed and images."""
        return None if self.synthetic_set is None else self.synthetic_set.content_sha256

    def also_seen(self) -> Knowledge:
        """Whom a training learns from besides the cache's training split: through synthetic images.

        Raises:
            UserError: There is no finished set.
        """
        if self.synthetic_set is None or self.control is not None:
            return Knowledge()
        own = self.cache.knowledge(self.cache.indices("train"))
        return self.synthetic_set.seen().without(own)

    def licences(self) -> list[dict[str, str]]:
        """Licences of all data that a training learns from, as plain values.

        Raises:
            UserError: There is no finished set.
        """
        joins = self.synthetic_set is not None and self.control is None
        through = self.synthetic_set.licences if self.synthetic_set and joins else []
        return [one.plain() for one in together([self.cache.licence, *through])]

    def joining_set(self, with_label_maps: bool, sizes: set[int]) -> SyntheticSet | None:
        """The synthetic set that joins the training split, after the leak check; None without one.

        Args:
            with_label_maps: Whether its images must have label maps, as slices do, or are films.
            sizes: Sides in pixels that its images may have.

        Raises:
            UserError: It may know a validation or test patient, or is of another kind or size.
        """
        if self.synthetic_set is None:
            return None
        check_no_leak(self.synthetic_set, self.cache)
        patients = self.cache.patients("train")
        unfair = patients_warning(self.synthetic_set, patients, self.chosen_patients)
        if unfair is not None:
            rank_zero_only(print)(unfair, file=sys.stderr)
        refuse_other_set(self.synthetic_set, self.cache, with_label_maps, sizes)
        return self.synthetic_set

    def weights(self, dataset: Any) -> NDArray[np.float64] | None:
        """Relative frequency of every training image; None for each once."""
        return None

    def training_labels(self) -> NDArray[np.int64] | None:
        """(n,) class of each training image, synthetic ones too, after `setup`; None without."""
        return None

    def setup(self, stage: str) -> None:
        """Open what the stage needs, so that bad input stops a run before its first step."""
        if stage == "fit":
            self._training_set = self.training_set()
            self._weights = self.weights(self._training_set)
            self._epoch = self.images_per_epoch
            self._tell_of_a_long_epoch()
            if self.control is not None:
                self._leave_out_synthetic()
            self.items("val")
            self._check_mixing()

    def _tell_of_a_long_epoch(self) -> None:
        """Say how often an epoch shows an image where its length was set for far more of them."""
        number, epoch = len(self._training_set), self.images_per_epoch
        if epoch is not None and epoch >= _MANY_TIMES * number:
            rank_zero_only(print)(
                f"note: an epoch is {epoch:,} images (data.images_per_epoch), and {number:,} are "
                f"there to train on: each is shown about {epoch / number:.0f} times between two "
                f"validations. --data.images_per_epoch {number} shows each once.",
                file=sys.stderr,
            )

    def _check_mixing(self) -> None:
        """Refuse a batch with nobody to mix with; say where processes change who meets whom."""
        meeting = [name_of(one) for one in self.policy.on_batches if one.meets]
        processes = 1 if self.trainer is None else self.trainer.world_size
        note = check_share(meeting, self.batch_size, processes)
        if note is not None:
            rank_zero_only(print)(note, file=sys.stderr)

    def _leave_out_synthetic(self) -> None:
        """Make the training the control of what it would be with the synthetic images."""
        joined, real = self._training_set, self.real_set()
        chosen = np.arange(joined.num_real)
        if self.control == "real":
            length = self._epoch or len(joined)
            self._epoch = epoch_of_real_images(
                length, self.batch_size, joined.num_real, self._weights, len(joined)
            )
        else:
            kinds = joined.kinds()[joined.num_real :]
            chosen = np.concatenate([chosen, stand_ins(kinds, real.kinds(), self.seed)])
        self._training_set = real.of_real(chosen)
        self._weights = self.weights(self._training_set)

    def steps_per_epoch(self) -> int:
        """Steps of all processes together that make an epoch; after `setup`."""
        return len(self._order(lambda: 0))

    def images_shown(self, steps: int) -> tuple[int, int]:
        """How many images the first steps show, and how many of these are real; after `setup`."""
        real = self._order(lambda: 0).count_below(self._training_set.num_real, steps)
        return steps * self.batch_size, real

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches in an order that depends on the seed and the steps done only."""
        assert self.trainer is not None
        module = self.trainer.lightning_module
        batches = self._order(
            lambda: module.steps_done,  # type: ignore[arg-type, return-value]
            self.trainer.global_rank,
            self.trainer.world_size,
        )
        return loader_of(self, self._training_set, batch_sampler=batches)

    def _order(
        self, steps_done: Callable[[], int], rank: int = 0, num_processes: int = 1
    ) -> OrderedBatches:
        return OrderedBatches(
            num_items=len(self._training_set),
            global_batch_size=self.batch_size,
            seed=self.seed,
            steps_done=steps_done,
            rank=rank,
            num_processes=num_processes,
            weights=self._weights,
            images_per_epoch=self._epoch,
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """This process's share of the validation split."""
        return self.evaluation_loader("val")

    def evaluation_loader(self, split: str) -> DataLoader[Any]:
        """`evaluation_set` in batches; each process its share."""
        trainer = self.trainer
        share = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
        images = self.evaluation_set(split, *share)
        return loader_of(self, images, batch_size=min(self.batch_size, max(1, len(images))))

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Scale on the device; mix training images there too, if the policy does."""
        batch = self.to_unit(batch)
        if not self.policy.on_batches or self.trainer is None or not self.trainer.training:
            return batch
        # Numbers of an image's place in the global batch of this step: however that is shared out
        # over processes, and after any resume, they are the same.
        module: Any = self.trainer.lightning_module
        first = self.trainer.global_rank * len(batch["image"])
        places = range(first, first + len(batch["image"]))
        seeds = [module.step_seed("mixing", place) for place in places]
        return mix_batch(batch, self.policy.on_batches, seeds, len(self.class_names))
