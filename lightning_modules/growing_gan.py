"""GANs that grow: trained at 4 pixels first, then at twice as many, and so on."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_modules.gan import GAN
from networks.growth import SMALLEST_RESOLUTION, Growth
from provenance import UserError

__all__ = ["SMALLEST_RESOLUTION", "GrowingGAN", "Growth"]


class GrowingGAN(GAN):
    """`GAN` for networks that grow: PGGAN and StyleGAN.

    `callbacks.ProgressiveGrowth` says before every step where the networks stand, as a function of
    the images seen. All layers are in the optimisers from the start: a layer that has not grown yet
    gets no gradient and is left alone, and one that is there keeps its state when others join it.

    Args:
        **settings: Those of `GAN`, but for the path length, which has no growth.

    Attributes:
        growth: Stage and fade of the step; the callback sets it.
        growth_offset: Images seen that the schedule does not count: those by which another run's
            networks, with which this one started, had stood longer at a stage than it has them.
        has_schedule: Whether there is such a callback; it says so when training starts.

    Raises:
        UserError: Settings that contradict each other.

    Source: Karras et al. 2018, arXiv:1710.10196. Deviation: one batch size at all resolutions.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        if self.penalties.path_length:
            raise UserError(
                f"--model.penalties.path_length {self.penalties.path_length}: it is measured on "
                "images of the full size, which a growing network does not make yet. Set it to 0."
            )
        self.growth = Growth(SMALLEST_RESOLUTION)
        self.growth_offset = 0
        self.has_schedule = False

    def growth_now(self) -> Growth:
        """Stage and fade of this step."""
        return self.growth

    def real_images(self, image: Tensor, num_scales: int) -> list[Tensor]:
        """Films at the stage's resolution; while it fades in, mixed with those of the one before.

        So that the discriminator is not shown detail that the generator cannot have yet.
        """
        image = F.avg_pool2d(image.to(self.dtype), image.shape[-1] // self.growth.resolution)
        if self.growth.alpha < 1:
            coarse = F.interpolate(F.avg_pool2d(image, 2), scale_factor=2, mode="nearest")
            image = torch.lerp(coarse, image, self.growth.alpha)
        return [image]

    def images_of(self, latent: Tensor, truncation: float = 1.0) -> Tensor:
        """Images at the full size; a network that is not grown yet shows its larger pixels."""
        image = super().images_of(latent, truncation)
        return F.interpolate(image, scale_factor=self.image_size // image.shape[-1], mode="nearest")

    def schedule_values(self) -> dict[str, float]:
        """Adds the resolution in pixels, and the share alpha of its newest layers."""
        now = {"resolution": float(self.growth.resolution), "alpha": self.growth.alpha}
        return {**super().schedule_values(), **now}

    def on_fit_start(self) -> None:
        """Refuse to train without a schedule: the networks would stay at 4 pixels.

        Raises:
            UserError: No callback sets the growth.
        """
        super().on_fit_start()
        if not self.has_schedule:
            raise UserError(
                f"GrowingGAN: --trainer.callbacks has no ProgressiveGrowth, so the networks would "
                f"stay at {SMALLEST_RESOLUTION} px. Add callbacks.progressive_growth."
                "ProgressiveGrowth as configs/chest_xray/pggan.yaml does."
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the stage beside the counters."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["progress"]["growth"] = [self.growth.resolution, self.growth.alpha]
        if self.growth_offset:
            checkpoint["progress"]["growth_offset"] = self.growth_offset

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Stand where the checkpoint stood; images can be made without knowing the schedule."""
        super().on_load_checkpoint(checkpoint)
        self._stand_at(checkpoint["progress"])

    def take_over_progress(self, progress: dict[str, Any]) -> None:
        """Stand where another run stood; the schedule goes on from there."""
        super().take_over_progress(progress)
        self._stand_at(progress)

    def _stand_at(self, progress: dict[str, Any]) -> None:
        self.growth = Growth(*progress["growth"])
        self.growth_offset = int(progress.get("growth_offset", 0))
