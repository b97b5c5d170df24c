"""Pix2Pix: a label map becomes a CT slice."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.adam_settings import refuse_betas
from lightning_modules.distributed import (
    average_buffers,
    gather_rows,
    process_rank,
    sum_over_processes,
)
from lightning_modules.step_values import StepValues, mean_score
from lightning_modules.training_module import Batch, TrainingModule, derived_seed, without_gradient
from losses.adversarial import AdversarialLossName, discriminator_loss, generator_loss
from losses.reconstruction import feature_matching_loss, l1_loss
from metrics.distances import kernel_distance
from metrics.features import FeatureExtractor, build_extractor
from networks.generator import ConditionalGenerator, missing_methods
from provenance import UserError


class Pix2Pix(TrainingModule):
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
        image_channels: 1 for CT.
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

    monitor: tuple[str, str] = ("val/kernel_random_vgg", "min")

    def __init__(
        self,
        generator: Callable[[int, int, int], nn.Module],
        discriminator: Callable[[int], nn.Module],
        image_size: int | None = None,
        num_classes: int | None = None,
        image_channels: int = 1,
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
        super().__init__(learning_rate, micro_batches, gradient_clip_norm, decay_from, seed)
        if image_size is None or num_classes is None:
            raise UserError(
                "Pix2Pix: image_size and num_classes are not given; train.py takes them from the "
                "data."
            )
        refuse_betas(betas)
        self.generator = generator(num_classes, image_channels, image_size)
        if not isinstance(self.generator, ConditionalGenerator):
            raise UserError(
                f"--model.generator: a {type(self.generator).__name__} lacks "
                f"{missing_methods(self.generator, ConditionalGenerator)}, which Pix2Pix calls; "
                "networks/generator.py says what it takes and returns. Add it, or use "
                "networks.Pix2PixGenerator."
            )
        self.discriminator = discriminator(num_classes + image_channels)
        self.image_size = image_size
        self.num_classes = num_classes
        self.adversarial_loss: AdversarialLossName = adversarial_loss
        self.adversarial_weight = adversarial_weight
        self.l1_weight = l1_weight
        self.feature_matching_weight = feature_matching_weight
        self.betas = (betas[0], betas[1])
        # In a list it is no submodule: it is no part of the model and of its checkpoints.
        self._extractor: list[FeatureExtractor] = []

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Generator's Adam, then the discriminator's."""
        return [self.adam(net, self.betas) for net in (self.generator, self.discriminator)]

    def one_hot(self, mask: Tensor) -> Tensor:
        """Labels (N, H, W) to (N, num_classes, H, W) in the module's precision."""
        return F.one_hot(mask.long(), self.num_classes).permute(0, 3, 1, 2).to(self.dtype)

    def noise_rows(self, seeds: list[int]) -> Tensor:
        """Noise (N, noise_size), row i from seed i alone, so that an image can be made again."""
        generator = self.generator
        assert isinstance(generator, ConditionalGenerator)  # as the constructor has seen to
        return self.rows_from_seeds(lambda source: generator.draw_noise(1, source), seeds)

    @torch.no_grad()
    def synthesise(self, mask: Tensor, seeds: list[int], dropout: bool = True) -> Tensor:
        """Label maps (N, H, W) to images (N, C, H, W) in [-1, 1]; image i depends on seed i.

        `dropout` is active as in the source, where it is the only noise there is.
        """
        return self.generator(self.one_hot(mask), self.noise_rows(seeds), dropout=dropout)

    # ---- training ----------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One step of the discriminator, then one of the generator, on the same batch."""
        self.begin_step()
        size = len(batch["mask"])
        first = process_rank() * size
        step = {
            "condition": self.one_hot(batch["mask"]),
            "real": batch["image"].to(self.dtype),
            "noise": self.noise_rows(
                [
                    derived_seed(self.seed, "noise", self.steps_done, first + row)
                    for row in range(size)
                ]
            ),
        }
        optimizers: Any = self.optimizers()
        values = StepValues(size)

        def discriminator_part(part: Batch) -> Tensor:
            with torch.no_grad():
                fake = self.generator(part["condition"], part["noise"])
            real_scores = self._scores(part["condition"], part["real"])
            fake_scores = self._scores(part["condition"], fake)
            real_logits = [logits for logits, _ in real_scores]
            fake_logits = [logits for logits, _ in fake_scores]
            loss = discriminator_loss(real_logits, fake_logits, self.adversarial_loss)
            values.add(
                len(fake),
                loss_discriminator=loss,
                score_real=mean_score(real_logits),
                score_fake=mean_score(fake_logits),
            )
            return loss

        def generator_part(part: Batch) -> Tensor:
            fake = self.generator(part["condition"], part["noise"])
            fake_scores = self._scores(part["condition"], fake)
            adversarial = generator_loss([s for s, _ in fake_scores], self.adversarial_loss)
            l1 = l1_loss(fake, part["real"])
            loss = self.adversarial_weight * adversarial + self.l1_weight * l1
            if self.feature_matching_weight:
                with torch.no_grad():
                    real_scores = self._scores(part["condition"], part["real"])
                matching = feature_matching_loss(
                    [features for _, features in real_scores],
                    [features for _, features in fake_scores],
                )
                loss = loss + self.feature_matching_weight * matching
                values.add(len(fake), feature_matching=matching)
            values.add(len(fake), loss_generator=loss, adversarial=adversarial, l1=l1)
            return loss

        self.optimise(optimizers[1], self.discriminator, step, discriminator_part)
        # The generator's gradient flows through the discriminator, whose own is not needed.
        with without_gradient(self.discriminator):
            self.optimise(optimizers[0], self.generator, step, generator_part)
        average_buffers(self)
        self.end_step(size, values)

    def _scores(self, condition: Tensor, image: Tensor) -> list[tuple[Tensor, list[Tensor]]]:
        return self.discriminator(torch.cat([condition, image.to(condition.dtype)], dim=1))

    # ---- validation --------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        """Start collecting features of real and synthetic validation images."""
        if not self._extractor:
            self._extractor.append(build_extractor("random_vgg").to(self.device))
        self._real_features: list[Tensor] = []
        self._fake_features: list[Tensor] = []
        self._l1_sum = torch.zeros(2, dtype=torch.float64, device=self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """One synthetic image per validation label map, with noise that never changes."""
        seeds = [derived_seed(self.seed, "validation", name) for name in batch["id"]]
        fake = self.synthesise(batch["mask"], seeds)
        real = batch["image"].to(fake.dtype)
        [extractor] = self._extractor
        with torch.autocast(self.device.type, enabled=False):  # a metric keeps its precision
            self._real_features.append(extractor(real.float()))
            self._fake_features.append(extractor(fake.float()))
        l1 = (fake - real).abs().mean(dim=(1, 2, 3)).double()
        self._l1_sum += torch.stack([l1.sum(), torch.tensor(len(l1), device=l1.device)])

    def on_validation_epoch_end(self) -> None:
        """Log L1 to the real slice and the kernel distance between real and synthetic features."""
        total, count = sum_over_processes(self._l1_sum)
        real = gather_rows(torch.cat(self._real_features)).cpu()
        fake = gather_rows(torch.cat(self._fake_features)).cpu()
        values = {"val/l1": float(total / count), "val/num_images": float(len(real))}
        if len(real) >= 4:  # the unbiased estimate needs two images in a subset
            distance, deviation = kernel_distance(real, fake, num_subsets=20)
            values["val/kernel_random_vgg"] = distance
            values["val/kernel_random_vgg_deviation"] = deviation
        self.log_dict(values, logger=False, rank_zero_only=True)

    @torch.no_grad()
    def illustrate(self, batch: Batch) -> dict[str, Tensor]:
        """Pictures for the sample grid: label map, two synthetic images of it, the real one."""
        size = len(batch["mask"])
        columns = {"label": batch["mask"], "real": batch["image"]}
        for draw in (1, 2):
            seeds = [derived_seed(self.seed, "illustrate", draw, row) for row in range(size)]
            columns[f"synthetic {draw}"] = self.synthesise(batch["mask"], seeds)
        return columns
