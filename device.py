"""Where a trained network computes. Flags need only its names, so no torch at the top."""

import ctypes
import sys
from typing import TYPE_CHECKING, Literal

from provenance import UserError

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "cuda"]
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # parameters of mallopt, as malloc.h numbers them


def chosen_device(device: Device) -> "torch.device":
    """The device to compute on.

    Raises:
        UserError: A GPU was asked for and there is none.
    """
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: no GPU was found here. Use --device cpu or auto.")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def refuse_unequal_shares(batch_size: int, processes: int) -> None:
    """Refuse a batch that several processes cannot share equally.

    Args:
        batch_size: Images of a step, over all processes.
        processes: Over all machines.

    Raises:
        UserError: They cannot.
    """
    if batch_size % processes:
        raise UserError(
            f"--data.batch_size {batch_size} is the number of images per step over all processes "
            f"and cannot be shared equally among {processes} (--trainer.devices, num_nodes). Use a "
            f"multiple of {processes}."
        )


def seed_generators(seed: int, device: "torch.device") -> None:
    """Seed what a step on this device draws from: torch's generator of the CPU, and the device's.

    `torch.manual_seed` also seeds the devices that are not used, and writes down for each of them,
    at every call, where in the program it came from: a millisecond in a step of a trainer.

    Args:
        seed: As `torch.manual_seed` takes it, and with the same numbers after it.
        device: A GPU is the current one, as a trainer makes it.
    """
    import torch

    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


def keep_freed_memory() -> None:
    """Let this process keep the memory that freed tensors leave, up to a GiB, for the next ones.

    glibc gives blocks of large tensors back to Linux, which clears every page of them anew when the
    next step asks for them: 7 to 10 % of a training step on a CPU (docs/results/speed.md), and the
    peak of memory is the same. Other systems have their own ways and are left alone.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        for parameter in (MMAP_THRESHOLD, TRIM_THRESHOLD):
            mallopt(parameter, 2**30)
