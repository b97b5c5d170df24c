"""How the gallery calls operations, and the numbers that were drawn for them."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from augmentations.operation import BatchOperation, Operation


def entry(plain: dict[str, Any]) -> str:
    """An operation as a policy writes it, with those it holds; full strength and 1 are left out."""
    [(name, settings)] = plain.items()
    told = [
        f"{key}: {_value(value)}"
        for key, value in settings.items()
        if not (key in ("probability", "strength") and value == 1)
    ]
    return f"{name}: {{{', '.join(told)}}}" if told else name


def _value(value: Any) -> str:
    """A setting as YAML writes it, with four digits of a decimal number."""
    if isinstance(value, list):
        return f"[{', '.join(entry(one) for one in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def shares(target: Tensor, names: Sequence[str]) -> str:
    """Such as "normal 70 %, pneumonia 30 %"."""
    held = [(float(share), name) for share, name in zip(target, names, strict=True)]
    return ", ".join(f"{name} {share:.0%}" for share, name in held if share > 0.005)


def meaning(kind: type[Operation] | type[BatchOperation]) -> str:
    """The first sentence of an operation's docstring."""
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


def numbers(drawn: Sequence[str]) -> str:
    """What was drawn for each image, as a caption; empty where nothing says something."""
    told = "; ".join(one for one in drawn if one)
    return f"Drawn at full strength: {told}." if told else ""


def in_words(drawn: dict[str, Any]) -> str:
    """Numbers that say something by themselves: no seeds and no lists."""
    numbers = {
        key: value
        for key, value in drawn.items()
        if isinstance(value, int | float) and key != "seed"
    }
    return ", ".join(f"{key.replace('_', ' ')} {value:.3g}" for key, value in numbers.items())
