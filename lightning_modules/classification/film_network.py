"""What networks from an image to logits have in common, whatever the logits mean."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from lightning_modules.step.divergence import TrainingError, when_diverged
from lightning_modules.training_module import Batch, TrainingModule
from networks.staged_classifier import StagedNetwork
from provenance import UserError


class FilmNetwork(TrainingModule):
    """A network from (N, C, H, W) to (N, K) logits, and its Adam with a rate for each stage.

    Subclasses set `network`, `layerwise_decay` and `weight_decay`, and say what is learnt.
    """

    network: nn.Module
    layerwise_decay: float
    weight_decay: float

    def forward(self, image: Tensor) -> Tensor:
        """Image (N, C, H, W) in [-1, 1] to logits (N, num_classes)."""
        logits: Tensor = self.network(image.to(self.dtype))
        return logits

    def with_views(self, part: Batch) -> Tensor:
        """Logits (1 + V, N, K) of the images, and of their views where there are (AugMix).

        All in one call, so that batch normalisation sees them together, as in the paper.
        """
        if "views" not in part:
            return self(part["image"])[None]
        together = torch.cat([part["image"], *part["views"].unbind(dim=1)])
        logits: Tensor = self(together).unflatten(0, (-1, len(part["image"])))
        return logits

    def refuse_diverged(self, losses: Any) -> None:
        """End a training whose losses of validation images are not finite.

        Raises:
            TrainingError: One is not.
        """
        if not (losses < float("inf")).all():
            raise TrainingError(
                f"Training diverged by {self.images_seen} images: the network's scores of "
                "validation images are not finite. Checkpoints are kept. "
                f"{when_diverged(str(self.trainer.precision))}"
            )

    # ---- optimiser -----------------------------------------------------------------------------

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam with a parameter group for each stage that is trained, the head's first."""
        stages = [self.network]
        if self.layerwise_decay != 1:
            assert isinstance(self.network, StagedNetwork)  # as the constructor has seen to
            stages = self.network.stages()[::-1]
        optimizer: torch.optim.Optimizer | None = None
        for depth, stage in enumerate(stages):
            trained = nn.ParameterList(p for p in stage.parameters() if p.requires_grad)
            if not len(trained):
                continue
            if optimizer is None:
                optimizer = self.adam(trained, (0.9, 0.999), self.weight_decay)
            else:
                optimizer.add_param_group({"params": list(trained)})
            optimizer.param_groups[-1]["rate_factor"] = self.layerwise_decay**depth
        assert optimizer is not None, "the head is always trained"
        return optimizer

    def check_stages(self) -> None:
        """Refuse rates by stage of a network that has none.

        Raises:
            UserError: It has none.
        """
        if self.layerwise_decay != 1 and not isinstance(self.network, StagedNetwork):
            raise UserError(
                f"--model.layerwise_decay {self.layerwise_decay}: {type(self.network).__name__} "
                "has no stages. Use VGG16, ResNet or AlexNet, or leave the flag out."
            )

    def illustrate(self, batch: Batch) -> dict[str, Tensor]:
        """Pictures for the sample grid: the film, and where its score is sensitive to it.

        Returns:
            "image" (N, C, H, W) in [-1, 1]; "sensitivity" (N, 1, H, W) in [-1, 1]: absolute
            gradient of the predicted class's logit by each pixel, largest over channels, from -1
            (none) to 1 (the film's largest).

        Source: Simonyan et al. 2013, arXiv:1312.6034.
        """
        with torch.inference_mode(False), torch.enable_grad():
            image = batch["image"].clone().requires_grad_()  # made by a loader in inference mode
            score = self(image).amax(dim=1).sum()
            (gradient,) = torch.autograd.grad(score, image)
        size = gradient.float().abs().amax(dim=1, keepdim=True)
        largest = size.amax(dim=(2, 3), keepdim=True).clamp_min(torch.finfo(size.dtype).tiny)
        return {"image": batch["image"], "sensitivity": size / largest * 2 - 1}


def check_settings(
    class_weights: Literal["balanced"] | list[float] | None,
    label_smoothing: float,
    layerwise_decay: float,
) -> None:
    """Refuse settings outside of their ranges.

    Raises:
        UserError: One is.
    """
    if isinstance(class_weights, str) and class_weights != "balanced":
        raise UserError(f"--model.class_weights is {class_weights}; expected balanced or numbers.")
    if not 0 <= label_smoothing < 1:
        raise UserError(f"--model.label_smoothing is {label_smoothing}; it must be 0 to below 1.")
    if not 0 < layerwise_decay <= 1:
        raise UserError(
            f"--model.layerwise_decay is {layerwise_decay}; it must be above 0, and 1 at most."
        )
