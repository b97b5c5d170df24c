"""Whether a network has the size of its weights, found out before it takes any memory.

A record of a few words can name a layer of ten gigabytes. torch's "meta" device builds a network
of shapes alone, and these must be those of the weights in the file, which take room there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from provenance import UserError

# Networks take four to twenty calls of torch for each of their tensors.
_CALLS_PER_TENSOR, _CALLS_BESIDE = 100, 5_000
_SHORT = 10_000  # rows of numbers that constructors read, such as rates of each layer


# What networks compute with beside their weights: shifted windows, grids of positions.
_BESIDE_WEIGHTS = 64 * 2**20


class _TooManyCalls(BaseException):  # no Exception: a network may catch those
    pass


class _Counted(TorchFunctionMode):
    """Stops a constructor that makes layers without end; each takes memory on "meta" too."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.left = most

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.left -= 1
        if self.left < 0:
            raise _TooManyCalls
        kwargs = kwargs or {}
        if function is torch.linspace:  # some encoders read its values, which "meta" has not
            steps = args[2] if len(args) > 2 else kwargs.get("steps", _SHORT + 1)
            if steps <= _SHORT:
                kwargs = {**kwargs, "device": "cpu"}
        return function(*args, **kwargs)


@contextmanager
def shapes_alone(most_calls: int = 10**9) -> Iterator[None]:
    """Inside, networks are built and computed without memory: their tensors are shapes alone.

    Args:
        most_calls: Of torch, after which `_TooManyCalls` ends it.
    """
    with torch.device("meta"), _Counted(most_calls):
        yield


def check_size(build: Callable[[], nn.Module], state: Any, source: Path) -> None:
    """Compare a network's shapes with those of the weights that a checkpoint has for it.

    Args:
        build: Makes the network; called once, on the device "meta".
        state: The checkpoint's "state_dict".
        source: The checkpoint, for the sentence.

    Raises:
        UserError: Weights that are no table of tensors, or smaller in the file than they say; a
            network of other shapes; one that cannot be built.
    """
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(one, Tensor) and one.layout == torch.strided
        for name, one in state.items()
    ):
        raise UserError(f"{source}: its weights are no table of tensors. It is not loaded.")
    for name, tensor in state.items():
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise UserError(
                f"{source}: the tensor {name} says that it is {_shape(tensor)}, and the file holds "
                f"{tensor.untyped_storage().nbytes()} bytes of it. It is not loaded."
            )
    try:
        with shapes_alone(_CALLS_BESIDE + _CALLS_PER_TENSOR * len(state)):
            network = build()
            wanted = network.state_dict()
    except _TooManyCalls:
        _refuse(source, f"has more layers than the {len(state)} tensors of its weights")
    for name, tensor in wanted.items():
        given = state.get(name)
        counts = name.endswith("_extra_state")  # of which earlier versions wrote one, not two
        if given is not None and given.shape != tensor.shape and not counts:
            _refuse(source, f"has {name} of {_shape(tensor)}, the weights have {_shape(given)}")
    # What the file lacks is told when the weights are loaded, if there is memory for it.
    parts = [*network.parameters(), *network.buffers()]
    size, there = sum(one.numel() * one.element_size() for one in parts), source.stat().st_size
    if size > 2 * there + _BESIDE_WEIGHTS:
        _refuse(source, f"takes {size / 1e6:.0f} MB, the file has {there / 1e6:.0f}")


def _refuse(source: Path, what: str) -> NoReturn:
    raise UserError(
        f"{source}: its weights do not fit the network that it names, which {what}. It is not "
        "loaded; another version may have written it."
    )


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"
