"""What the images of a mixed batch are made of, and what becomes of their labels and masks.

Drawing a mixture (`augmentations.mixing`) is apart from applying it, so that it can be replayed bit
for bit on images, targets and masks.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

GROUP = 4
"""Images that follow one another in a batch and are mixed with one another alone: see `partners`.

A batch is in random order, so whom an image meets is random too. Since the groups do not depend on
where the batch is cut, processes with a multiple of so many images each mix what one process with
the whole batch would.
"""


def partners(count: int, group: int = GROUP) -> Tensor:
    """Rows that each image is mixed with: itself, then those that follow it in its group.

    Args:
        count: N, images of this process's share of the batch.
        group: Images in a group; the last one is shorter where it does not divide N, and a single
            image that is left joins the group before it.

    Returns:
        (N, group) int64; column 0 is 0..N-1. In a group of fewer images the columns begin again.
    """
    rows = torch.arange(count)
    groups = max(1, (count + group - 2) // group)
    of_group = (rows // group).clamp(max=groups - 1)
    start = of_group * group
    size = torch.where(of_group == groups - 1, count - start, group)
    return start[:, None] + ((rows - start)[:, None] + torch.arange(group)) % size[:, None]


def shares_of(labels: Tensor, num_classes: int) -> Tensor:
    """(N,) int64 labels, or (N, K) shares as they are, as (N, num_classes) float32 shares."""
    if labels.dim() == 2:
        return labels
    return torch.nn.functional.one_hot(labels, num_classes).float()


@dataclass(frozen=True)
class Blend:
    """Every pixel of an image is the same weighted mean over its sources.

    A mean of label maps is none, so there is no `masks`.

    Attributes:
        sources: (N, M) int64 rows of the batch.
        shares: (N, M) float32 >= 0, rows sum to 1.
    """

    sources: Tensor
    shares: Tensor

    def images(self, images: Tensor) -> Tensor:
        """(N, C, H, W) floating point to the same, mixed."""
        return self._mean(images)

    def targets(self, targets: Tensor) -> Tensor:
        """(N, K) class shares to the same, mixed."""
        return self._mean(targets)

    def _mean(self, values: Tensor) -> Tensor:
        sources, shares = self.sources.to(values.device), self.shares.to(values)
        mixed = torch.zeros_like(values)
        for each in range(sources.shape[1]):
            weights = shares[:, each].view(-1, *[1] * (values.dim() - 1))
            mixed.addcmul_(values[sources[:, each]], weights)
        return mixed


@dataclass(frozen=True)
class Patchwork:
    """Every pixel of an image is one pixel of one of its sources, so masks follow it.

    Attributes:
        sources: (N, M) int64 rows of the batch.
        parts: (N, H, W) uint8 which source each pixel is from, 0..M-1.
        shifts: (N, M, 2) int64 pixels by which the source is moved down and to the right; what
            leaves on one side enters on the other.
    """

    sources: Tensor
    parts: Tensor
    shifts: Tensor

    @property
    def shares(self) -> Tensor:
        """(N, M) float32 of each source in the image's area; rows sum to 1."""
        counts = [(self.parts == each).sum(dim=(1, 2)) for each in range(self.sources.shape[1])]
        return torch.stack(counts, dim=1).float() / self.parts[0].numel()

    def images(self, images: Tensor) -> Tensor:
        """(N, C, H, W) of any type to the same, mixed: values are copied, never computed."""
        return self._put_together(images, self.parts.to(images.device)[:, None])

    def masks(self, masks: Tensor) -> Tensor:
        """(N, H, W) labels to the same, mixed: each pixel keeps the label it had in its source."""
        return self._put_together(masks, self.parts.to(masks.device))

    def targets(self, targets: Tensor) -> Tensor:
        """(N, K) class shares to the same, mixed by area."""
        return Blend(self.sources, self.shares).targets(targets)

    def _put_together(self, values: Tensor, parts: Tensor) -> Tensor:
        """Pixels (N, ..., H, W) of the sources, by `parts`, which fit in shape."""
        sources = self.sources.to(values.device)
        shifts = self.shifts.tolist()
        mixed = values
        for each in range(sources.shape[1]):
            source = values[sources[:, each]]
            for row, shift in enumerate(shifts):
                if shift[each] != [0, 0]:
                    source[row] = source[row].roll(shift[each], dims=(-2, -1))
            mixed = source if each == 0 else torch.where(parts == each, source, mixed)
        return mixed
