"""GANs without a condition: noise becomes a film."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from augmentations import differentiable
from lightning_modules.averaging import GeneratorAverage
from lightning_modules.distributed import average_buffers, process_count, process_rank
from lightning_modules.gan_settings import Augmentation, Penalties
from lightning_modules.global_mean import global_mean
from lightning_modules.synthesis import SynthesisModule
from lightning_modules.training import Batch, without_gradient
from losses.penalties import drift_penalty, gradient_penalty, path_length_penalty, r1_penalty
from losses.unconditional import UnconditionalLossName, discriminator_loss, generator_loss
from provenance import UserError

_ADAPT_EVERY = 4  # steps, as in StyleGAN2-ADA: reading the signs waits for the GPU


class GAN(SynthesisModule):
    """Adversarial training of a generator and a discriminator on films.

    One step of the discriminator, then one of the generator, on the same global batch. Networks
    with an image at every resolution are trained at all of them at once, as paper 003 does.

    Minibatch deviation compares images in groups of 4: with networks that have it, the result is
    independent of the number of processes and of micro-batches where these get a multiple of 4.

    Args:
        generator: Makes the generator from (image_size, image_channels); it maps latent rows to a
            list of images, largest first.
        discriminator: Makes the discriminator from the same; list of images to list of logits.
        image_size: Side in pixels; None in a configuration stands for the data's.
        image_channels: 1 for films.
        loss: The adversarial loss; paper 003 compares minmax, wgan_gp, hinge and ra_hinge.
        penalties: Weights of the regularisation terms.
        augmentation: Of real and generated images alike.
        average_half_life_images: See `GeneratorAverage`.
        learning_rate: Of both Adams.
        discriminator_learning_rate: Of the discriminator's Adam, where it shall be another one (two
            time-scale update rule, Heusel et al. 2017, arXiv:1706.08500); None is `learning_rate`.
        betas: Of both Adams.
        micro_batches: See `TrainingModule`; not with ra_hinge or path length.
        gradient_clip_norm: See `TrainingModule`; for each network by itself.
        decay_from: See `TrainingModule`.
        seed: See `TrainingModule`.

    Raises:
        UserError: Settings that contradict each other.

    Source: Goodfellow et al. 2014, arXiv:1406.2661; paper 003 for its use on films.
    """

    def __init__(
        self,
        generator: Callable[[int, int], nn.Module],
        discriminator: Callable[[int, int], nn.Module],
        image_size: int | None = None,
        image_channels: int = 1,
        loss: UnconditionalLossName = "ra_hinge",
        penalties: Penalties = Penalties(),
        augmentation: Augmentation = Augmentation(),
        average_half_life_images: int = 10_000,
        learning_rate: float = 1e-3,
        discriminator_learning_rate: float | None = None,
        betas: tuple[float, float] = (0.0, 0.99),
        micro_batches: int = 1,
        gradient_clip_norm: float | None = None,
        decay_from: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(learning_rate, micro_batches, gradient_clip_norm, decay_from, seed)
        if image_size is None:
            raise UserError("GAN: image_size is not given; train.py takes it from the data.")
        if discriminator_learning_rate is not None and not discriminator_learning_rate > 0:
            raise UserError(
                f"--model.discriminator_learning_rate is {discriminator_learning_rate}; it must be "
                "above 0, or left out for that of the generator."
            )
        self.compares_whole_batch = loss == "ra_hinge" or penalties.path_length > 0
        if micro_batches > 1 and self.compares_whole_batch:
            raise UserError(
                f"--model.micro_batches {micro_batches}: ra_hinge and the path length compare "
                "images of the whole batch. Use 1, another --model.loss, or more GPUs."
            )
        self.generator = generator(image_size, image_channels)
        self.discriminator = discriminator(image_size, image_channels)
        if penalties.path_length and not hasattr(self.generator, "mapping"):
            raise UserError(
                f"--model.penalties.path_length {penalties.path_length}: only StyleGAN2 has the "
                "styles along which a path has a length. Set it to 0."
            )
        self.averaged = GeneratorAverage(self.generator, average_half_life_images)
        self.image_size = image_size
        self.image_channels = image_channels
        self.loss: UnconditionalLossName = loss
        self.penalties = penalties
        self.gradient_penalty_weight = (
            (10.0 if loss == "wgan_gp" else 0.0)
            if penalties.gradient_penalty is None
            else penalties.gradient_penalty
        )
        self.augmentation = augmentation
        self.discriminator_learning_rate = discriminator_learning_rate
        self.betas = (betas[0], betas[1])
        self.augmentation_probability = augmentation.probability
        # In the checkpoint, averaged over the processes after every step.
        for name in ("mean_path_length", "real_signs", "last_r1", "last_path_length"):
            self.register_buffer(name, torch.zeros(()))
        self.mean_path_length: Tensor
        self.real_signs: Tensor

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Generator's Adam, then the discriminator's."""
        adams = [self.adam(net, self.betas) for net in (self.generator, self.discriminator)]
        if self.discriminator_learning_rate is not None:
            factor = self.discriminator_learning_rate / self.learning_rate
            adams[1].param_groups[0]["rate_factor"] = factor
        return adams

    # ---- training ----------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One step of the discriminator, then one of the generator, on the same batch."""
        self.begin_step()
        size = len(batch["image"])
        first = process_rank() * size
        rows = range(first, first + size)
        step = {
            "image": batch["image"],
            "latent": self.latent_rows([self.step_seed("latent", row) for row in rows]),
            **self._drawn(rows),
        }
        optimizers: Any = self.optimizers()
        sums: dict[str, Tensor] = {}

        def add(share: float, **values: Tensor) -> None:
            for name, value in values.items():
                sums[f"train/{name}"] = sums.get(f"train/{name}", 0.0) + value.detach() * share

        def discriminator_part(part: Batch) -> Tensor:
            share = len(part["latent"]) / size
            with torch.no_grad():
                fakes = self.generator(part["latent"], self.growth_now())
            reals = self.real_images(part["image"], len(fakes))
            shown = self._augmented(reals, part, "real")
            made = self._augmented(fakes, part, "fake")
            real_logits, fake_logits = self.logits_of(shown), self.logits_of(made)
            loss = discriminator_loss(real_logits, fake_logits, self.loss, global_mean)
            add(
                share,
                loss_discriminator=loss,
                score_real=_mean_score(real_logits),
                score_fake=_mean_score(fake_logits),
                sign_real=_mean_score([logits.sign() for logits in real_logits]),
            )
            for name, term, times in self._penalties(reals, shown, made, real_logits, part):
                add(share, **{name: term})
                loss = loss + times * term
            return loss

        def generator_part(part: Batch) -> Tensor:
            share = len(part["latent"]) / size
            fakes = self.generator(part["latent"], self.growth_now())
            fake_logits = self.logits_of(self._augmented(fakes, part, "fake"))
            real_logits = None
            if self.loss == "ra_hinge":
                with torch.no_grad():
                    reals = self.real_images(part["image"], len(fakes))
                    real_logits = self.logits_of(self._augmented(reals, part, "real"))
            loss = generator_loss(fake_logits, self.loss, real_logits, global_mean)
            add(share, loss_generator=loss)
            if self._due(self.penalties.path_length, self.penalties.path_length_every):
                term = self._path_length(part)
                add(share, path_length=term)
                loss = loss + self.penalties.path_length_every * term
            return loss

        self.optimise(optimizers[1], self.discriminator, step, discriminator_part)
        add(1.0, gradient_norm_discriminator=self.gradient_norm)
        # The generator's gradient flows through the discriminator, whose own is not needed.
        with without_gradient(self.discriminator):
            self.optimise(optimizers[0], self.generator, step, generator_part)
        add(1.0, gradient_norm_generator=self.gradient_norm)
        self._remember(sums)
        average_buffers(self)
        self._adapt_augmentation(size)
        self.averaged.update(self.generator, size * process_count())
        if self.report_due:
            sums |= {
                f"train/{name}": self.real_signs.new_tensor(x) for name, x in self.course().items()
            }
        self.end_step(size, sums)

    def _penalties(
        self,
        reals: list[Tensor],
        shown: list[Tensor],
        made: list[Tensor],
        real_logits: list[Tensor],
        part: Batch,
    ) -> Iterator[tuple[str, Tensor, int]]:
        """The penalties that are due: name, weighted value, and how often it counts."""
        weights = self.penalties
        if self.gradient_penalty_weight:
            penalty = gradient_penalty(self.logits_of, shown, made, part["between"])
            yield "gradient_penalty", self.gradient_penalty_weight * penalty, 1
        if self._due(weights.r1, weights.r1_every):
            # By the films themselves, through their augmentation, as StyleGAN2-ADA does.
            penalty = r1_penalty(
                lambda films: self.logits_of(self._augmented(films, part, "real")), reals
            )
            yield "r1", weights.r1 * penalty, weights.r1_every
        if weights.drift:
            yield "drift", weights.drift * drift_penalty(real_logits), 1

    def _path_length(self, part: Batch) -> Tensor:
        generator: Any = self.generator
        noise = generator.split_latent(part["latent"]).noise
        penalty, self.mean_path_length = path_length_penalty(
            lambda styles: generator.synthesis(styles, noise),
            generator.mapping(part["latent"]),
            part["path_noise"],
            self.mean_path_length,
            mean=global_mean,
        )
        return self.penalties.path_length * penalty

    def _augmented(self, images: list[Tensor], part: Batch, which: str) -> list[Tensor]:
        if not self.augmentation.used:
            return images
        return differentiable.apply(images, part[f"augment_{which}"])

    # ---- what a step leaves behind -------------------------------------------------------------

    def _remember(self, sums: dict[str, Tensor]) -> None:
        """Keep signs for the augmentation; and lazy terms, seldom due when a report is."""
        self.real_signs += sums["train/sign_real"]
        for name, weight in (
            ("r1", self.penalties.r1),
            ("path_length", self.penalties.path_length),
        ):
            if weight:
                last = self.get_buffer(f"last_{name}")
                last.copy_(sums.get(f"train/{name}", last))
                sums[f"train/{name}"] = last

    def _adapt_augmentation(self, size: int) -> None:
        """Move the probability by what the discriminator, over all processes, knew by heart."""
        if (self.steps_done + 1) % _ADAPT_EVERY:
            return
        if self.augmentation.adaptive:
            self.augmentation_probability = differentiable.adapt(
                self.augmentation_probability,
                float(self.real_signs) / _ADAPT_EVERY,
                _ADAPT_EVERY * size * process_count(),
                ramp_images=self.augmentation.ramp_images,
            )
        self.real_signs.zero_()

    def course(self) -> dict[str, float]:
        """What a report says besides losses, scores and gradients."""
        adaptive = self.augmentation.adaptive
        return {"augmentation_probability": self.augmentation_probability} if adaptive else {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep an adaptive probability beside the counters."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["progress"]["augmentation_probability"] = self.augmentation_probability

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with it."""
        super().on_load_checkpoint(checkpoint)
        self.augmentation_probability = checkpoint["progress"]["augmentation_probability"]

    @property
    def memory_advice(self) -> str:
        """What to do when the device's memory is full."""
        if not self.compares_whole_batch:
            return super().memory_advice
        return "Lower --data.batch_size, or --model.generator.width and its discriminator's."

    # ---- randomness: of each image by its place in the global batch ----------------------------

    def _drawn(self, rows: range) -> dict[str, Tensor]:
        """What the step draws besides latents: a tensor with a row per image each."""
        size, probability = self.image_size, self.augmentation_probability
        makers: dict[str, Callable[[torch.Generator], Tensor]] = {}
        if self.augmentation.used:
            makers["augment_real"] = lambda g: differentiable.draw(1, size, g, probability)
            makers["augment_fake"] = makers["augment_real"]
        if self.gradient_penalty_weight:
            makers["between"] = lambda g: torch.rand(1, generator=g)
        if self._due(self.penalties.path_length, self.penalties.path_length_every):
            shape = (1, self.image_channels, size, size)
            makers["path_noise"] = lambda g: torch.randn(shape, generator=g)
        drawn = {}
        for what, make in makers.items():
            seeds = [self.step_seed(what, row) for row in rows]
            parts = [make(torch.Generator().manual_seed(seed)) for seed in seeds]
            drawn[what] = torch.cat(parts).to(self.device).to(self.dtype)
        return drawn

    def _due(self, weight: float, every: int) -> bool:
        return weight > 0 and self.steps_done % every == 0


def _mean_score(logits: list[Tensor]) -> Tensor:
    """Mean logit over images and scales: above 0 the discriminator says real."""
    return torch.stack([scale.detach().float().mean() for scale in logits]).mean()
