"""A GAN that goes on from another one's weights, at the same resolution or a higher one."""

import sys
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn

from knowledge import Knowledge
from lightning_modules.loading import licences_behind
from lightning_modules.start_from import flag_of, opened_start, refuse_held_out
from networks.enlargement import Enlargement, stages_of
from provenance import UserError

_NETWORKS = ("generator", "discriminator", "averaged.network")


def start_gan_from_checkpoint(module: Any, path: Path, cache: Any) -> Knowledge:
    """Give a GAN the networks of another one, and count on from its images.

    Generator, discriminator and average are taken over; the optimisers begin anew. At a higher
    resolution the layers that only this one has keep their random start, but those that add to an
    image of the resolution below begin at 0, so that the images of before are where it starts.

    Args:
        module: A `GAN`; gets the weights.
        path: Checkpoint of another run, of a module of the same class.
        cache: This run's data, a `PreparedCache`. The data of the other run may be others, but may
            hold nobody of this run's validation and test split.

    Returns:
        Whom the weights have learnt from; see `seen_by`.

    Raises:
        UserError: No such checkpoint, or one of another method, another network, a higher
            resolution, or that knows somebody who is held out.
    """
    flag, wanted = flag_of(path), type(module).__name__
    content, record = opened_start(path, wanted, "image_size", "split")
    size, theirs = int(module.image_size), int(record["image_size"])
    if theirs > size:
        raise UserError(
            f"{flag}: makes images of {theirs} px, and this run's are {size} px. A GAN may go on "
            "at the same resolution or at a higher one. Give --data.resolution or data of "
            f"{theirs} px."
        )
    seen = refuse_held_out(flag, wanted, record, cache)
    if record["split"]["split_id"] != cache.split_id and (
        gap := seen.not_compared(str(path), cache)
    ):
        rank_zero_only(print)(gap.sentence, file=sys.stderr)
    state = content["state_dict"]
    where = f"{flag} ({theirs} px, this run {size} px)"
    for name in _NETWORKS:
        of_network = {
            key.removeprefix(f"{name}."): value
            for key, value in state.items()
            if key.startswith(f"{name}.")
        }
        take_over(module.get_submodule(name), of_network, theirs == size, f"{where}: its {name}")
    module.averaged.set_extra_state(state["averaged._extra_state"])
    keep_average_of_frozen(module.generator, module.averaged.network)
    for name, buffer in module.named_buffers(recurse=False):
        buffer.copy_(state[name])
    module.take_over_progress(content["progress"])
    module.licences_before = licences_behind(record)
    rank_zero_only(print)(
        f"note: {flag}: goes on from {module.images_seen:,} images at {theirs} px, now at {size} "
        "px. The optimisers begin anew.",
        file=sys.stderr,
    )
    return seen


def freeze_stages(network: nn.Module, number: int, name: str) -> None:
    """Keep so many stages of a network from training: of a discriminator those near the image.

    Args:
        network: A generator or a discriminator.
        number: Of stages; at least one must be left to train.
        name: "generator" or "discriminator".

    Raises:
        UserError: More stages than there are to spare, or a network that does not tell its stages.
    """
    if not number:
        return
    flag = f"--model.freeze.{name} {number}"
    try:
        stages = stages_of(network)
    except ValueError as error:
        raise UserError(f"{flag}: {error}. Leave it out.") from error
    if number >= len(stages):
        raise UserError(
            f"{flag}: a {type(network).__name__} of this size has {len(stages)} stages, and one "
            f"must train. Give at most {len(stages) - 1}."
        )
    near_image = name == "discriminator"
    for stage in stages[-number:] if near_image else stages[:number]:
        for parameter in stage:
            network.get_parameter(parameter).requires_grad_(False)


@torch.no_grad()
def keep_average_of_frozen(generator: nn.Module, averaged: nn.Module) -> None:
    """Give a generator's frozen layers the weights of its average, so that neither moves again."""
    for parameter, average in zip(generator.parameters(), averaged.parameters(), strict=True):
        if not parameter.requires_grad:
            parameter.copy_(average)


@torch.no_grad()
def take_over(network: nn.Module, theirs: Mapping[str, Tensor], same_size: bool, what: str) -> None:
    """Copy the weights of a network, also of one that ends at a lower resolution.

    Args:
        network: Gets the weights; see `Enlargement` for a higher resolution.
        theirs: State of a network of the same class.
        same_size: Whether both are of the same resolution; then every weight must have its place.
        what: What they are, for the sentence.

    Raises:
        UserError: They do not fit.
    """
    own = network.state_dict()
    how = Enlargement() if same_size else getattr(network, "enlargement", None)
    if how is None:
        raise UserError(
            f"{what}, a {type(network).__name__}, has other layers at another resolution. Go on at "
            "the same one, or take PGGAN, the multi-scale GAN or a StyleGAN."
        )
    lengths = {head: (_length(own, head), _length(theirs, head)) for head in map(_head, own)}
    reasons, taken = [], set()
    for name, value in theirs.items():
        if not same_size and _is_of_largest(name, how, lengths):
            continue
        target = _shifted(name, how, lengths)
        there = tuple(own[target].shape) if target in own else "no such layer"
        if there != tuple(value.shape):
            reasons.append(f"{name} is {tuple(value.shape)}, here {there}")
        else:
            own[target].copy_(value)
            taken.add(target)
    new = [name for name in own if name not in taken]
    reasons += [f"there is no {name}" for name in new if not _may_be_new(name, how, lengths)]
    if reasons:
        raise UserError(
            f"{what} does not fit this run's ({reasons[0]}). Give the networks its settings, "
            "as --model.generator.width."
        )
    for name in new:
        if any(fnmatch(name, pattern) for pattern in how.zero):
            own[name].zero_()


_Lengths = Mapping[str, tuple[int, int]]  # of lists of layers by name: this network's, the other's


def _head(name: str) -> str:
    return name.partition(".")[0]


def _index(name: str) -> int | None:
    """Place in a list of layers, of a name such as `blocks.2.first.weight`."""
    second = name.split(".")[1:2]
    return int(second[0]) if second and second[0].isdigit() else None


def _length(state: Mapping[str, Any], head: str) -> int:
    indices = [_index(name) for name in state if _head(name) == head]
    return 1 + max((index for index in indices if index is not None), default=-1)


def _shifted(name: str, how: Enlargement, lengths: _Lengths) -> str:
    head, index = _head(name), _index(name)
    if head not in how.largest_first or index is None or head not in lengths:
        return name
    ours, theirs = lengths[head]
    return ".".join([head, str(index + ours - theirs), *name.split(".")[2:]])


def _is_of_largest(name: str, how: Enlargement, lengths: _Lengths) -> bool:
    """Whether a layer of the other network takes its largest image in."""
    head, index = _head(name), _index(name)
    last = lengths.get(head, (0, 0))[1] - 1
    return head in how.of_largest and (index is None or index == last)


def _may_be_new(name: str, how: Enlargement, lengths: _Lengths) -> bool:
    """Whether a layer of this network is one of a higher resolution than the other's."""
    head, index = _head(name), _index(name)
    ours, theirs = lengths[head]
    if index is None or ours == theirs:
        return index is None and head in how.of_largest
    if head in how.largest_first:
        return index < ours - theirs
    return index >= theirs - (head in how.of_largest)
