"""Pix2Pix: a label map becomes a CT slice."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.conditional.paired_gan import PairedGAN
from lightning_modules.step.seeds import derived_seed
from lightning_modules.training_module import Batch
from losses.adversarial import AdversarialLossName
from provenance import UserError


class Pix2Pix(PairedGAN):
    """Conditional GAN from label maps to images, trained on pairs.

    Defaults are the source's: vanilla loss, L1 of weight 100, Adam with betas 0.5 and 0.999, rate
    0.0002. Settings beyond it: other adversarial losses, feature matching, and whatever the
    networks offer (several discriminator scales, noise, SPADE conditioning).

    Args:
        generator: Makes the generator from (num_classes, image_channels, image_size).
        discriminator: Makes the discriminator from the channels of label map and image together;
            it returns a list of (logits, features), one per scale.
        image_size: Height and width in pixels; None in a configuration stands for the data's.
        num_classes: Labels, with background; the condition is one-hot. None in a configuration
            stands for the data's.
        image_channels: 1 for CT; None in a configuration stands for the data's, else for 1.
        adversarial_loss: "vanilla", "lsgan" or "hinge".
        adversarial_weight: Weight of the adversarial term in the generator's loss.
        l1_weight: Weight of the mean absolute difference from the real image.
        feature_matching_weight: Weight of the feature matching loss (pix2pixHD); 0 leaves it out.
        learning_rate: Of both Adams.
        betas: Of both Adams.
        micro_batches: See `TrainingModule`.
        gradient_clip_norm: See `TrainingModule`; for each network by itself.
        decay_from: See `TrainingModule`; the source's code decays over the second half: 0.5.
        seed: See `TrainingModule`.

    Source: Isola et al. 2017, arXiv:1611.07004; Choe et al. 2022 use it on KiTS19. Deviation: best
    checkpoint by a kernel distance in random VGG features on the validation patients, as the
    source keeps the last one.
    """

    def __init__(
        self,
        generator: Callable[[int, int, int], nn.Module],
        discriminator: Callable[[int], nn.Module],
        image_size: int | None = None,
        num_classes: int | None = None,
        image_channels: int | None = None,
        adversarial_loss: AdversarialLossName = "vanilla",
        adversarial_weight: float = 1.0,
        l1_weight: float = 100.0,
        feature_matching_weight: float = 0.0,
        learning_rate: float = 2e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        micro_batches: int = 1,
        gradient_clip_norm: float | None = None,
        decay_from: float = 0.5,
        seed: int = 0,
    ) -> None:
        if image_size is None or num_classes is None:
            raise UserError(
                "Pix2Pix: image_size and num_classes are not given; train.py takes them from the "
                "data."
            )
        image_channels = 1 if image_channels is None else image_channels
        super().__init__(
            lambda: generator(num_classes, image_channels, image_size),
            lambda: discriminator(num_classes + image_channels),
            adversarial_loss, adversarial_weight, l1_weight, feature_matching_weight,
            learning_rate, betas, micro_batches, gradient_clip_norm, decay_from, seed,
        )  # fmt: skip
        self.image_channels = image_channels
        self.image_size = image_size
        self.num_classes = num_classes

    def one_hot(self, mask: Tensor) -> Tensor:
        """Labels (N, H, W) to (N, num_classes, H, W) in the module's precision."""
        return F.one_hot(mask.long(), self.num_classes).permute(0, 3, 1, 2).to(self.dtype)

    @torch.no_grad()
    def synthesise(self, mask: Tensor, seeds: list[int], dropout: bool = True) -> Tensor:
        """Label maps (N, H, W) to images (N, C, H, W) in [-1, 1]; image i depends on seed i.

        `dropout` is active as in the source, where it is the only noise there is.
        """
        return self.generator(self.one_hot(mask), self.noise_rows(seeds), dropout=dropout)

    def pairs(self, batch: Batch, seeds: list[int]) -> Batch:
        """Label maps and their slices; nothing is drawn."""
        return {"condition": self.one_hot(batch["mask"]), "real": batch["image"].to(self.dtype)}

    def validated(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """One synthetic image per label map."""
        seeds = [derived_seed(self.seed, "validation", name) for name in batch["id"]]
        fake = self.synthesise(batch["mask"], seeds)
        real = batch["image"].to(fake.dtype)
        return fake, real, (fake - real).abs().mean(dim=(1, 2, 3))

    @torch.no_grad()
    def illustrate(self, batch: Batch) -> dict[str, Tensor]:
        """Pictures for the sample grid: label map, two synthetic images of it, the real one."""
        size = len(batch["mask"])
        columns = {"label": batch["mask"], "real": batch["image"]}
        for draw in (1, 2):
            seeds = [derived_seed(self.seed, "illustrate", draw, row) for row in range(size)]
            columns[f"synthetic {draw}"] = self.synthesise(batch["mask"], seeds)
        return columns
