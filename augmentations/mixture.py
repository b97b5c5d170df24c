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
        weights = self.shares.to(values)[(...,) + (None,) * (values.dim() - 1)]
        return (values[self.sources.to(values.device)] * weights).sum(dim=1)


@dataclass(frozen=True)
class Patchwork:
    """Every pixel of an image is one pixel of one of its sources, so masks follow it.

    Attributes:
        sources: (N, M) int64 rows of the batch.
        parts: (N, H, W) int64 which source each pixel is from, 0..M-1.
        shifts: (N, M, 2) int64 pixels by which the source is moved down and to the right; what
            leaves on one side enters on the other.
    """

    sources: Tensor
    parts: Tensor
    shifts: Tensor

    @property
    def shares(self) -> Tensor:
        """(N, M) float32 of each source in the image's area; rows sum to 1."""
        counts = torch.nn.functional.one_hot(self.parts.flatten(1), self.sources.shape[1]).sum(1)
        return counts.float() / self.parts[0].numel()

    def images(self, images: Tensor) -> Tensor:
        """(N, C, H, W) of any type to the same, mixed: values are copied, never computed."""
        picked: Tensor = images.movedim(1, -1)[self._origin(images.device)].movedim(-1, 1)
        return picked.contiguous()

    def masks(self, masks: Tensor) -> Tensor:
        """(N, H, W) labels to the same, mixed: each pixel keeps the label it had in its source."""
        picked: Tensor = masks[self._origin(masks.device)]
        return picked

    def targets(self, targets: Tensor) -> Tensor:
        """(N, K) class shares to the same, mixed by area."""
        return Blend(self.sources, self.shares).targets(targets)

    def _origin(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Image, row and column that each pixel is from, each (N, H, W)."""
        count, height, width = self.parts.shape
        parts = self.parts.to(device).flatten(1)
        source = self.sources.to(device).gather(1, parts).view(count, height, width)
        down, right = (
            each.gather(1, parts).view(count, height, width)
            for each in self.shifts.to(device).unbind(-1)
        )
        rows = (torch.arange(height, device=device)[:, None] - down) % height
        columns = (torch.arange(width, device=device) - right) % width
        return source, rows, columns
