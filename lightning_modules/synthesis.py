"""Modules that make images from noise: images by seed, and what validation shows of them."""

import sys
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn

from lightning_modules.distributed import sum_over_processes
from lightning_modules.generator_average import STATISTICS_CORRECTED, GeneratorAverage
from lightning_modules.step.seeds import derived_seed
from lightning_modules.training_module import Batch, TrainingModule
from networks.generator import ImageGenerator, StyleGenerator, missing_methods
from networks.pyramid import image_pyramid
from provenance import UserError

# With 256 latents a distance to films moves by 5 % from draw to draw, with these by 0.5 %; other
# batches change nothing (docs/results/film_gans).
_STATISTICS_OF, _STATISTICS_BATCH = 1024, 64


class SynthesisModule(TrainingModule):
    """A generator, its running average, and a discriminator; `GAN` says how they are trained.

    The running average makes all images that leave the module.

    Attributes:
        monitor: Without a distance to the real films, which `callbacks.DistancePerEpoch` measures,
            the newest checkpoint counts as the best.
    """

    monitor: tuple[str, str] = ("images_seen", "max")
    generator: nn.Module
    discriminator: nn.Module
    averaged: GeneratorAverage

    # ---- images by seed ----------------------------------------------------------------------

    def latent_rows(self, seeds: list[int]) -> Tensor:
        """Latents (N, L), row i from seed i alone, so that an image can be made again."""
        generator = self.generator
        assert isinstance(generator, ImageGenerator)  # `GAN` refuses others when it is built
        return self.rows_from_seeds(lambda source: generator.draw_latent(1, source), seeds)

    @torch.no_grad()
    def synthesise(self, seeds: list[int], truncation: float = 1.0) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] of the averaged generator; image i depends on seed i.

        Args:
            seeds: One for each image.
            truncation: Below 1 draws images towards the average one, where the generator can.

        Raises:
            UserError: Truncation is asked of a generator without styles.
        """
        return self.images_of(self.latent_rows(seeds), truncation)

    @torch.no_grad()
    def images_of(self, latent: Tensor, truncation: float = 1.0) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] of latent rows; see `synthesise`."""
        generator = self.averaged_generator()
        if truncation == 1.0:
            return generator(latent, self.growth_now())[0].clamp(-1, 1)
        if not isinstance(generator, StyleGenerator):
            raise UserError(
                f"--truncation {truncation}: is for generators with styles, such as StyleGAN and "
                f"StyleGAN2, and {type(generator).__name__} has none (it lacks "
                f"{missing_methods(generator, StyleGenerator)}). Leave it out."
            )
        return generator(latent, self.growth_now(), truncation)[0].clamp(-1, 1)

    def averaged_generator(self) -> nn.Module:
        """The network that makes all images, with batch statistics of its own.

        They are estimated when they are needed and the average has moved: for validation, for a
        checkpoint, and for one of an earlier version, which holds another network's. The latents
        are a function of the seed, so every process finds the same and a resumed run does too.
        """
        if self.averaged.statistics_are_stale:
            seeds = [derived_seed(self.seed, "batch statistics", i) for i in range(_STATISTICS_OF)]
            batches = self.latent_rows(seeds).split(_STATISTICS_BATCH)
            self.averaged.estimate_statistics(
                batches, lambda network, latents: network(latents, self.growth_now())
            )
        return self.averaged.network

    def state_dict(self, *arguments: Any, **settings: Any) -> Any:
        """What a checkpoint holds: never an average with statistics of other weights."""
        self.averaged_generator()
        return super().state_dict(*arguments, **settings)

    def growth_now(self) -> Any:
        """Where a growing network stands; None for one that trains all resolutions at once."""
        return None

    def real_images(self, image: Tensor, num_scales: int) -> list[Tensor]:
        """Films as the discriminator sees generated ones: a list, largest first."""
        return image_pyramid(image.to(self.dtype), num_scales)

    def logits_of(self, images: list[Tensor]) -> list[Tensor]:
        """The discriminator's logits, one tensor per scale that it judges."""
        return self.discriminator(images, self.growth_now())

    # ---- training goes on, and validation ----------------------------------------------------

    def on_fit_start(self) -> None:
        """Say what changes in a run that an earlier version began."""
        super().on_fit_start()
        if self.averaged.statistics_are_stale:
            rank_zero_only(print)(
                f"note: --resume true: {STATISTICS_CORRECTED}. Distances of earlier epochs in "
                "metrics.csv are of the washed-out images that came of it, and training itself "
                "goes on as it was.",
                file=sys.stderr,
            )

    def on_validation_epoch_start(self) -> None:
        """Start the sums of the discriminator's scores of films that it was not trained on."""
        self.averaged.check_updated(self.images_seen)
        self._held_out = torch.zeros(2, dtype=torch.float64, device=self.device)
        self._num_scales = len(self.averaged_generator()(self.latent_rows([0]), self.growth_now()))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Score held-out films: a discriminator that knows its training films scores them lower.

        Layers that compare the images of a batch (minibatch deviation) see other batches with
        another number of processes, so the score then differs by some per cent; a run says so.
        """
        logits = self.logits_of(self.real_images(batch["image"], self._num_scales))
        score = torch.stack([x.double().flatten(1).mean(dim=1) for x in logits]).mean(dim=0)
        self._held_out += torch.stack([score.sum(), score.new_tensor(len(score))])

    def on_validation_epoch_end(self) -> None:
        """Log the mean score of held-out films."""
        total, count = sum_over_processes(self._held_out).tolist()
        values = {"val/score_real": total / count, "images_seen": float(self.images_seen)}
        self.log_dict(values, logger=False, rank_zero_only=True)

    @torch.no_grad()
    def illustrate(self, batch: Batch) -> dict[str, Tensor]:
        """Pictures for the sample grid: a held-out film, and images of noise that never changes."""
        size, columns = len(batch["image"]), 7
        drawn = [
            self.synthesise([derived_seed(self.seed, "illustrate", row, c) for row in range(size)])
            for c in range(columns)
        ]
        real = self.real_images(batch["image"], 1)[0]
        return {"real": real, **{f"synthetic {c + 1}": image for c, image in enumerate(drawn)}}
