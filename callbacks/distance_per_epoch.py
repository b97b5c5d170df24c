"""How far generated films are from real ones, after every epoch, on all processes."""

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from callbacks.epoch_reports import report_due
from lightning_modules.distributed import (
    gather_dealt,
    process_count,
    process_rank,
    sum_over_processes,
)
from lightning_modules.gan import GAN
from lightning_modules.step.divergence import TrainingError
from lightning_modules.step.seeds import derived_seed
from metrics.distances import frechet_distance, kernel_distance, pairwise_diversity, real_floor
from metrics.extractor import FeatureExtractor
from metrics.features import build_extractor
from metrics.kept_features import keep_features, kept_features, path_of_features
from provenance import UserError

# A collapse is three measurements that show it, without a rise from the first to the last of more
# than a hundredth of the limit, which is rounding; and no earlier than after so many steps, if the
# generator never made different images.
_MEASUREMENTS = 3
_LEAST_STEPS = 200


class DistancePerEpoch(L.Callback):
    """Frechet and kernel distance between films and images of the averaged generator.

    Called FID only with the canonical Inception weights; else the number is named after its
    extractor. Real features are computed once and kept beside the data, by content, extractor and
    size. Images are quantised to 8 bits as files are, and come from seeds that never change. The
    best checkpoint is the one with the smallest Frechet distance. Numbers do not depend on how many
    processes share the work.

    A generator that makes the same image again and again is seen by its diversity, as a share of
    the real films'. The training ends with a sentence when that is below `collapsed_below` in three
    measurements in a row and is not rising, and had been above it or 200 steps are done: at its
    start every generator makes one image, and on few films it takes many epochs to learn more.

    Args:
        extractor: "random_vgg" (no download), "timm:<model>" or "inception".
        weights: The extractor's weights; not for random_vgg.
        num_images: Generated images, and real ones at most; 0 measures nothing.
        every_epochs: Epochs between two measurements; the last epoch always has one.
        real_split: Split of the real films. Distances to the training films are those of the
            literature, and do not see a generator that copies them.
        batch_size: Images at once, per process.
        collapsed_below: Share of the real diversity below which the generator has collapsed; 0
            never ends a training.
        random_vgg_too: Measure the same images in the random VGG's features as well. They need no
            weights, so every lab can repeat them; the best checkpoint is still the extractor's.

    Raises:
        UserError: No such extractor, or numbers that make no sense.
    """

    def __init__(
        self,
        extractor: str = "random_vgg",
        weights: str | None = None,
        num_images: int = 1000,
        every_epochs: int = 1,
        real_split: str = "train",
        batch_size: int = 32,
        collapsed_below: float = 0.02,
        random_vgg_too: bool = False,
    ) -> None:
        for name, value, fits, expected in (
            ("num_images", num_images, num_images == 0 or num_images >= 4, "0, or at least 4"),
            ("every_epochs", every_epochs, every_epochs >= 1, "at least 1"),
            ("batch_size", batch_size, batch_size >= 1, "at least 1"),
            ("collapsed_below", collapsed_below, 0 <= collapsed_below < 1, "0 to below 1"),
        ):
            if not fits:  # NaN neither
                raise UserError(f"--distance.{name} {value}: expected {expected}.")
        if extractor == "random_vgg" and weights is not None:
            raise UserError(
                f"--distance.weights {weights}: the random VGG of --distance.extractor random_vgg "
                "has no file of weights. Leave it out, or name the extractor that they are of."
            )
        self.extractor = extractor
        self.weights = weights
        self.num_images = num_images
        self.every_epochs = every_epochs
        self.real_split = real_split
        self.batch_size = batch_size
        self.collapsed_below = collapsed_below
        self.random_vgg_too = random_vgg_too and extractor != "random_vgg"
        self.best: float | None = None
        self._was_diverse = False
        self._recent: list[float] = []
        self._failure: str | None = None
        self._measured: dict[str, float] = {}
        self._networks: list[FeatureExtractor] = []
        self._of_real: tuple[list[Tensor], list[str]] | None = None

    def state_dict(self) -> dict[str, Any]:
        """The best value so far, and what tells a collapse: the last diversities."""
        return {"best": self.best, "was_diverse": self._was_diverse, "recent": [*self._recent]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See `state_dict`; an earlier version kept other values, so that watching begins anew."""
        self.best = state_dict["best"]
        self._was_diverse = state_dict.get("was_diverse", False)
        self._recent = [*state_dict.get("recent", [])]

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Build the extractor and try it, so that a run stops before its first step, if at all."""
        assert isinstance(module, GAN)
        self._networks = [build_extractor(self.extractor, self.weights)]
        if self.random_vgg_too:
            self._networks.append(build_extractor("random_vgg"))
        self._networks = [network.to(module.device) for network in self._networks]
        self._of_real = None
        module.monitor = (f"val/{_frechet_name(self._networks[0])}", "min")
        films = len(self._data(trainer).evaluation_set(self.real_split))
        if films < 4:
            raise UserError(
                f"--distance.real_split {self.real_split}: has {films} film(s), and a distance "
                "needs 4. Give another split, or --distance.num_images 0."
            )
        shape = (1, module.image_channels, module.image_size, module.image_size)
        try:
            self._features(torch.zeros(shape, device=module.device))
        except ValueError as error:
            raise UserError(
                f"--distance.extractor {self.extractor}: {error} Give another extractor, or "
                "--distance.num_images 0."
            ) from error

    def on_validation_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Measure and log; a collective."""
        assert isinstance(module, GAN)
        if trainer.sanity_checking:
            return
        if not report_due(trainer, self.every_epochs):
            # Lightning would show the values of an earlier epoch as this one's.
            for name in self._measured:
                trainer.callback_metrics.pop(name, None)
            return
        of_real, patients = self._real(trainer, module)
        of_fake = self._generated(module)
        values: dict[str, float] = {}
        # The extractor itself comes last, so the diversity is the one in its features.
        for network, real, fake in reversed(
            list(zip(self._networks, of_real, of_fake, strict=True))
        ):
            values |= _measure(network, real, fake, patients)
        name = f"val/{_frechet_name(self._networks[0])}"
        self.best = values[name] if self.best is None else min(self.best, values[name])
        values[f"{name}_best"] = self.best
        self._measured = values
        module.log_dict(self._measured, logger=False, rank_zero_only=True)
        self._watch_diversity(module)

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Stop a training that has collapsed, after the epoch's numbers are written.

        Raises:
            TrainingError: In all processes.
        """
        failure, self._failure = self._failure, None
        if failure:
            raise TrainingError(failure)

    def _watch_diversity(self, module: GAN) -> None:
        diversity, limit = self._measured["val/diversity_of_real"], self.collapsed_below
        self._recent = [*self._recent, diversity][-_MEASUREMENTS:]
        self._was_diverse = self._was_diverse or diversity >= limit
        low = len(self._recent) == _MEASUREMENTS and max(self._recent) < limit
        rising = diversity - self._recent[0] > limit / 100
        if low and not rising and (self._was_diverse or module.steps_done >= _LEAST_STEPS):
            shares = ", ".join(f"{100 * share:.2f}" for share in self._recent)
            self._failure = (
                f"The generator has collapsed by {module.images_seen} images: in the last three "
                f"measurements its images differ from one another by {shares} % of what real films "
                f"do, below {100 * limit:g} % (--distance.collapsed_below) and not rising. "
                "Checkpoints are kept. Try --model.penalties.r1 10, --model.loss ra_hinge, a lower "
                "--model.learning_rate, or --model.augmentation.adaptive true for few films."
            )

    # ---- features ----------------------------------------------------------------------------

    @torch.no_grad()
    def _generated(self, module: GAN) -> list[Tensor]:
        """Features (N, D) of images from N fixed seeds; each process makes its share of them."""
        seeds = [derived_seed(module.seed, "distance", i) for i in range(self.num_images)]
        return self._gathered_features(seeds, module.synthesise)

    def _gathered_features(
        self, items: list[int], images_of: Callable[[list[int]], Tensor]
    ) -> list[Tensor]:
        """Each network's features (N, D) of what `images_of` makes of N items; a collective."""
        processes = process_count()
        own = items[process_rank() :: processes]
        parts = [
            self._features(images_of(own[start : start + self.batch_size]))
            for start in range(0, len(own), self.batch_size)
        ]
        # With fewer items than processes some have none, but all gather; so they make one up.
        parts = parts or [[rows[:0] for rows in self._features(images_of(items[:1]))]]
        return [gather_dealt(torch.cat(rows)).cpu() for rows in zip(*parts, strict=True)]

    def _features(self, images: Tensor) -> list[Tensor]:
        """Of images in [-1, 1], quantised to 8 bits; in full precision, as a metric should be."""
        levels = ((images.float() + 1) * 127.5).round().clamp(0, 255)
        with torch.autocast(images.device.type, enabled=False):
            return [network(levels / 127.5 - 1) for network in self._networks]

    @torch.no_grad()
    def _real(self, trainer: L.Trainer, module: GAN) -> tuple[list[Tensor], list[str]]:
        """Features of real films, from beside the data if they are there, and their patients."""
        if self._of_real is not None:
            return self._of_real
        data = self._data(trainer)
        films = data.evaluation_set(self.real_split)
        evenly = np.linspace(0, len(films) - 1, min(self.num_images, len(films)))
        chosen = np.unique(evenly.round().astype(int))
        patients = data.cache.patient_ids[films.indices[chosen]].tolist()
        ids = data.cache.ids[films.indices[chosen]]
        listed = hashlib.sha256("\n".join(ids.tolist()).encode()).hexdigest()
        which = data.cache.manifest["sha256_items"], data.image_size, data.channels, listed
        root = Path(data.cache.root)
        paths = [path_of_features(root, network, which) for network in self._networks]
        kept = [kept_features(path, len(chosen)) for path in paths]
        features = [arrays["features"] for arrays in kept if arrays is not None]
        # Each machine may have its own copy of the data: all read, or all compute together.
        readers = torch.tensor(float(len(features) == len(paths)), device=module.device)
        if int(sum_over_processes(readers)) < process_count():

            def images_of(indices: list[int]) -> Tensor:
                samples = [films[index]["image"] for index in indices]
                batch = {"image": torch.stack(samples).to(module.device)}
                image: Tensor = data.to_unit(batch)["image"]
                return image

            features = self._gathered_features(chosen.tolist(), images_of)
            if trainer.is_global_zero:
                for path, rows in zip(paths, features, strict=True):
                    keep_features(path, features=rows.numpy())
        self._of_real = features, patients
        return self._of_real

    @staticmethod
    def _data(trainer: L.Trainer) -> Any:
        return trainer.datamodule  # type: ignore[attr-defined]


def _frechet_name(network: FeatureExtractor) -> str:
    return "fid" if network.name == "inception" else f"frechet_{network.name}"


def _measure(
    network: FeatureExtractor, real: Tensor, fake: Tensor, patients: list[str]
) -> dict[str, float]:
    """One network's distances between (N, D) real and (M, D) generated features."""
    name, kernel_name = _frechet_name(network), f"kernel_{network.name}"
    kernel, deviation = kernel_distance(real, fake, num_subsets=50)
    values = {
        f"val/{name}": frechet_distance(real, fake),
        f"val/{kernel_name}": kernel,
        f"val/{kernel_name}_deviation": deviation,
        "val/num_real": float(len(real)),
        "val/num_generated": float(len(fake)),
        "val/diversity_of_real": pairwise_diversity(fake) / max(1e-12, pairwise_diversity(real)),
    }
    with contextlib.suppress(ValueError):  # too few patients for two halves
        floor = real_floor(real, frechet_distance, patients, fake, num_splits=4)
        values[f"val/{name}_floor"] = floor.value
        values["val/num_at_floor"] = float(floor.num_images)
        if floor.matched is not None:
            values[f"val/{name}_at_floor_size"] = floor.matched
    return values
