"""What a network makes of a part of a batch that it would not make of the whole.

Micro-batches and processes cut a batch. The gradients of the parts add up to that of the whole,
except through layers that compare the images of a call. Validation deals images out to processes
in turn, so these layers find other neighbours there even if the parts of a training step are whole
groups.
"""

import itertools
from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm  # what all kinds of it inherit from

from provenance import UserError

# How torch begins to refuse a single image with a single pixel.
_ONE_VALUE = "Expected more than 1 value per channel when training"


def part_sizes(batch_size: int, micro_batches: int, processes: int) -> list[int]:
    """Images of each part of a process's share of a batch; parts without any are left out."""
    share = batch_size // processes
    edges = [share * part // micro_batches for part in range(micro_batches + 1)]
    return [stop - start for start, stop in itertools.pairwise(edges) if stop > start]


def notes_on_parts(
    module: nn.Module, batch_size: int, micro_batches: int, processes: int
) -> Iterator[str]:
    """Sentences on what is not as it would be with the batch in one piece; none where all is.

    Args:
        module: Its networks in training; a `group_of_images` of a layer says that it compares so
            many images that follow one another.
        batch_size: Images of all processes together.
        micro_batches: Parts of each process's share.
        processes: That train together.
    """
    sizes = part_sizes(batch_size, micro_batches, processes)
    whole = len(sizes) * processes == 1
    cut = f"{' or '.join(map(str, sorted(set(sizes))))} images (--data.batch_size {batch_size}"
    cut += f", {processes} processes" if processes > 1 else ""
    cut += f", --model.micro_batches {micro_batches})" if micro_batches > 1 else ")"
    trained = [layer for layer in module.modules() if layer.training]
    for group in sorted({getattr(layer, "group_of_images", 1) for layer in trained} - {1}):
        if not whole and any(size % group for size in sizes):
            yield (
                f"note: minibatch deviation compares {group} images, and the parts of a batch have "
                f"{cut}: its groups, and so the result, are not those of the whole batch. With "
                f"parts of a multiple of {group} they are."
            )
        if processes > 1:
            yield (
                f"note: minibatch deviation compares {group} images, and validation deals images "
                f"out to {processes} processes in turn: the groups, and so val/score_real, are not "
                "those of one process. Compare val/score_real between runs of as many processes; "
                "the weights do not depend on it."
            )
    by_part = [layer for layer in trained if isinstance(layer, _BatchNorm)]
    if micro_batches == 1:  # over all processes, with --trainer.sync_batchnorm
        by_part = [layer for layer in by_part if not isinstance(layer, nn.SyncBatchNorm)]
    if by_part and 1 in sizes:
        yield (
            f"note: batch normalisation has single images, since the parts of a batch have {cut}: "
            "it knows no spread between images, and what it learns may not hold for its average. "
            "Raise --data.batch_size, lower --model.micro_batches or the number of processes, or "
            "take group or instance normalisation."
        )
    elif by_part and not whole:
        yield (
            "note: batch normalisation normalises each part of a batch by itself, and the parts "
            f"have {cut}: the result is not that of the whole batch. Group or instance "
            "normalisation does not depend on it."
        )


def refuse_single_images(error: ValueError, batch_size: int, micro_batches: int) -> None:
    """Word torch's refusal to normalise a batch of one image.

    Args:
        error: What torch raised; another one is left alone.
        batch_size: Images of all processes together.
        micro_batches: Parts of each process's share.

    Raises:
        UserError: Names the flags.
    """
    if str(error).startswith(_ONE_VALUE):
        raise UserError(
            f"--data.batch_size {batch_size} and --model.micro_batches {micro_batches}: batch "
            "normalisation has a single image at a time, and one image of one pixel has no spread "
            "to normalise by. Raise --data.batch_size, lower --model.micro_batches or the number "
            "of processes, so that a part has 2 images or more; or take a network with group "
            "normalisation, as --model.generator.normalization group and the same of the "
            "discriminator, where it offers that."
        ) from error
