"""What a training gives to its other processes, counted in each step.

Executed in each process before it trains (`train_together`), so it imports nothing of the tests.
A step is a list of calls: of which network the step was when it was made ("" between
two networks), for what, and how many bytes this process gave.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from callbacks.distribution_checks import ProcessesAgree
from lightning_modules.training_module import TrainingModule

COLLECTIVES = [
    *("all_reduce", "broadcast", "reduce", "all_gather", "gather", "scatter", "all_to_all"),
    *("all_gather_into_tensor", "reduce_scatter", "reduce_scatter_tensor", "all_to_all_single"),
    *("all_gather_object", "broadcast_object_list", "send", "recv", "isend", "irecv"),
]
PURPOSES = (
    *("average_gradients", "average_buffers", "mean_over_processes", "sum_over_processes"),
    *("gather_rows", "forward", "backward"),  # the last two: of a mean over the global batch
)
HELD = "holds gradients"  # told beside the calls: of the network that has just stepped
steps: list[list[tuple[str, str, int]]] = []
network_now: list[str] | None = None


def bytes_of(node: Any) -> int:
    if isinstance(node, torch.Tensor):
        return node.nbytes
    return sum(map(bytes_of, node)) if isinstance(node, list | tuple) else 0


def purpose() -> str:
    """The function on whose behalf a collective is called."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_name not in PURPOSES:
        frame = frame.f_back
    return frame.f_code.co_name


def count(name: str) -> None:
    collective: Callable[..., Any] = getattr(dist, name)

    def counted(*given: Any, **settings: Any) -> Any:
        if network_now is not None:
            moved = given[1:] if name == "all_gather" else given  # (what comes, what goes)
            told = bytes_of([*moved, *settings.values()])
            steps[-1].append((network_now[0], purpose(), told))
        return collective(*given, **settings)

    setattr(dist, name, counted)


for collective_name in filter(lambda name: hasattr(dist, name), COLLECTIVES):
    count(collective_name)

begin_step, optimise, end_step = (
    TrainingModule.begin_step, TrainingModule.optimise, TrainingModule.end_step
)  # fmt: skip
compare_at_end = ProcessesAgree.on_train_end


def begin(self: TrainingModule) -> None:
    global network_now
    network_now = [""]
    steps.append([])
    begin_step(self)


def optimise_one(self: TrainingModule, optimizer: Any, network: Any, *rest: Any) -> None:
    assert network_now is not None
    [network_now[0]] = [name for name, child in self.named_children() if child is network]
    optimise(self, optimizer, network, *rest)
    held = [p.grad.nbytes for p in network.parameters() if p.grad is not None]
    steps[-1].append((network_now[0], HELD, sum(held)))
    network_now[0] = ""


def end(self: TrainingModule, *given: Any) -> None:
    global network_now
    end_step(self, *given)
    network_now = None


def keep(self: ProcessesAgree, trainer: Any, module: Any) -> None:
    compare_at_end(self, trainer, module)
    folder = Path(trainer.default_root_dir)
    torch.save(module.state_dict(), folder / f"rank_{dist.get_rank()}.pt")
    if dist.get_rank() == 0:
        (folder / "moved.json").write_text(json.dumps(steps))
    steps.clear()


TrainingModule.begin_step = begin  # type: ignore[method-assign]
TrainingModule.optimise = optimise_one  # type: ignore[method-assign]
TrainingModule.end_step = end  # type: ignore[method-assign]
ProcessesAgree.on_train_end = keep  # type: ignore[method-assign]
