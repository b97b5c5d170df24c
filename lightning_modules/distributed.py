"""Several processes that train as one.

The networks of a GAN stay unwrapped. After a network's backward pass its gradients, and no other
network's, are averaged over the processes in one flat all-reduce. DistributedDataParallel instead
hooks every parameter: it stops on the parameters of the network that does not step, or, told to
look for them, moves both networks' gradients in both steps. The flat all-reduce is also exact
under double backward (gradient penalties) and while a network grows.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy, Strategy, StrategyRegistry
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from torch import Tensor, nn

STRATEGY_NAME = "unwrapped_ddp"


class UnwrappedDDPStrategy(DDPStrategy):
    """DDP's processes, devices and launcher, without DDP's wrapper around the module.

    Every process starts from rank 0's parameters and buffers. `TrainingModule.optimise` averages
    the gradients.
    """

    strategy_name = STRATEGY_NAME

    def configure_ddp(self) -> None:
        """Give every process rank 0's weights; wrap nothing."""
        assert self.model is not None
        broadcast_state(self.model)


StrategyRegistry.register(
    STRATEGY_NAME,
    UnwrappedDDPStrategy,
    description="one process per device; only the stepping network's gradients are averaged",
)


def end_before_launched(strategy: Strategy) -> None:
    """From now on this process ends by itself, also when one that it launched has ended before.

    Lightning looks at those every 5 s, and kills this one as soon as one has ended with a status
    other than 0. After a SIGTERM all of them do, and this process may be the last: while it writes
    its log, or only because the machine is busy. Its status would be 137 in place of its own.
    What it launched and still runs ends after it, see `worker_pool.end_with_parent`.

    Asked for at two moments. `StopSignal` does it as soon as a SIGTERM has ended the training:
    before this process's `TrainCLI` hears of it, Lightning closes the loggers and tears down, long
    enough to be killed in. `TrainCLI` does it for every other failure, and not earlier: until then
    it may be rolled back, and a process that dies in the training that goes on has to be seen.
    """
    launcher = strategy.launcher
    if isinstance(launcher, _SubprocessScriptLauncher):
        launcher.procs.clear()  # the list that is looked at


_alone = False


@contextmanager
def as_one_process() -> Iterator[None]:
    """Inside, this process counts as the only one, and nothing here waits for others."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


def process_count() -> int:
    """Number of processes that train together; 1 without a process group."""
    if _alone:
        return 1
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_rank() -> int:
    """This process's number among them, from 0."""
    return dist.get_rank() if process_count() > 1 else 0


def launched_rank() -> int:
    """This process's rank before the process group exists, from the launcher's environment."""
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        if name in os.environ:
            return int(os.environ[name])
    return 0


def broadcast_state(module: nn.Module) -> None:
    """Overwrite every process's parameters and buffers with those of rank 0."""
    if process_count() == 1:
        return
    for tensor in (*module.parameters(), *module.buffers()):
        dist.broadcast(tensor.detach(), src=0)


def _average_in_place(tensors: list[Tensor]) -> None:
    """Replace each tensor by its mean over the processes: one all-reduce per dtype."""
    for dtype in {tensor.dtype for tensor in tensors}:
        group = [tensor for tensor in tensors if tensor.dtype == dtype]
        flat = torch.cat([tensor.reshape(-1) for tensor in group])
        dist.all_reduce(flat)
        flat /= process_count()
        parts = flat.split([tensor.numel() for tensor in group])
        torch._foreach_copy_(
            group, [part.view_as(tensor) for part, tensor in zip(parts, group, strict=True)]
        )


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Average the gradients of one network over all processes, in place.

    With equal shares of a global batch and losses that are means over images, the result is the
    gradient of the global batch. Every process must hold gradients for the same parameters.
    """
    if process_count() == 1:
        return
    _average_in_place([p.grad for p in parameters if p.grad is not None])


def average_buffers(module: nn.Module) -> None:
    """Average floating-point buffers (running statistics) so that the processes stay equal.

    Only of layers in training mode: the others, as those of an averaged generator, change nothing.
    Batch normalisation still normalises by each process's own share of the batch, so a network
    that has it is equal across processes but not equal to one process with the whole batch; group
    and instance normalisation are.
    """
    if process_count() == 1:
        return
    buffers = [
        buffer
        for layer in module.modules()
        if layer.training
        for buffer in layer.buffers(recurse=False)
        if buffer.is_floating_point()
    ]
    if buffers:
        _average_in_place(buffers)


def mean_over_processes(values: dict[str, Tensor]) -> dict[str, float]:
    """Mean of scalars over all processes in one all-reduce. A collective: every rank calls it."""
    if not values:
        return {}
    stacked = torch.stack([value.detach().double().reshape(()) for value in values.values()])
    if process_count() > 1:
        dist.all_reduce(stacked)
        stacked /= process_count()
    return dict(zip(values, stacked.tolist(), strict=True))


def sum_over_processes(values: Tensor) -> Tensor:
    """Sum of a tensor over all processes. A collective: every rank calls it."""
    if process_count() > 1:
        values = values.clone()
        dist.all_reduce(values)
    return values


def gather_rows(rows: Tensor) -> Tensor:
    """Concatenate (n_r, D) rows of all processes, r = 0, 1, ...; n_r may differ. A collective."""
    processes = process_count()
    if processes == 1:
        return rows
    counts = torch.zeros(processes, dtype=torch.long, device=rows.device)
    counts[process_rank()] = len(rows)
    dist.all_reduce(counts)
    longest = int(counts.max())
    padded = rows.new_zeros(longest, *rows.shape[1:])
    padded[: len(rows)] = rows
    gathered = [torch.empty_like(padded) for _ in range(processes)]
    dist.all_gather(gathered, padded)
    return torch.cat([part[:n] for part, n in zip(gathered, counts.tolist(), strict=True)])


def gather_dealt(rows: Tensor) -> Tensor:
    """Rows (n_r, D) of all processes in the order of the whole. A collective: every rank calls it.

    Args:
        rows: Of this process, which has rows r, r + W, r + 2 W, ... of the whole, as
            `evaluation_set` deals images out to W processes.
    """
    gathered = gather_rows(rows)
    world, total = process_count(), len(gathered)
    dealt = torch.cat([torch.arange(rank, total, world) for rank in range(world)])
    in_order = torch.empty_like(gathered)
    in_order[dealt.to(gathered.device)] = gathered
    return in_order
