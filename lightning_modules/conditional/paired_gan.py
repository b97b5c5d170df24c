"""Two networks against each other, on pairs of a condition and a real image."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.distributed import (
    average_buffers,
    gather_dealt,
    process_rank,
    sum_over_processes,
)
from lightning_modules.step.seeds import derived_seed
from lightning_modules.step.settings import refuse_betas
from lightning_modules.step.values import StepValues, mean_score
from lightning_modules.training_module import Batch, TrainingModule, without_gradient
from losses.adversarial import AdversarialLossName, discriminator_loss, generator_loss
from losses.reconstruction import feature_matching_loss, l1_loss
from metrics.distances import kernel_distance
from metrics.extractor import features_of
from metrics.features import FeatureExtractor, build_extractor
from networks.generator import ConditionalGenerator, missing_methods
from provenance import UserError


class PairedGAN(TrainingModule):
    """Adversarial training on pairs of a condition and a real image; subclasses say what these are.

    Subclasses write `pairs`, and what validation shows; `painted` and `distances` are Pix2Pix's
    unless they are overridden.

    Args:
        generator: Makes a `ConditionalGenerator`.
        discriminator: Makes what judges condition and image together; it returns a list of
            (logits, features), one per scale.
        adversarial_loss: See `Pix2Pix`, as are all others.
        adversarial_weight: Of the adversarial term in the generator's loss.
        l1_weight: Of the mean absolute difference from the real image.
        feature_matching_weight: Of the feature matching loss; 0 leaves it out.
        learning_rate: Of both Adams.
        betas: Of both Adams.
        micro_batches: See `TrainingModule`.
        gradient_clip_norm: See `TrainingModule`; for each network by itself.
        decay_from: See `TrainingModule`.
        seed: See `TrainingModule`.

    Raises:
        UserError: A generator that lacks a method, or decay rates that Adam cannot have.
    """

    monitor: tuple[str, str] = ("val/kernel_random_vgg", "min")

    def __init__(
        self,
        generator: Callable[[], nn.Module],
        discriminator: Callable[[], nn.Module],
        adversarial_loss: AdversarialLossName,
        adversarial_weight: float,
        l1_weight: float,
        feature_matching_weight: float,
        learning_rate: float,
        betas: tuple[float, float],
        micro_batches: int,
        gradient_clip_norm: float | None,
        decay_from: float,
        seed: int,
    ) -> None:
        super().__init__(learning_rate, micro_batches, gradient_clip_norm, decay_from, seed)
        refuse_betas(betas)
        self.generator = generator()
        if not isinstance(self.generator, ConditionalGenerator):
            raise UserError(
                f"--model.generator: a {type(self.generator).__name__} lacks "
                f"{missing_methods(self.generator, ConditionalGenerator)}, which "
                f"{type(self).__name__} calls; networks/generator.py says what it takes and "
                "returns. Add it, or use networks.Pix2PixGenerator."
            )
        self.discriminator = discriminator()
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

    def noise_rows(self, seeds: list[int]) -> Tensor:
        """Noise (N, noise_size), row i from seed i alone, so that an image can be made again."""
        generator = self.generator
        assert isinstance(generator, ConditionalGenerator)  # as the constructor has seen to
        return self.rows_from_seeds(lambda source: generator.draw_noise(1, source), seeds)

    # ---- what a pair is ------------------------------------------------------------------------

    def pairs(self, batch: Batch, seeds: list[int]) -> Batch:
        """What a step learns from.

        Args:
            batch: This process's share, as the datamodule gives it.
            seeds: Of what is drawn for each image besides noise.

        Returns:
            "condition" (N, K, h, w) and "real" (N, C, h, w), and whatever `painted` and
            `distances` need; tensors with the images in dimension 0.
        """
        raise NotImplementedError

    def validated(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Painted and real images (N, C, h, w) of validation, and their differences (N,)."""
        raise NotImplementedError

    def painted(self, part: Batch) -> Tensor:
        """Images (N, C, h, w) of a micro-batch of `pairs`, with its "noise"."""
        return self.generator(part["condition"], part["noise"])

    def distances(self, fake: Tensor, part: Batch) -> dict[str, tuple[Tensor, float]]:
        """Terms of the generator's loss besides those of the discriminator: value and weight."""
        return {"l1": (l1_loss(fake, part["real"]), self.l1_weight)}

    # ---- training ----------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One step of the discriminator, then one of the generator, on the same batch."""
        self.begin_step()
        size = len(batch["mask"])
        first = process_rank() * size
        rows = range(first, first + size)
        step = {
            **self.pairs(batch, [self.step_seed("pair", row) for row in rows]),
            "noise": self.noise_rows(
                [derived_seed(self.seed, "noise", self.steps_done, row) for row in rows]
            ),
        }
        optimizers: Any = self.optimizers()
        values = StepValues(size)
        # The generator's weights do not move in between, so both steps use one pass through it.
        kept: list[Tensor] = []

        def discriminator_part(part: Batch) -> Tensor:
            with torch.set_grad_enabled(self.keeps_pass):
                fake = self.painted(part)
            if self.keeps_pass:
                kept.append(fake)
                fake = fake.detach()
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
            fake = kept.pop() if kept else self.painted(part)
            fake_scores = self._scores(part["condition"], fake)
            adversarial = generator_loss([s for s, _ in fake_scores], self.adversarial_loss)
            loss = self.adversarial_weight * adversarial
            for name, (term, weight) in self.distances(fake, part).items():
                loss = loss + weight * term
                values.add(len(fake), **{name: term})
            if self.feature_matching_weight:
                with torch.no_grad():
                    real_scores = self._scores(part["condition"], part["real"])
                matching = feature_matching_loss(
                    [features for _, features in real_scores],
                    [features for _, features in fake_scores],
                )
                loss = loss + self.feature_matching_weight * matching
                values.add(len(fake), feature_matching=matching)
            values.add(len(fake), loss_generator=loss, adversarial=adversarial)
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
        """One synthetic image per validation image, with noise that never changes."""
        fake, real, l1 = self.validated(batch)
        [extractor] = self._extractor
        with torch.autocast(self.device.type, enabled=False):  # a metric keeps its precision
            self._real_features.append(features_of(extractor, real.float()))
            self._fake_features.append(features_of(extractor, fake.float()))
        l1 = l1.double()
        self._l1_sum += torch.stack([l1.sum(), torch.tensor(len(l1), device=l1.device)])

    def on_validation_epoch_end(self) -> None:
        """Log L1 to the real slice and the kernel distance between real and synthetic features."""
        total, count = sum_over_processes(self._l1_sum)
        # In their order, since the distance is of random subsets: the same for any processes.
        real = gather_dealt(torch.cat(self._real_features)).cpu()
        fake = gather_dealt(torch.cat(self._fake_features)).cpu()
        values = {"val/l1": float(total / count), "val/num_images": float(len(real))}
        if len(real) >= 4:  # the unbiased estimate needs two images in a subset
            distance, deviation = kernel_distance(real, fake, num_subsets=20)
            values["val/kernel_random_vgg"] = distance
            values["val/kernel_random_vgg_deviation"] = deviation
        self.log_dict(values, logger=False, rank_zero_only=True)
