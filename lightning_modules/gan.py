"""GANs without a condition: noise becomes a film."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.discriminator_augmentation import ADAPT_EVERY, DiscriminatorAugmentation
from lightning_modules.distributed import average_buffers, process_count, process_rank
from lightning_modules.gan_losses import GANLosses
from lightning_modules.gan_settings import Augmentation, Freeze, Penalties, refuse_generator
from lightning_modules.gan_start import freeze_stages, start_gan_from_checkpoint
from lightning_modules.generator_average import GeneratorAverage
from lightning_modules.regularisation import Regularisation
from lightning_modules.step.settings import refuse_betas
from lightning_modules.step.values import StepValues
from lightning_modules.synthesis import SynthesisModule
from lightning_modules.training_module import Batch, without_gradient
from losses.unconditional import UnconditionalLossName
from provenance import UserError


class GAN(SynthesisModule):
    """Adversarial training of a generator and a discriminator on films.

    One step of the discriminator, then one of the generator, on the same global batch. Networks
    with an image at every resolution are trained at all of them at once, as Ko et al. 2020 do.

    Minibatch deviation compares images in groups of 4: with networks that have it, the result is
    independent of the number of processes and of micro-batches where these get a multiple of 4.

    Args:
        generator: Makes the generator, an `ImageGenerator`, from (image_size, image_channels).
        discriminator: Makes the discriminator, an `ImageDiscriminator`, from the same.
        image_size: Side in pixels; None in a configuration stands for the data's.
        image_channels: 1 for films.
        loss: The adversarial loss; Ko et al. 2020 compare minmax, wgan_gp, hinge and ra_hinge.
        penalties: Weights of the regularisation terms.
        augmentation: Of real and generated images alike.
        average_half_life_images: See `GeneratorAverage`.
        learning_rate: Of both Adams.
        discriminator_learning_rate: Of the discriminator's Adam, where it shall be another one (two
            time-scale update rule, Heusel et al. 2017, arXiv:1706.08500); None is `learning_rate`.
        betas: Of both Adams.
        start_from: Checkpoint of another run's GAN of the same networks to go on from, at its
            resolution or a higher one; its images are counted on, its optimisers not taken over.
            Read when training starts, not when it is resumed.
        freeze: Layers that keep the weights of `start_from`.
        micro_batches: See `TrainingModule`; not with ra_hinge or path length.
        gradient_clip_norm: See `TrainingModule`; for each network by itself.
        decay_from: See `TrainingModule`.
        seed: See `TrainingModule`.

    Raises:
        UserError: Settings that contradict each other.

    Source: Goodfellow et al. 2014, arXiv:1406.2661; Ko et al. 2020 for its use on films.
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
        start_from: str | None = None,
        freeze: Freeze = Freeze(),
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
        refuse_betas(betas)
        self.compares_whole_batch = loss == "ra_hinge" or penalties.path_length > 0
        if micro_batches > 1 and self.compares_whole_batch:
            raise UserError(
                f"--model.micro_batches {micro_batches}: ra_hinge and the path length compare "
                "images of the whole batch. Use 1, another --model.loss, or more GPUs."
            )
        self.generator = generator(image_size, image_channels)
        self.discriminator = discriminator(image_size, image_channels)
        refuse_generator(self.generator, penalties.path_length)
        self.averaged = GeneratorAverage(self.generator, average_half_life_images)
        self.image_size = image_size
        self.image_channels = image_channels
        self.loss: UnconditionalLossName = loss
        self.penalties = penalties
        self.regularisation = Regularisation(penalties, loss)
        self.augmentation = DiscriminatorAugmentation(augmentation)
        self.discriminator_learning_rate = discriminator_learning_rate
        self.betas = (betas[0], betas[1])
        self.start_from, self.frozen = start_from, freeze
        freeze_stages(self.discriminator, freeze.discriminator, "discriminator")
        freeze_stages(self.generator, freeze.generator, "generator")
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

    def on_fit_start(self) -> None:
        """Take over another run's networks if it is asked for."""
        super().on_fit_start()
        if self.start_from is None and self.frozen != Freeze():
            raise UserError(
                "--model.freeze: keeps layers of another run's networks, and without "
                "--model.start_from they are random. Give its checkpoint, or leave it out."
            )
        if self.start_from is not None and self.steps_done == 0:
            trainer: Any = self.trainer
            path, cache = Path(self.start_from), trainer.datamodule.cache
            self.seen_before = start_gan_from_checkpoint(self, path, cache)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One step of the discriminator, then one of the generator, on the same batch."""
        self.begin_step()
        size = len(batch["image"])
        first = process_rank() * size
        indices = range(first, first + size)
        step = {
            "image": batch["image"],
            "latent": self.latent_rows([self.step_seed("latent", index) for index in indices]),
            **self._drawn(indices),
        }
        values = StepValues(size)
        losses = GANLosses(
            self, self.loss, self.regularisation, self.augmentation, values, self.mean_path_length
        )
        of_generator, of_discriminator = self._optimizer_list()

        self.optimise(of_discriminator, self.discriminator, step, losses.of_discriminator)
        values.add(size, gradient_norm_discriminator=self.gradient_norm)
        # The generator's gradient flows through the discriminator, whose own is not needed.
        with without_gradient(self.discriminator):
            self.optimise(of_generator, self.generator, step, losses.of_generator)
        values.add(size, gradient_norm_generator=self.gradient_norm)

        self.mean_path_length = losses.mean_path_length
        self._remember(values)
        average_buffers(self)
        self._adapt_augmentation(size)
        self.averaged.update(self.generator, size * process_count())
        if self.report_due:
            for name, value in self.schedule_values().items():
                values.add(size, **{name: self.real_signs.new_tensor(value)})
        self.end_step(size, values)

    # ---- what a step leaves behind -------------------------------------------------------------

    def _remember(self, values: StepValues) -> None:
        """Keep signs for the augmentation; and lazy terms, seldom due when a report is."""
        self.real_signs += values["train/sign_real"]
        for name, weight in (
            ("r1", self.penalties.r1),
            ("path_length", self.penalties.path_length),
        ):
            if weight:
                last = self.get_buffer(f"last_{name}")
                last.copy_(values.get(f"train/{name}", last))
                values[f"train/{name}"] = last

    def _adapt_augmentation(self, size: int) -> None:
        """Every few steps, by how sure the discriminator, over all processes, was of real films."""
        if (self.steps_done + 1) % ADAPT_EVERY:
            return
        if self.augmentation.adaptive:  # reading the signs waits for the GPU
            mean_sign = float(self.real_signs) / ADAPT_EVERY
            self.augmentation.adapt(mean_sign, ADAPT_EVERY * size * process_count())
        self.real_signs.zero_()

    def schedule_values(self) -> dict[str, float]:
        """What a report says besides losses, scores and gradients: what moves as training goes."""
        if not self.augmentation.adaptive:
            return {}
        return {"augmentation_probability": self.augmentation.probability}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep an adaptive probability beside the counters."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["progress"]["augmentation_probability"] = self.augmentation.probability

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with it."""
        super().on_load_checkpoint(checkpoint)
        self.augmentation.probability = checkpoint["progress"]["augmentation_probability"]

    def take_over_progress(self, progress: dict[str, Any]) -> None:
        """Where another run's networks stood, with which this one starts.

        Args:
            progress: As `on_save_checkpoint` keeps it.
        """
        self.images_seen = int(progress["images_seen"])
        self.real_signs.zero_()  # a sum over steps, and these are counted anew
        if self.augmentation.adaptive:
            self.augmentation.probability = progress["augmentation_probability"]

    @property
    def memory_advice(self) -> str:
        """What to do when the device's memory is full."""
        if not self.compares_whole_batch:
            return super().memory_advice
        return "Lower --data.batch_size, or --model.generator.width and its discriminator's."

    # ---- randomness: of each image by its index in the global batch ----------------------------

    def _drawn(self, indices: range) -> dict[str, Tensor]:
        """What the step draws besides latents: a tensor with a row per image each."""
        shape = (self.image_channels, self.image_size, self.image_size)
        draws = self.regularisation.draws(self.steps_done, shape)
        if self.augmentation.used:
            for name in ("augment_real", "augment_fake"):
                draws[name] = lambda source: self.augmentation.draw(self.image_size, source)
        return {
            name: self.rows_from_seeds(draw, [self.step_seed(name, index) for index in indices])
            for name, draw in draws.items()
        }
