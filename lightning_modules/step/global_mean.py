"""A mean over the global batch through which gradients flow to every process.

Some losses hold a mean of all images inside a nonlinearity, as the relativistic average hinge
does. Each process then needs the mean over all processes, and its gradient has to count what the
mean does to the losses of the others as well.

With W processes of equal shares the global batch's loss is L = sum_r L_r / W, and the mean is
m = sum_r m_r / W with m_r of rank r's own images. Rank r's images so have the gradient
dL/dm_r = (sum_q dL_q/dm / W) / W. `average_gradients` adds the ranks' gradients and divides by W,
so what a rank has to send back to its own m_r is sum_q dL_q/dm / W: the mean over the processes
again. The operation is its own derivative.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from lightning_modules.distributed import process_count


class _MeanOverProcesses(torch.autograd.Function):
    """Mean of a tensor over all processes, forward and backward; differentiable at every order.

    The public torch.distributed.nn.functional.all_reduce is deprecated, and its successor private.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total / process_count()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        averaged: Tensor = _MeanOverProcesses.apply(gradient)
        return averaged


def global_mean(values: Tensor) -> Tensor:
    """Mean over all elements of all processes, differentiable; of one process it is `torch.mean`.

    A collective, forward and backward: every process calls it equally often and in the same order,
    and runs the backward pass. Together with `average_gradients`, which divides by the number of
    processes, gradients equal those of one process with the whole batch.

    Args:
        values: (n, ...) of this process; as many on every process, as the ranks' shares of a batch
            are.

    Returns:
        Scalar, the same on every process.
    """
    mean = values.mean()
    if process_count() == 1:
        return mean
    averaged: Tensor = _MeanOverProcesses.apply(mean)
    return averaged
