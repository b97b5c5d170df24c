"""A generator whose weights are an exponential moving average over training."""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # what all kinds of it inherit from

from provenance import UserError

STATISTICS_CORRECTED = (
    "its averaged generator was saved by an earlier version, with the batch statistics of the last "
    "weights; they are estimated anew"
)


class GeneratorAverage(nn.Module):
    """Averaged copy of a generator: steadier images than the last weights give.

    Every batch of n images moves the average towards the generator: average = keep * average +
    (1 - keep) * weights with keep = 0.5 ** (n / half_life). Counted in images, it is the same
    whatever the batch size. At the start the half-life is at most `ramp_up` of the images so far,
    so that the first weights, which are noise, are forgotten; the first batch is copied whole.

    Batch normalisation needs the mean and variance of what *these* weights make of noise. Those of
    the last weights are another network's, and wash its images out; averaged along with the
    weights they are still not its own. So they are estimated by `estimate_statistics`, and
    `statistics_are_stale` says when. Other buffers are copied: an average of counters or of a
    growing network's switches means nothing. What a generator holds outside its parameters and
    buffers is not followed.

    As a child of a Lightning module it is in the checkpoints, with the number of images averaged,
    and every process computes the same average without communication. It never trains.

    Attributes:
        network: The averaged copy; in evaluation mode and without gradients.
        images_averaged: Images of all batches so far.
        statistics_at: How many these were when the batch statistics were estimated; None in a
            checkpoint of an earlier version, which copied those of the last weights.

    Args:
        generator: Copied as it is now; not kept.
        half_life_images: Images, of all processes, after which a set of weights counts half.
        ramp_up: Share of the images so far that bounds the half-life.

    Source: Karras 2018 (PGGAN), arXiv:1710.10196, averages with a fixed factor; half-life and
    ramp-up are StyleGAN2-ADA's, arXiv:2006.06676, with its 0.05.
    """

    def __init__(
        self, generator: nn.Module, half_life_images: int = 10_000, ramp_up: float = 0.05
    ) -> None:
        super().__init__()
        if half_life_images < 1 or ramp_up <= 0:
            raise ValueError(
                f"GeneratorAverage: half_life_images is {half_life_images} and ramp_up {ramp_up}, "
                "expected at least 1 and more than 0."
            )
        self.network = copy.deepcopy(generator).requires_grad_(False).eval()
        self.half_life_images = half_life_images
        self.ramp_up = ramp_up
        self.images_averaged = 0
        self._followed: _Followed | None = None
        self.statistics_at: int | None = 0  # the copy of an untrained network has its statistics

    def keep(self, num_images: int) -> float:
        """Weight in [0, 1) of the average so far, when a batch of `num_images` comes next."""
        half_life = min(self.half_life_images, self.ramp_up * self.images_averaged)
        return 0.5 ** (num_images / half_life) if half_life > 0 else 0.0

    @torch.no_grad()
    def update(self, generator: nn.Module, num_images: int) -> None:
        """Move the average towards the generator, after its optimiser stepped.

        Args:
            generator: The one in training, of the structure that was copied.
            num_images: Images of the step's global batch.

        Raises:
            ValueError: Another structure; looked for once, and again after `check_updated`.
            UserError: Weights in half precision: a step of the average is smaller than their last
                digit, so it would stand still.
        """
        if self._followed is None or self._followed.generator is not generator:
            self._followed = self._checked(generator)
        followed = self._followed
        step = 1 - self.keep(num_images)
        ours, theirs = _tensors(followed.ours), _tensors(followed.theirs)
        number = followed.num_weights
        torch._foreach_lerp_(ours[:number], theirs[:number], step)
        if len(ours) > number:
            torch._foreach_copy_(ours[number:], theirs[number:])
        self.images_averaged += num_images

    def _checked(self, generator: nn.Module) -> "_Followed":
        """Where the tensors of both are; raises what `update` says."""
        ours, theirs = _places(self.network), _places(generator)
        averaged, current = _tensors(ours), _tensors(theirs)
        if [(name, t.shape, t.dtype) for (_, _, name), t in zip(ours, averaged, strict=True)] != [
            (name, t.shape, t.dtype) for (_, _, name), t in zip(theirs, current, strict=True)
        ]:
            raise ValueError(
                "GeneratorAverage: the generator's parameters or buffers are not those of the copy "
                "(names, shapes and number format). Build all of its layers before copying it."
            )
        num_weights = len(list(self.network.parameters()))
        if any(
            weight.dtype in (torch.float16, torch.bfloat16) for weight in averaged[:num_weights]
        ):
            raise UserError(
                "The average of the generator: weights in half precision cannot be averaged. Use "
                "--trainer.precision bf16-mixed, which keeps them in float32."
            )
        return _Followed(generator, ours, theirs, num_weights)

    @property
    def statistics_are_stale(self) -> bool:
        """Whether there is batch normalisation, and the weights moved since its estimate."""
        return self.statistics_at != self.images_averaged and bool(_normalisations(self.network))

    @torch.no_grad()
    def estimate_statistics(
        self, batches: Iterable[Tensor], run: Callable[[nn.Module, Tensor], Any]
    ) -> None:
        """Measure the batch statistics anew, as means over batches; the weights stay as they are.

        Only batch normalisation is in training mode, so nothing random happens.

        Args:
            batches: What the generator makes images of, (N, ...) each: latents, or label maps.
            run: Makes the network's images of one batch.

        Source: Izmailov et al. 2018, arXiv:1803.05407. `torch.optim.swa_utils.update_bn` would put
        dropout in training mode as well, and a growing network takes more than one argument.
        """
        layers = _normalisations(self.network)
        momenta = [layer.momentum for layer in layers]
        device = next(self.network.parameters()).device.type
        try:
            for layer in layers:
                layer.reset_running_stats()
                layer.momentum = None  # torch's word for the mean over all batches
                layer.train()
            with torch.autocast(device, enabled=False):
                for batch in batches:
                    run(self.network, batch)
        finally:
            for layer, momentum in zip(layers, momenta, strict=True):
                layer.momentum = momentum
                layer.eval()
        self.statistics_at = self.images_averaged

    def check_updated(self, images_seen: int) -> None:
        """Refuse an average that missed steps: its images are worse, and nothing else shows it.

        Args:
            images_seen: Images that the generator was trained with so far.

        Raises:
            RuntimeError: The average was updated with another number of them.
        """
        if self.images_averaged != images_seen:
            raise RuntimeError(
                f"GeneratorAverage: averaged over {self.images_averaged} images, but the generator "
                f"has seen {images_seen}. Call update() after every step of the generator."
            )
        self._followed = None  # layers that were added meanwhile are noticed by the next update

    def forward(self, *inputs: Any, **settings: Any) -> Any:
        """What the averaged generator makes of the same arguments."""
        return self.network(*inputs, **settings)

    def train(self, mode: bool = True) -> "GeneratorAverage":
        """Stay in evaluation mode whatever the surrounding module does."""
        return super().train(False)

    def get_extra_state(self) -> Tensor:
        """The counts, for the state dict; a tensor as all of its values are."""
        at = -1 if self.statistics_at is None else self.statistics_at
        return torch.tensor([self.images_averaged, at])

    def set_extra_state(self, state: Any) -> None:
        """Continue from a state dict's counts; an earlier version wrote the first alone."""
        images_averaged, *at = state.reshape(-1).tolist()
        self.images_averaged = images_averaged
        self.statistics_at = at[0] if at and at[0] >= 0 else None


