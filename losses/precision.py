"""The number format in which losses are computed."""

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Half-precision values as float32; float32 and float64 unchanged.

    Sums over an image overflow float16 and lose digits in bfloat16; float64 is kept, since tests
    compare processes to 1e-10.
    """
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
