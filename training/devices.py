"""--trainer.accelerator, devices and strategy: how many processes they make."""

import re
import sys
from typing import Any

import torch

from device import refuse_unequal_shares
from lightning_modules.distributed import STRATEGY_NAME, launched_rank
from provenance import UserError

_DEVICES = r"auto|-1|\s*\d+\s*(,\s*\d+\s*)*,?"


def refuse_devices(trainer: Any, batch_size: int) -> None:
    """Refuse, before any process starts, a GPU that is not there and a batch that is not shared.

    Args:
        trainer: The `trainer` part of a configuration.
        batch_size: Images of a step, over all processes.

    Raises:
        UserError: Names the flag.
    """
    asked = trainer.accelerator
    there = torch.cuda.is_available() or (asked == "gpu" and torch.backends.mps.is_available())
    if asked in ("gpu", "cuda") and not there:
        raise UserError(
            f"--trainer.accelerator {asked}: no GPU can be used here. Give --trainer.accelerator "
            "cpu; or see by nvidia-smi whether the driver finds one, and whether torch was "
            "installed with CUDA."
        )
    refuse_unequal_shares(batch_size, processes_asked(trainer))


def processes_asked(trainer: Any) -> int:
    """Over all machines, one for each device.

    Raises:
        UserError: --trainer.devices is no number of devices.
    """
    devices = trainer.devices
    named = isinstance(devices, str)
    if devices in (0, "0", []) or (named and not re.fullmatch(_DEVICES, devices)):
        raise UserError(
            f"--trainer.devices {devices}: expected how many (1 or more), which GPUs (0,2), or "
            "auto; -1 is all."
        )
    if devices in ("auto", -1, "-1"):
        on_gpu = trainer.accelerator in ("auto", "gpu", "cuda")
        count = torch.cuda.device_count() if on_gpu else 1
    else:
        count = len(devices) if isinstance(devices, list) else int(str(devices).count(",") + 1)
        count = int(devices) if str(devices).isdigit() else count
    return max(1, count * int(trainer.num_nodes))


def strategy_for(trainer: Any) -> Any:
    """The strategy that keeps two networks' gradients apart where there are several processes.

    Raises:
        UserError: Another strategy was asked for by name, for several processes; or devices that
            are none.
    """
    asked = trainer.strategy
    if processes_asked(trainer) <= 1:
        return "auto" if asked == "ddp" else asked
    if not isinstance(asked, str):  # an object; `TrainingModule.on_fit_start` looks at it
        return asked
    if asked not in ("auto", "ddp", STRATEGY_NAME):
        raise UserError(
            f"--trainer.strategy {asked}: would mix the gradients of two networks, or is not "
            f"exact. Leave it out, or give {STRATEGY_NAME}."
        )
    if asked == "ddp" and launched_rank() == 0:
        print(
            f"--trainer.strategy ddp: {STRATEGY_NAME} is used in its place, which keeps the "
            "gradients of two networks apart.",
            file=sys.stderr,
        )
    return STRATEGY_NAME
