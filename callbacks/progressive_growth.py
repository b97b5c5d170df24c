"""When a growing GAN grows: a function of the images seen, and of nothing else."""

import math
import sys
from typing import Any

import lightning as L
from lightning.pytorch.utilities import rank_zero_only

from lightning_modules.growing_gan import SMALLEST_RESOLUTION, GrowingGAN, Growth
from provenance import UserError


class ProgressiveGrowth(L.Callback):
    """Sets stage and fade of a `GrowingGAN` before every step.

    Each resolution is first faded in over `fade_images`, then trained over `stage_images`; the
    first has no fade. The final resolution stays to the end. A resumed run stands where it stood,
    since both are computed from the images seen.

    Args:
        stage_images: Images at a resolution that is fully grown.
        fade_images: Images in which a resolution fades in.
        first_resolution: Side in pixels of the first stage.

    Raises:
        UserError: Numbers that make no schedule.

    Source: Karras et al. 2018, arXiv:1710.10196: 600,000 and 600,000 (800,000 at CelebA-HQ).
    """

    def __init__(
        self,
        stage_images: int = 600_000,
        fade_images: int = 600_000,
        first_resolution: int = SMALLEST_RESOLUTION,
    ) -> None:
        if stage_images < 1 or fade_images < 0:
            raise UserError(
                f"ProgressiveGrowth: stage_images is {stage_images} and fade_images {fade_images}; "
                "expected 1 or more, and 0 or more."
            )
        if first_resolution < SMALLEST_RESOLUTION or first_resolution & (first_resolution - 1):
            raise UserError(
                f"ProgressiveGrowth: first_resolution is {first_resolution} pixels; expected a "
                f"power of two from {SMALLEST_RESOLUTION} up."
            )
        self.stage_images = stage_images
        self.fade_images = fade_images
        self.first_resolution = first_resolution

    def growth_at(self, images_seen: int, final_resolution: int) -> Growth:
        """Where the networks stand after so many images."""
        if images_seen < self.stage_images or final_resolution == self.first_resolution:
            return Growth(self.first_resolution)
        period = self.fade_images + self.stage_images
        stages_begun, into = divmod(images_seen - self.stage_images, period)
        resolution = self.first_resolution * 2 ** (stages_begun + 1)
        if resolution > final_resolution:
            return Growth(final_resolution)
        alpha = 1.0 if into >= self.fade_images else into / self.fade_images
        return Growth(resolution, alpha)

    def offset_of(self, images_seen: int, offset: int, growth: Growth) -> int:
        """Images not to be counted, so that the schedule stands where networks stand already.

        A run may start with another one's networks, which were trained longer at a stage, or on
        another schedule: they go on to the next stage as this one has it, and nothing jumps.

        Args:
            images_seen: By the networks.
            offset: Of them, those that were not counted before.
            growth: Where the networks stand.
        """
        period = self.fade_images + self.stage_images
        doublings = (growth.resolution // self.first_resolution).bit_length() - 1
        if growth.alpha < 1:
            fading = doublings * period - (1 - growth.alpha) * self.fade_images
            first = last = max(0, round(fading))
        else:
            first, last = max(0, doublings * period), max(0, doublings * period + self.stage_images)
        return images_seen - min(max(images_seen - offset, first), last)

    def images_until_grown(self, final_resolution: int) -> int:
        """Images after which the final resolution is fully faded in."""
        doublings = (final_resolution // self.first_resolution).bit_length() - 1
        return doublings * (self.stage_images + self.fade_images)

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Refuse a schedule that cannot be followed."""
        if not isinstance(module, GrowingGAN):
            raise UserError(
                f"ProgressiveGrowth: a {type(module).__name__} does not grow. Leave the callback "
                "out, or use lightning_modules.GrowingGAN."
            )
        if self.first_resolution > module.image_size:
            raise UserError(
                f"ProgressiveGrowth: first_resolution {self.first_resolution} is beyond the data's "
                f"{module.image_size} pixels."
            )
        module.has_schedule = True

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Go on where another run's networks stood; say so if training ends before all is grown."""
        assert isinstance(module, GrowingGAN)
        if module.start_from is not None and module.steps_done == 0:
            module.growth_offset = self.offset_of(
                module.images_seen, module.growth_offset, module.growth
            )
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        epochs = trainer.max_epochs
        if data is None or epochs is None or epochs < 0:
            return
        an_epoch = int(trainer.num_training_batches) * data.batch_size
        done = module.images_seen - module.growth_offset
        planned = done + epochs * an_epoch - module.steps_done * data.batch_size
        needed = self.images_until_grown(module.image_size)
        if planned < needed:
            at_end = self.growth_at(planned, module.image_size)
            rank_zero_only(print)(
                f"ProgressiveGrowth: {module.image_size} px will be grown after {needed:,} images, "
                f"but the training ends after {planned:,}, at {at_end.resolution} px (alpha "
                f"{at_end.alpha:.2f}). Train longer (--trainer.max_epochs "
                f"{epochs + math.ceil((needed - planned) / an_epoch)} or more), or lower "
                "stage_images and fade_images of the callback.",
                file=sys.stderr,
            )

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, index: int
    ) -> None:
        """Decide for this step."""
        assert isinstance(module, GrowingGAN)
        counted = module.images_seen - module.growth_offset
        module.growth = self.growth_at(counted, module.image_size)
