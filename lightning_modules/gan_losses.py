"""The two losses of a GAN's training step, and what is reported of them."""

import torch
from torch import Tensor

from lightning_modules.discriminator_augmentation import DiscriminatorAugmentation
from lightning_modules.regularisation import Regularisation
from lightning_modules.step.global_mean import global_mean
from lightning_modules.step.values import StepValues, mean_score
from lightning_modules.synthesis import SynthesisModule
from lightning_modules.training_module import Batch
from losses.unconditional import UnconditionalLossName, discriminator_loss, generator_loss
from networks.generator import StyleGenerator


class GANLosses:
    """Losses of one step, of the discriminator first and then of the generator.

    Both take a micro-batch with "image" (N, C, H, W), "latent" (N, L), and whatever augmentation
    and regularisation have drawn. The generator's weights do not move between the two, so they
    share one pass through it, where the module keeps its graph.

    Args:
        module: The two networks, and how they see images.
        loss: The adversarial loss.
        regularisation: Terms that are added.
        augmentation: Of all that the discriminator sees.
        values: Gets what is reported.

    Attributes:
        mean_path_length: Running mean of StyleGAN2's path length, a scalar; the caller keeps it
            from step to step.
    """

    def __init__(
        self,
        module: SynthesisModule,
        loss: UnconditionalLossName,
        regularisation: Regularisation,
        augmentation: DiscriminatorAugmentation,
        values: StepValues,
        mean_path_length: Tensor,
    ) -> None:
        self.module = module
        self.loss = loss
        self.regularisation = regularisation
        self.augmentation = augmentation
        self.values = values
        self.mean_path_length = mean_path_length
        self._passes: list[list[Tensor]] = []

    def of_discriminator(self, part: Batch) -> Tensor:
        """Its adversarial loss, and the penalties that are due."""
        module, size = self.module, len(part["latent"])
        with torch.set_grad_enabled(module.keeps_pass):
            fakes = module.generator(part["latent"], module.growth_now())
        if module.keeps_pass:
            self._passes.append(fakes)
            fakes = [fake.detach() for fake in fakes]
        reals = module.real_images(part["image"], len(fakes))
        shown = self._augmented(reals, part, "real")
        made = self._augmented(fakes, part, "fake")
        real_logits, fake_logits = module.logits_of(shown), module.logits_of(made)
        loss = discriminator_loss(real_logits, fake_logits, self.loss, global_mean)
        self.values.add(
            size,
            loss_discriminator=loss,
            score_real=mean_score(real_logits),
            score_fake=mean_score(fake_logits),
            sign_real=mean_score([logits.sign() for logits in real_logits]),
        )
        terms = self.regularisation.discriminator_terms(
            module.steps_done,
            module.logits_of,
            lambda films: self._augmented(films, part, "real"),
            reals,
            shown,
            made,
            real_logits,
            part.get("between"),
        )
        for name, term, times in terms:
            self.values.add(size, **{name: term})
            loss = loss + times * term
        return loss

    def of_generator(self, part: Batch) -> Tensor:
        """Its adversarial loss, and the path length when it is due."""
        module, size = self.module, len(part["latent"])
        if self._passes:
            fakes = self._passes.pop()
        else:
            fakes = module.generator(part["latent"], module.growth_now())
        fake_logits = module.logits_of(self._augmented(fakes, part, "fake"))
        real_logits = None
        if self.loss == "ra_hinge":
            with torch.no_grad():
                reals = module.real_images(part["image"], len(fakes))
                real_logits = module.logits_of(self._augmented(reals, part, "real"))
        loss = generator_loss(fake_logits, self.loss, real_logits, global_mean)
        self.values.add(size, loss_generator=loss)
        if self.regularisation.path_length_due(module.steps_done):
            assert isinstance(module.generator, StyleGenerator)  # as the constructor has seen to
            (name, term, times), self.mean_path_length = self.regularisation.path_length(
                module.generator, part["latent"], part["path_noise"], self.mean_path_length
            )
            self.values.add(size, **{name: term})
            loss = loss + times * term
        return loss

    def _augmented(self, images: list[Tensor], part: Batch, which: str) -> list[Tensor]:
        if not self.augmentation.used:
            return images
        return self.augmentation.apply(images, part[f"augment_{which}"])
