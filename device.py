"""Where a trained network computes. Flags need only its names, so no torch at the top."""

from typing import TYPE_CHECKING, Literal

from provenance import UserError

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "cuda"]


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
