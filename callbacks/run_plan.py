"""What a training will run on and take, said before it does."""

import os
import sys
from dataclasses import replace
from typing import Any

import lightning as L
import torch
from torch import nn

from callbacks.step_cost import HALF, StepCost, shapes_of, step_cost
from lightning_modules import GrowingGAN
from lightning_modules.training_module import Batch, TrainingModule
from provenance import UserError

_PRECISIONS = {
    "32-true": "computed in float32",
    "64-true": "computed in float64",
    "bf16-mixed": "computed in bfloat16; weights, losses and penalties in float32",
    "16-mixed": "computed in float16; weights, losses and penalties in float32, losses scaled",
}


class RunPlan(L.Callback):
    """Refuses weights that the precision does not keep in full, and says what will run.

    Devices, global batch and micro-batches, precision, parameters, what is averaged over the
    processes, and memory: of weights, gradients and moments always; of a whole step if it is asked
    for, which takes seconds and is within 7 % of what was measured on a GPU.

    Args:
        expect_memory: Whether a step is counted before the first is taken.
    """

    def __init__(self, expect_memory: bool = False) -> None:
        self.expect_memory = expect_memory

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Check, and say what is known without a batch.

        Raises:
            UserError: Weights in half precision, which lose small steps.
        """
        assert isinstance(module, TrainingModule)
        refuse_half_weights(module)
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if not trainer.is_global_zero or data is None:
            return
        device = trainer.strategy.root_device
        lines = plan(
            module, str(trainer.precision), trainer.world_size, data.batch_size, _named(device)
        )
        if not self.expect_memory:
            lines[1] += " (--expect_memory true counts them first)"
        if str(trainer.precision) == "bf16-mixed" and _emulates_bfloat16(device):
            lines.append(
                "This GPU has no units for bfloat16 and is slow in it: --trainer.precision "
                "16-mixed or 32-true is faster."
            )
        if device.type == "cpu" and hasattr(os, "sched_getaffinity"):  # Linux alone has it
            lines += crowded_line(trainer.num_devices, len(os.sched_getaffinity(0)))
        print(*lines, sep="\n", file=sys.stderr)

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Batch, index: int
    ) -> None:
        """Say what a step holds, once, before the first."""
        if not self.expect_memory or not trainer.is_global_zero:
            return
        self.expect_memory = False
        assert isinstance(module, TrainingModule)
        device = trainer.strategy.root_device
        try:
            cost = cost_when_grown(module, batch, str(trainer.precision))
        except Exception as error:  # some code of a network asks for values, which there are none
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            told = f"--expect_memory: cannot be told for these networks ({reason})."
        else:
            told = memory_line(module, cost, trainer.world_size, device)
        module.print(told, file=sys.stderr)  # above a progress bar


def refuse_half_weights(module: nn.Module) -> None:
    """Refuse weights that are trained in half precision, as those of a network of others may be.

    Raises:
        UserError: Names the first.
    """
    for name, parameter in module.named_parameters():
        if parameter.requires_grad and parameter.dtype in HALF.values():
            kind = str(parameter.dtype).removeprefix("torch.")
            raise UserError(
                f"--model: {name} is in {kind}, in which small steps of the optimiser are lost. "
                "Make the network in float32; --trainer.precision bf16-mixed or 16-mixed computes "
                "in half precision and keeps weights in float32."
            )


def plan(
    module: TrainingModule, precision: str, processes: int, batch_size: int, device: str
) -> list[str]:
    """What will run, in sentences, a line each.

    Args:
        module: What is trained.
        precision: As --trainer.precision.
        processes: Over all machines, one for each device.
        batch_size: Images of a step over all of them.
        device: What one is called.
    """
    share = batch_size // processes
    parts = min(module.micro_batches, share)
    where = f"{processes} x {device}, a process each" if processes > 1 else device
    images = f"{batch_size} images a step"
    if processes > 1:
        images += f", {share} on each"
    if parts > 1:
        images += f", in {parts} parts of {-(-share // parts)} at most"
    numbers = _PRECISIONS[precision]
    if precision == "32-true" and device != "CPU":
        numbers += "; convolutions may round to tf32"
    networks = {
        name: count
        for name, child in module.named_children()
        if (count := sum(p.numel() for p in child.parameters() if p.requires_grad))
    }
    trained = ", ".join(f"{name} {_millions(count)}" for name, count in networks.items())
    lines = [
        f"Trains on {where}: {images}. {precision}: {numbers}.",
        f"Parameters: {trained}. Weights, gradients and Adam's moments take "
        f"{_mebibytes(state_bytes(module))}{' on each' if processes > 1 else ''}; images and "
        "features come on top",
    ]
    if processes > 1:
        lines.append(
            "Averaged over the processes in each step: the gradients of each network when it "
            "steps, and running statistics. After the first epoch and at the end the networks are "
            "compared bit by bit."
        )
    return lines


def crowded_line(processes: int, cores: int) -> list[str]:
    """A sentence where the processes of a machine are more than the cores they may use.

    Args:
        processes: Of this machine; each trains on the CPU.
        cores: That a process may use; schedulers and containers often grant fewer than exist.
    """
    if processes <= cores:
        return []
    share = "one core is" if cores == 1 else f"{cores} cores are"
    return [
        f"--trainer.devices asks for {processes} processes on this machine, of which only {share} "
        f"usable: they wait for each other and train more slowly than {cores} would."
    ]


def state_bytes(module: nn.Module) -> int:
    """Bytes of weights and buffers; and, of what is trained, of gradients and two moments."""
    each = [(4 if p.requires_grad else 1) * p.nbytes for p in module.parameters()]
    return sum(each) + sum(buffer.nbytes for buffer in module.buffers())


def cost_when_grown(module: TrainingModule, batch: Batch, precision: str) -> StepCost:
    """Cost of the step that holds most: all penalties are due, a growing GAN is fully grown."""
    if not isinstance(module, GrowingGAN):
        return step_cost(module, shapes_of(batch), precision)
    before = module.growth
    module.growth = replace(before, resolution=module.image_size, alpha=1.0)
    try:
        return step_cost(module, shapes_of(batch), precision)
    finally:
        module.growth = before


def memory_line(
    module: TrainingModule, cost: StepCost, processes: int, device: torch.device
) -> str:
    """What a step is expected to hold on each device, beside what there is."""
    expected = cost.expected_mib
    if processes > 1:  # one network's gradients, in a row, when they are averaged
        networks = [
            sum(p.nbytes for p in child.parameters() if p.requires_grad)
            for child in module.children()
        ]
        expected += max(networks) / 2**20
    told = f"A step is expected to hold {expected:,.0f} MiB at most on a GPU"
    if device.type != "cuda":
        return f"{told}."
    there = torch.cuda.get_device_properties(device).total_memory / 2**20
    advice = "" if expected < 0.95 * there else f" It may not fit. {module.memory_advice}"
    return f"{told}, of {there:,.0f} MiB.{advice}"


def _named(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()


def _emulates_bfloat16(device: torch.device) -> bool:
    return device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)


def _mebibytes(count: int) -> str:
    """The unit of nvidia-smi; a digit behind the point where there are few."""
    mebibytes = count / 2**20
    return f"{mebibytes:,.0f} MiB" if mebibytes >= 10 else f"{mebibytes:.2g} MiB"


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f} M" if count >= 1e4 else str(count)
