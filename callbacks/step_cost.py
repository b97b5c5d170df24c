"""What a training step costs, found out without taking it: operations, and the most memory.

The step runs on tensors that have a shape and no values (torch's FakeTensorMode), in seconds and
with no memory, on a machine without a GPU too. Every tensor that lives is counted until it dies, so
what comes out is what a GPU's allocator holds at most, but for what libraries take inside a call:
see `WORKSPACE_MIB`.
"""

import copy
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import flop_registry

from lightning_modules.distributed import as_one_process
from lightning_modules.training_module import Batch, TrainingModule

HALF = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""What autocast computes in, by the precisions of --trainer.precision that are mixed."""

WORKSPACE_MIB = 80
"""Of cuBLAS (32 MiB on an H200) and cuDNN while a step runs; the mean of what was measured there
beyond the count, docs/results/gpu."""

_BLOCK = 512  # bytes; what CUDA's allocator rounds up to


@dataclass(frozen=True)
class StepCost:
    """Of one training step of one process.

    Attributes:
        operations: Floating-point operations of matrix products and convolutions.
        bytes_at_most: Held at once by tensors; the weights, gradients and moments among them.
    """

    operations: float
    bytes_at_most: int

    @property
    def expected_mib(self) -> float:
        """MiB that a GPU's allocator is expected to hold at most."""
        return self.bytes_at_most / 2**20 + WORKSPACE_MIB


def step_cost(
    module: TrainingModule,
    shapes: dict[str, tuple[tuple[int, ...], torch.dtype]],
    precision: str,
    steps_done: int = 0,
) -> StepCost:
    """Cost of a training step; the module, its optimisers and torch's generator stay as they are.

    Args:
        module: On any device.
        shapes: Of one process's share of a batch, with the kinds of its numbers.
        precision: As --trainer.precision.
        steps_done: At which the step is taken: lazy penalties are due at some steps only.
    """
    fake = _fake_mode()
    copied = _without_values(module, fake)
    with torch.random.fork_rng(devices=[]), fake, as_one_process():
        batch = {name: torch.empty(one, dtype=kind) for name, (one, kind) in shapes.items()}
        optimizers = _stand_alone(copied, precision)
        copied.steps_done = steps_done
        half = HALF.get(precision)
        for counted in (False, True):  # the first makes the optimisers' moments
            with _autocast(half):
                if not counted:
                    copied.training_step(dict(batch), 0)
                    continue
                with _Counter() as counter:
                    held = [*copied.parameters(), *copied.buffers(), *batch.values()]
                    held += [p.grad for p in copied.parameters() if p.grad is not None]
                    for optimizer in optimizers:
                        held += tree_leaves([*optimizer.state.values()])
                    for tensor in held:
                        counter.see(tensor)
                    del held
                    copied.training_step(dict(batch), 0)
    return StepCost(float(counter.operations), counter.most)


def shapes_of(batch: Batch) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Shapes of a batch's tensors, for `step_cost`."""
    return {k: (tuple(v.shape), v.dtype) for k, v in batch.items() if isinstance(v, Tensor)}


_mode: Any = None


def _fake_mode() -> Any:
    """One for the process: a network may keep a constant, and tensors of two modes do not mix."""
    global _mode
    if _mode is None:
        from torch._subclasses.fake_tensor import FakeTensorMode  # half a second

        _mode = FakeTensorMode(allow_non_fake_inputs=True)
    return _mode


@contextmanager
def _autocast(half: torch.dtype | None) -> Iterator[None]:
    """As a GPU's, with tensors on the CPU, whose own keeps less in float32."""
    if half is None:
        yield
        return
    with torch.autocast("cpu", half), _KeptInFloat32():
        yield


class _KeptInFloat32(TorchFunctionMode):
    """Computes in float32 what CUDA's autocast does: pytorch.org/docs/stable/amp.html."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__name__", "") in _FLOAT32:
            args, kwargs = tree_map(_wide, (args, kwargs))
        return function(*args, **kwargs)


# fmt: off
_FLOAT32 = {
    "__pow__", "__rpow__", "acos", "binary_cross_entropy_with_logits", "cosine_similarity",
    "cross_entropy", "cosh", "cumprod", "cumsum", "dist", "erfinv", "exp", "expm1", "group_norm",
    "huber_loss", "kl_div", "l1_loss", "layer_norm", "log", "log10", "log1p", "log2", "log_softmax",
    "mse_loss", "nll_loss", "norm", "pdist", "pow", "prod", "reciprocal", "rsqrt", "sinh",
    "smooth_l1_loss", "softmax", "softmin", "softplus", "tan",
}
# fmt: on


def _wide(value: Any) -> Any:
    is_half = isinstance(value, Tensor) and value.dtype in HALF.values()
    return value.float() if is_half else value


def _without_values(module: TrainingModule, fake: Any) -> TrainingModule:
    """A copy on the CPU whose weights are shapes alone."""
    memo: dict[int, Any] = {}
    with fake:
        for tensor in (*module.parameters(), *module.buffers()):
            empty = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
            if isinstance(tensor, nn.Parameter):
                memo[id(tensor)] = nn.Parameter(empty, requires_grad=tensor.requires_grad)
            else:
                memo[id(tensor)] = empty
    copied: TrainingModule = copy.deepcopy(module, memo)  # Lightning leaves out the trainer
    copied._device = torch.device("cpu")
    return copied.train()


def _stand_alone(module: TrainingModule, precision: str) -> list[torch.optim.Optimizer]:
    """Give a module what it asks its trainer for in a step; nothing is reported."""
    trainer: Any = SimpleNamespace(precision=precision, precision_plugin=None)
    module._trainer = trainer
    configured: Any = module.configure_optimizers()
    optimizers = configured if isinstance(configured, list) else [configured]
    stand_ins: dict[str, Any] = {
        "optimizers": lambda: optimizers if len(optimizers) > 1 else optimizers[0],
        "begin_step": lambda: None,
        "end_step": lambda *_: None,
        "manual_backward": lambda loss: loss.backward(),
    }
    for name, stand_in in stand_ins.items():
        setattr(module, name, stand_in)
    return optimizers


class _Counter(TorchDispatchMode):
    """Operations as torch's FlopCounterMode counts them, whose hooks penalties refuse; and bytes.

    Attributes:
        operations: So far.
        most: Bytes that lived at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.most = self._live = 0
        self._known: set[int] = set()

    def see(self, tensor: Any) -> None:
        """Count a tensor's memory, once however many views it has, until it is freed."""
        if not isinstance(tensor, Tensor):
            return
        storage = tensor.untyped_storage()
        key, size = storage._cdata, -(-storage.nbytes() // _BLOCK) * _BLOCK
        if key in self._known:
            return
        self._known.add(key)
        self._live += size
        self.most = max(self.most, self._live)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._live -= size
        self._known.discard(key)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        for tensor in tree_leaves(result):
            self.see(tensor)
        if (count := flop_registry.get(func._overloadpacket)) is not None:
            self.operations += count(*args, **kwargs, out_val=result)
        return result
