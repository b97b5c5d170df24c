"""Which layers of a network belong to which resolution, so that some can be kept."""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Enlargement:
    """Attribute `enlargement` of a network whose layers can be used at a higher resolution.

    Layers correspond by their names. A list of layers is counted from 4 pixels up, so a network of
    a higher resolution has further layers at the end of the list.

    Args:
        largest_first: Lists of layers that are counted from the largest resolution down instead.
        of_largest: Layers that take the largest image in, which is no longer the largest: the layer
            itself, or the last of a list. They are not kept.
        zero: Weights of a list's new layers that begin at 0, so that these change nothing yet.
    """

    largest_first: tuple[str, ...] = ()
    of_largest: tuple[str, ...] = ()
    zero: tuple[str, ...] = ()


def stages_of(network: nn.Module) -> list[list[str]]:
    """Names of a generator's or discriminator's parameters by resolution, the smallest first.

    Lists of layers, which a network has for its resolutions, are aligned at the largest one; what
    is no list, as the mapping of styles or the layers at 4 pixels, belongs to the smallest, but
    for what takes the largest image in (`Enlargement.of_largest`). A single chain of layers, as
    DCGAN is, has a stage for each convolution with what follows it.

    Raises:
        ValueError: neither, so that nobody knows which layers are near the image.
    """
    children = dict(network.named_children())
    lists = {name: one for name, one in children.items() if isinstance(one, nn.ModuleList)}
    if not lists:
        [(name, chain), *others] = children.items() or [("", network)]
        if others or not isinstance(chain, nn.Sequential):
            raise ValueError(
                f"a {type(network).__name__} has neither lists of layers nor one chain of them, so "
                "its layers cannot be told apart by resolution"
            )
        return _stages_of_chain(name, chain)
    how = getattr(network, "enlargement", Enlargement())
    length = max(len(layers) for layers in lists.values())
    stages: list[list[str]] = [[] for _ in range(length)]
    for name, _ in network.named_parameters():
        head, *rest = name.split(".")
        if head in lists:
            place = int(rest[0])
            from_largest = place if head in how.largest_first else len(lists[head]) - 1 - place
            stages[length - 1 - from_largest].append(name)
        else:
            stages[-1 if head in how.of_largest else 0].append(name)
    return [stage for stage in stages if stage]


def _stages_of_chain(name: str, chain: nn.Sequential) -> list[list[str]]:
    stages: list[list[str]] = []
    shrinks = False
    for place, layer in enumerate(chain):
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            stages.append([])
            shrinks |= isinstance(layer, nn.Conv2d)
        stages[-1] += [f"{name}.{place}.{own}" for own, _ in layer.named_parameters()]
    return stages[::-1] if shrinks else stages
