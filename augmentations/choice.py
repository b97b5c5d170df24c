"""Operations that choose among others."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from augmentations.operation import Operation, Parameters, Size, setting


@dataclass(frozen=True, kw_only=True)
class Identity(Operation):
    """Leaves the image as it is; for use in `one_of` and the like."""

    source = "Müller and Hutter 2021, arXiv:2103.10158"

    def draw(
        self, generator: torch.Generator, size: Size, level: float | None = None
    ) -> Parameters | None:
        """See `Operation`: nothing."""
        return None


@dataclass(frozen=True, kw_only=True)
class OneOf(Operation):
    """One of several operations, chosen equally often; then its own probability applies.

    Args:
        operations: To choose from.
    """

    operations: tuple[Operation, ...] = field(default=())

    source = "nnU-Net, nnUNetTrainerDA5 (OneOfTransform)"
    breaks_meaning = "As the operations that it holds."

    def __post_init__(self) -> None:
        """See `Operation`."""
        super().__post_init__()
        if not self.operations:
            raise ValueError("operations are not given, expected a list of one or more of them")
        if self.strength not in (0, 1):
            raise ValueError(
                f"strength is {self.strength:g}; set that of its operations, and leave it 1 here, "
                "or 0 for never"
            )

    def chosen(
        self, generator: torch.Generator, size: Size, level: float | None
    ) -> tuple[int, Parameters | None]:
        """Which operation, and what it draws; what is done or not has no level."""
        which = int(torch.randint(len(self.operations), (1,), generator=generator))
        operation = self.operations[which]
        happens = torch.rand(1, generator=generator).item() < operation.probability
        drawn = operation.draw(generator, size, level if operation.graded else None)
        return which, drawn if happens else None

    def draw(
        self, generator: torch.Generator, size: Size, level: float | None = None
    ) -> Parameters | None:
        """See `Operation`."""
        which, drawn = self.chosen(generator, size, level)
        if self.strength == 0 or drawn is None:
            return None
        return {"which": which, "parameters": drawn}

    def apply(
        self, image: Tensor, mask: Tensor | None, parameters: Parameters
    ) -> tuple[Tensor, Tensor | None]:
        """See `Operation`."""
        operation = self.operations[parameters["which"]]
        return operation.apply(image, mask, parameters["parameters"])


@dataclass(frozen=True, kw_only=True)
class OneAtALevel(OneOf):
    """One of several operations, at one of equally spaced strengths (TrivialAugment).

    Args:
        operations: To choose from, each with its own probability then; TrivialAugment's are 1.
        levels: Steps from 0, which changes nothing, to all of an operation's strength.
    """

    levels: int = setting(31, 2, 1000)

    source = "Müller and Hutter 2021, arXiv:2103.10158"

    def draw(
        self, generator: torch.Generator, size: Size, level: float | None = None
    ) -> Parameters | None:
        """See `Operation`."""
        step = int(torch.randint(self.levels, (1,), generator=generator))
        level = step / (self.levels - 1) if level is None else level
        which, parameters = self.chosen(generator, size, level)
        if self.strength == 0 or parameters is None:
            return None
        return {"which": which, "parameters": parameters}
