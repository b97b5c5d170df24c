"""What every method's training step shares.

One call of `training_step` is one global batch. It is cut into micro-batches, their gradients are
summed and averaged over the processes, clipped, and the optimiser steps. A step's randomness is a
function of the seed and the number of steps done, and so is the order of the data
(datamodules.batch_order): a run that was killed and resumed ends with the same bits as one that was
not.
"""

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn
from torch.optim import Optimizer

from device import keep_freed_memory, seed_generators
from knowledge import Knowledge
from licences import Licence
from lightning_modules.distributed import (
    average_gradients,
    mean_over_processes,
    process_count,
    process_rank,
)
from lightning_modules.step.batch_parts import notes_on_parts
from lightning_modules.step.divergence import finite_values
from lightning_modules.step.learning_rate import decay_factor, set_rates
from lightning_modules.step.seeds import derived_seed
from lightning_modules.step.settings import refuse_settings
from lightning_modules.step.start_checks import (
    refuse_endless_decay,
    refuse_mixed_gradients,
    refuse_mixed_images,
)

Batch = dict[str, Any]
"""By name, tensors with the images in dimension 0, and lists of as many values."""


@contextmanager
def without_gradient(network: nn.Module) -> Iterator[None]:
    """Inside, a network's parameters get no gradient; afterwards those that did do again."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    network.requires_grad_(False)
    try:
        yield
    finally:  # also if a step failed
        for parameter in trained:
            parameter.requires_grad_(True)


class TrainingModule(L.LightningModule):
    """Base of all Lightning modules of this project: manual optimisation of one or two networks.

    Subclasses write `training_step`, which calls `begin_step`, then `optimise` for each network,
    then `end_step`; and `configure_optimizers`, which calls `adam` for each network.

    Args:
        learning_rate: Of Adam, at the start.
        micro_batches: Parts into which a process's share of the batch is cut, to save memory. The
            gradient is that of the whole share, so the result does not depend on it, up to
            rounding. Batch normalisation and minibatch deviation, which compare images, are
            excepted: a note says so when training starts.
        gradient_clip_norm: Largest L2 norm of a network's gradient; None does not clip.
        decay_from: Fraction of the planned training after which the learning rate falls linearly
            to 0. 1.0 keeps it constant.
        seed: Of everything random inside the step.
    """

    learns_from_mixed_images: bool = False
    """Whether images that are made of several, with mixed labels or masks, are what it learns from;
    a generator would learn to make such images."""

    monitor: tuple[str, str]
    """Metric by which the best checkpoint is chosen, and "min" or "max"."""

    def __init__(
        self,
        learning_rate: float,
        micro_batches: int = 1,
        gradient_clip_norm: float | None = None,
        decay_from: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        refuse_settings(learning_rate, micro_batches, gradient_clip_norm, decay_from)
        self.automatic_optimization = False
        self.learning_rate = learning_rate
        self.micro_batches = micro_batches
        self.gradient_clip_norm = gradient_clip_norm
        self.decay_from = decay_from
        self.seed = seed
        self.steps_done = 0
        self.images_seen = 0
        """Of all processes together."""
        self.rollbacks = 0
        """How often the training went back to an earlier checkpoint, see `training/failures.py`."""
        self.seen_before: Knowledge | None = None
        """Whom the weights that the training starts with have learnt from; None: nobody."""
        self.licences_before: list[Licence] = []
        """Of the data that those weights have learnt from."""
        self.report_due = False
        """Whether the values of this step are published."""
        self.reported: dict[str, float] = {}
        """Those that were published last."""
        self.gradient_norm = torch.zeros(())
        """Before clipping, of the network that was optimised last; kept where a report is due."""

    # ---- what a method says of itself ----------------------------------------------------------

    def metric_names(self) -> list[str] | None:
        """Names of all values that it may log; None where they are not known beforehand."""
        return None

    def illustrate(self, batch: Batch) -> dict[str, Tensor]:
        """Columns of the sheet of samples, by their titles; a row for each image of the batch.

        Returns:
            Images (N, C, H, W) in [-1, 1], or label maps (N, H, W).
        """
        raise NotImplementedError

    def record_of_state(self) -> dict[str, Any]:
        """What a checkpoint's record says of the weights as they are now, as plain values."""
        return {}

    # ---- one training step -------------------------------------------------------------------

    def begin_step(self) -> None:
        """Make this step's randomness a function of (seed, step, rank) and set the rates."""
        seed_generators(self.step_seed(process_rank()), self.device)
        # Reading a scalar waits for the GPU, so it happens at intervals and at an epoch's end.
        trainer: Any = self.trainer  # log_every_n_steps is set, but not declared, by Lightning
        every = trainer.log_every_n_steps  # 0: at an epoch's end alone
        interval_over = every > 0 and (self.steps_done + 1) % every == 0
        self.report_due = interval_over or trainer.is_last_batch
        decay = decay_factor(self.decay_from, self.steps_done, trainer)
        set_rates(self._optimizer_list(), self.learning_rate * 0.5**self.rollbacks * decay)

    def optimise(
        self,
        optimizer: Optimizer,
        network: nn.Module,
        batch: Batch,
        loss_of: Callable[[Batch], Tensor],
    ) -> None:
        """One optimiser step on the gradient of the global batch.

        Args:
            optimizer: Steps `network`'s parameters.
            network: The only network whose gradients are averaged over the processes.
            batch: This process's share; tensors have the images in dimension 0.
            loss_of: Mean loss over the images of a micro-batch.
        """
        optimizer.zero_grad(set_to_none=True)
        for part, weight in self.split(batch):
            self.manual_backward(loss_of(part) * weight)
        average_gradients(network.parameters())
        optimizer.step()

    def split(self, batch: Batch) -> Iterator[tuple[Batch, float]]:
        """Cut a batch into micro-batches; yields each with its share of the images."""
        size = next(len(value) for value in batch.values() if isinstance(value, Tensor))
        edges = [size * part // self.micro_batches for part in range(self.micro_batches + 1)]
        for start, stop in itertools.pairwise(edges):
            if stop > start:
                part = {key: value[start:stop] for key, value in batch.items()}
                yield part, (stop - start) / size

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip here: with a gradient scaler (fp16), gradients are unscaled by now.

        Leaves the norm before clipping, which a report may want, in `gradient_norm`.
        """
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if self.gradient_clip_norm is not None:
            self.gradient_norm = nn.utils.clip_grad_norm_(parameters, self.gradient_clip_norm)
        elif self.report_due:
            gradients = [p.grad for p in parameters if p.grad is not None]
            self.gradient_norm = nn.utils.get_total_norm(gradients)

    def end_step(self, batch_size: int, values: dict[str, Tensor]) -> None:
        """Count the images and, when a report is due, publish the step's scalars.

        Args:
            batch_size: Images of this process.
            values: Means over them, by the names that they are logged by.

        Raises:
            TrainingError: One of them is not finite; in every process, since it is a mean over all.
        """
        self.steps_done += 1
        self.images_seen += batch_size * process_count()
        if self.report_due:
            means = mean_over_processes(values)
            self.reported = finite_values(means, self.images_seen, self.trainer)
            self.log_dict(self.reported, logger=False, rank_zero_only=True)

    @property
    def keeps_pass(self) -> bool:
        """Whether the graph of a generator's pass is kept from one network's step to the other's.

        Micro-batches save memory, and keeping the graphs of all of them would spend it again.
        """
        return self.micro_batches == 1

    # ---- randomness ----------------------------------------------------------------------------

    def step_seed(self, *parts: int | str) -> int:
        """Seed of something random in this step; after a roll-back another one than before."""
        retry = [f"roll-back {self.rollbacks}"] if self.rollbacks else []
        return derived_seed(self.seed, *retry, self.steps_done, *parts)

    def rows_from_seeds(
        self, draw: Callable[[torch.Generator], Tensor], seeds: Iterable[int]
    ) -> Tensor:
        """Random numbers of each image, whatever the batch and the process it is in.

        Args:
            draw: From a CPU generator to (1, ...).
            seeds: One for each image.

        Returns:
            (N, ...) on the module's device and in its precision; row i depends on seed i alone.
        """
        rows = [draw(torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.cat(rows).to(self.device).to(self.dtype)

    # ---- optimisers ----------------------------------------------------------------------------

    def adam(
        self, network: nn.Module, betas: tuple[float, float], weight_decay: float = 0.0
    ) -> torch.optim.Optimizer:
        """Adam for one network, fused; with decoupled decay (AdamW) when asked for."""
        kind = torch.optim.AdamW if weight_decay else torch.optim.Adam
        # With fp16, a fused step unscales by itself, after our clipping has looked at gradients.
        fused = self.device.type in ("cpu", "cuda") and self.trainer.precision != "16-mixed"
        rate = self.learning_rate
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        return kind(trained, lr=rate, betas=betas, weight_decay=weight_decay, fused=fused)

    def _optimizer_list(self) -> list[Any]:
        optimizers = self.optimizers()
        return list(optimizers) if isinstance(optimizers, list) else [optimizers]

    # ---- start, end, resume ------------------------------------------------------------------

    def on_fit_start(self) -> None:
        """Refuse what would train wrongly without saying so, or say it.

        Raises:
            UserError: A strategy that mixes gradients, a rate that falls to an end without one, or
                mixed images for a generator.
        """
        if self.device.type == "cpu":
            keep_freed_memory()
        refuse_mixed_gradients(self.trainer)
        refuse_endless_decay(self.decay_from, self.trainer.max_epochs)
        data: Any = getattr(self.trainer, "datamodule", None)
        if data is None:
            return
        if not self.learns_from_mixed_images:
            refuse_mixed_images(getattr(data, "policy", None), type(self).__name__)
        cut = (data.batch_size, self.micro_batches, self.trainer.world_size)
        for note in notes_on_parts(self, *cut):
            rank_zero_only(print)(note, file=sys.stderr)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the counters on which data order and randomness depend."""
        checkpoint["progress"] = {"steps_done": self.steps_done, "images_seen": self.images_seen}
        if self.rollbacks:
            checkpoint["progress"]["rollbacks"] = self.rollbacks

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continue counting where the checkpoint stood; called before the weights are loaded."""
        # Lightning loads weights before it converts the module to the run's precision, so float64
        # weights (64-true) would pass through float32 and lose their last bits.
        kinds = {t.dtype for t in checkpoint["state_dict"].values() if t.is_floating_point()}
        if kinds == {torch.float64}:
            self.double()
        self.steps_done = checkpoint["progress"]["steps_done"]
        self.images_seen = checkpoint["progress"]["images_seen"]
        # A checkpoint that is rolled back to was written before the roll-back.
        self.rollbacks = max(self.rollbacks, checkpoint["progress"].get("rollbacks", 0))

    @property
    def memory_advice(self) -> str:
        """What to do when the device's memory is full."""
        return (
            "Raise --model.micro_batches, which gives the same result (batch normalisation and "
            "minibatch deviation excepted), or lower --data.batch_size."
        )
