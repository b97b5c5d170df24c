"""How a network at a higher resolution keeps the layers of a lower one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Enlargement:
    """Attribute `enlargement` of a network whose layers go on at a higher resolution.

    Layers are the same by name. A list of layers is counted from 4 pixels up, so that a higher
    resolution has more of them at its end.

    Args:
        largest_first: Lists of layers that are counted from the largest resolution down instead.
        of_largest: Layers that take the largest image in, which is no longer the largest: the layer
            itself, or the last of a list. They are not kept.
        zero: Weights of a list's new layers that begin at 0, so that these change nothing yet.
    """

    largest_first: tuple[str, ...] = ()
    of_largest: tuple[str, ...] = ()
    zero: tuple[str, ...] = ()
