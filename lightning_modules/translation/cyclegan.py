"""CycleGAN: images of one domain become images of another, without pairs."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.distributed import average_buffers, gather_rows, process_rank
from lightning_modules.step.settings import refuse_betas
from lightning_modules.step.values import StepValues, mean_score
from lightning_modules.training_module import Batch, TrainingModule, without_gradient
from lightning_modules.translation.image_pool import ImagePool
from lightning_modules.translation.translated_images import TranslatedImages
from losses.adversarial import AdversarialLossName, discriminator_loss, generator_loss
from losses.reconstruction import l1_loss
from metrics.features import FeatureExtractor, build_extractor
from provenance import UserError

DOMAINS = ("source", "target")


class CycleGAN(TrainingModule):
    """Two generators, there and back, and a discriminator for each domain.

    Defaults are the source's: least squares, cycles of weight 10, identity of half that, a pool of
    50 images for the discriminators, Adam with betas 0.5 and 0.999, rate 0.0002, which falls to 0
    over the second half.

    A generator that must match the distribution of the other domain adds or removes whatever is
    more or less frequent there, disease too (Cohen et al. 2018, arXiv:1805.08841). So
    `datamodules.UnpairedDataModule` shows both domains with equal shares of their classes;
    `conditioned` lets a discriminator compare within a class; and `evaluate.py survival` measures
    how often a frozen model still finds the label after translation.

    Args:
        generator: Makes each generator from (in_channels, image_channels, image_size).
        discriminator: Makes each discriminator from the channels of image and condition together;
            it returns a list of (logits, features), one per scale.
        image_size: Height and width in pixels; None in a configuration stands for the data's.
        num_classes: Of the condition; None in a configuration stands for the data's.
        image_channels: 1 for CT and grey films.
        conditioned: Show the class of a film, or the label map of a slice, to all networks beside
            the image. Then generate.py needs it of what it translates.
        adversarial_loss: "lsgan", "vanilla" or "hinge".
        cycle_weight: Weight of the mean absolute difference after there and back.
        identity_weight: Weight, in cycles, of the difference that a generator makes to an image
            that is in its target domain already; 0 leaves it out.
        pool_size: Generated images of earlier steps that are kept for the discriminators.
        learning_rate: Of both Adams.
        betas: Of both Adams.
        micro_batches: See `TrainingModule`.
        gradient_clip_norm: See `TrainingModule`; for both generators together, and both
            discriminators.
        decay_from: See `TrainingModule`.
        seed: See `TrainingModule`.

    Source: Zhu et al. 2017, arXiv:1703.10593. Deviations: the rate falls by the step and not by the
    epoch; best checkpoint by a kernel distance in random VGG features of the validation images, as
    the source keeps the last one.
    """

    monitor: tuple[str, str] = ("val/kernel_random_vgg", "min")

    def __init__(
        self,
        generator: Callable[[int, int, int], nn.Module],
        discriminator: Callable[[int], nn.Module],
        image_size: int | None = None,
        num_classes: int | None = None,
        image_channels: int = 1,
        conditioned: bool = False,
        adversarial_loss: AdversarialLossName = "lsgan",
        cycle_weight: float = 10.0,
        identity_weight: float = 0.5,
        pool_size: int = 50,
        learning_rate: float = 2e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        micro_batches: int = 1,
        gradient_clip_norm: float | None = None,
        decay_from: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__(learning_rate, micro_batches, gradient_clip_norm, decay_from, seed)
        if image_size is None or (conditioned and num_classes is None):
            raise UserError(
                "CycleGAN: image_size, or num_classes of a condition, is not given; train.py takes "
                "them from the data."
            )
        for name, value in (
            ("cycle_weight", cycle_weight),
            ("identity_weight", identity_weight),
            ("pool_size", pool_size),
        ):
            if not value >= 0:  # NaN neither
                raise UserError(f"--model.{name} is {value}; it must be 0 or more.")
        refuse_betas(betas)
        self.num_conditions = num_classes if conditioned and num_classes is not None else 0
        shown = image_channels + self.num_conditions
        # By the domain that a generator makes, and that a discriminator judges.
        self.generators = nn.ModuleDict(
            {domain: generator(shown, image_channels, image_size) for domain in DOMAINS}
        )
        self.discriminators = nn.ModuleDict({domain: discriminator(shown) for domain in DOMAINS})
        self.pools = nn.ModuleDict(
            {domain: ImagePool(pool_size, shown, image_size) for domain in DOMAINS}
        )
        self.image_size = image_size
        self.image_channels = image_channels
        self.conditioned = conditioned
        self.adversarial_loss: AdversarialLossName = adversarial_loss
        self.cycle_weight = cycle_weight
        self.identity_weight = identity_weight
        self.betas = (betas[0], betas[1])
        # In a list it is no submodule: it is no part of the model and of its checkpoints.
        self._extractor: list[FeatureExtractor] = []

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam of both generators, then of both discriminators."""
        return [self.adam(nets, self.betas) for nets in (self.generators, self.discriminators)]

    def condition_planes(self, image: Tensor, labels: Tensor | None) -> Tensor:
        """What the networks see beside images (N, C, H, W): (N, K, H, W), K = 0 without condition.

        Args:
            image: The images.
            labels: (N,) classes of films, or (N, H, W) label maps of slices.

        Raises:
            UserError: The condition is wanted and not given.
        """
        if not self.conditioned:
            return image.new_zeros(len(image), 0, *image.shape[2:])
        if labels is None:
            raise UserError(
                "--model.conditioned true: the images have no labels to show to the networks. Give "
                "labelled data, or --model.conditioned false."
            )
        planes = F.one_hot(labels.long(), self.num_conditions).to(image.dtype)
        if labels.dim() == 1:
            return planes[:, :, None, None].expand(-1, -1, *image.shape[2:])
        return planes.permute(0, 3, 1, 2)

    @torch.no_grad()
    def translate(self, image: Tensor, labels: Tensor | None = None, to: str = "target") -> Tensor:
        """Images (N, C, H, W) of one domain as images of the other, both in [-1, 1].

        Args:
            image: Of the domain that is not `to`.
            labels: See `condition_planes`; used if the module is conditioned.
            to: "target" or "source".
        """
        image = image.to(self.dtype)
        return self._made(to, image, self.condition_planes(image, labels)).clamp(-1, 1)

    def _made(self, to: str, image: Tensor, condition: Tensor) -> Tensor:
        made: Tensor = self.generators[to](torch.cat([image, condition], dim=1))
        return made.to(image.dtype)

    def _logits(self, domain: str, shown: Tensor) -> list[Tensor]:
        return [logits for logits, _ in self.discriminators[domain](shown)]

    # ---- training ----------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One step of both generators, then one of both discriminators, on the same batch."""
        self.begin_step()
        step: Batch = {}
        for domain in DOMAINS:
            image, condition = self._of_domain(batch, domain)
            step |= {domain: image, f"{domain}_condition": condition}
        size = len(step["source"])
        optimizers: Any = self.optimizers()
        values = StepValues(size)
        made: dict[str, list[Tensor]] = {domain: [] for domain in DOMAINS}

        def generator_part(part: Batch) -> Tensor:
            loss = part["source"].new_zeros(())
            for here, there in (DOMAINS, DOMAINS[::-1]):
                image, condition = part[here], part[f"{here}_condition"]
                fake = self._made(there, image, condition)
                shown = torch.cat([fake, condition], dim=1)
                made[there].append(shown.detach())
                adversarial = generator_loss(self._logits(there, shown), self.adversarial_loss)
                cycle = l1_loss(self._made(here, fake, condition), image)
                loss = loss + adversarial + self.cycle_weight * cycle
                told = {f"adversarial_{there}": adversarial, f"cycle_{here}": cycle}
                if self.identity_weight:
                    identity = l1_loss(self._made(here, image, condition), image)
                    loss = loss + self.cycle_weight * self.identity_weight * identity
                    told[f"identity_{here}"] = identity
                values.add(len(image), **told)
            values.add(len(part["source"]), loss_generator=loss)
            return loss

        def discriminator_part(part: Batch) -> Tensor:
            loss = part["source"].new_zeros(())
            for domain in DOMAINS:
                real = torch.cat([part[domain], part[f"{domain}_condition"]], dim=1)
                real_logits = self._logits(domain, real)
                fake_logits = self._logits(domain, part[f"{domain}_made"])
                own = discriminator_loss(real_logits, fake_logits, self.adversarial_loss)
                loss = loss + own
                values.add(
                    len(real),
                    **{
                        f"loss_discriminator_{domain}": own,
                        f"score_real_{domain}": mean_score(real_logits),
                        f"score_fake_{domain}": mean_score(fake_logits),
                    },
                )
            return loss

        # The generators' gradient flows through the discriminators, whose own is not needed.
        with without_gradient(self.discriminators):
            self.optimise(optimizers[0], self.generators, step, generator_part)
        for domain in DOMAINS:
            step[f"{domain}_made"] = self._pooled(domain, torch.cat(made[domain]))
        self.optimise(optimizers[1], self.discriminators, step, discriminator_part)
        for networks in (self.generators, self.discriminators):
            average_buffers(networks)  # the pools are equal already
        self.end_step(size, values)

    def _of_domain(self, batch: Batch, domain: str) -> tuple[Tensor, Tensor]:
        """Images of a domain in the module's precision, and their condition."""
        image = batch[f"{domain}_image"].to(self.dtype)
        labels = batch.get(f"{domain}_mask", batch.get(f"{domain}_label"))
        return image, self.condition_planes(image, labels)

    def _pooled(self, domain: str, shown: Tensor) -> Tensor:
        """What the discriminator sees in place of this process's newest images."""
        everywhere = gather_rows(shown)
        seeds = [self.step_seed("pool", domain, index) for index in range(len(everywhere))]
        pool = self.pools[domain]
        assert isinstance(pool, ImagePool)
        exchanged = pool.exchange(everywhere, self.images_seen, seeds)
        first = process_rank() * len(shown)
        return exchanged[first : first + len(shown)]

    # ---- validation --------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        """Start collecting features of both domains, real and translated."""
        if not self._extractor:
            self._extractor.append(build_extractor("random_vgg").to(self.device))
        self._translated = TranslatedImages(self._extractor[0], self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Translate validation images; each counts once, though the shorter domain repeats."""
        image, condition = self._of_domain(batch, "source")
        real, _ = self._of_domain(batch, "target")
        fake = self._made("target", image, condition)
        error = (self._made("source", fake, condition) - image).abs().mean(dim=(1, 2, 3))
        once = batch["source_once"]
        self._translated.add(real[batch["target_once"]], fake[once], error[once])

    def on_validation_epoch_end(self) -> None:
        """Log the cycle's L1, and the kernel distance of translated to real target images."""
        self.log_dict(self._translated.scores(), logger=False, rank_zero_only=True)

    @torch.no_grad()
    def illustrate(self, batch: Batch) -> dict[str, Tensor]:
        """Pictures for the sample grid: each domain, translated, and back again."""
        columns: dict[str, Tensor] = {}
        for here, there in (DOMAINS, DOMAINS[::-1]):
            image, condition = self._of_domain(batch, here)
            fake = self._made(there, image, condition)
            columns |= {
                here: image,
                f"{here} to {there}": fake,
                f"{here}, back again": self._made(here, fake, condition),
            }
            if f"{here}_mask" in batch:
                columns[f"label of {here}"] = batch[f"{here}_mask"]
        return columns