def _normalisations(network: nn.Module) -> list[_BatchNorm]:
    """The layers with running statistics of batches."""
    layers = [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]
    return [layer for layer in layers if layer.track_running_stats]


# A module's own table of tensors, the key there, and the whole name. Tables and not the tensors: a
# buffer is another tensor after `.to(device)`, or where a network assigns it anew.
_Place = tuple[dict[str, Any], str, str]


@dataclass(frozen=True)
class _Followed:
    """Where the tensors of the average and of its generator are: parameters, then buffers."""

    generator: nn.Module
    ours: list[_Place]
    theirs: list[_Place]
    num_weights: int


def _places(network: nn.Module) -> list[_Place]:
    """Parameters, then buffers, without batch statistics; the same order as torch's own."""
    tables = {
        prefix: (module._parameters, module._buffers) for prefix, module in network.named_modules()
    }
    of_batches = {id(buffer) for layer in _normalisations(network) for buffer in layer.buffers()}
    buffers = [name for name, b in network.named_buffers() if id(b) not in of_batches]
    places: list[_Place] = []
    for kind, names in enumerate(([name for name, _ in network.named_parameters()], buffers)):
        for name in names:
            prefix, _, key = name.rpartition(".")
            places.append((tables[prefix][kind], key, name))
    return places


def _tensors(places: Sequence[_Place]) -> list[Tensor]:
    return [table[key] for table, key, _ in places]
