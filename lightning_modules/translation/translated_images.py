"""How near the translated validation images of an epoch are to real ones."""

import torch
from torch import Tensor

from lightning_modules.distributed import gather_dealt, sum_over_processes
from metrics.distances import kernel_distance
from metrics.features import FeatureExtractor


class TranslatedImages:
    """Collects the validation images of one epoch of a CycleGAN, in every process its share.

    Args:
        extractor: Of the features in which distances are measured.
        device: Where sums are kept.
    """

    def __init__(self, extractor: FeatureExtractor, device: torch.device) -> None:
        self._extractor = extractor
        self._device = device
        self._features: dict[str, list[Tensor]] = {"real": [], "fake": []}
        self._cycle = torch.zeros(2, dtype=torch.float64, device=device)

    def add(self, real: Tensor, fake: Tensor, error: Tensor) -> None:
        """Images that have not been counted yet; there may be none of a kind.

        Args:
            real: (N, C, H, W) of the target domain, in [-1, 1].
            fake: (M, C, H, W) translated to it.
            error: (M,) mean absolute difference of each source image after there and back.
        """
        with torch.autocast(self._device.type, enabled=False):  # a metric keeps its precision
            for name, images in (("real", real), ("fake", fake)):
                if len(images):
                    self._features[name].append(self._extractor(images.float()))
        cycle = error.double()
        self._cycle += torch.stack([cycle.sum(), cycle.new_tensor(len(cycle))])

    def scores(self) -> dict[str, float]:
        """Of all processes, by the names that they are logged by: of the cycle, and the distance.

        The kernel distance needs four images of each kind and is left out of fewer.
        """
        total, count = sum_over_processes(self._cycle)
        values = {"val/cycle": float(total / count), "val/num_images": float(count)}
        width = next(iter(self._features["fake"] + self._features["real"])).shape[1]
        # In their order, since the distance is of random subsets: the same for any processes.
        real, fake = (
            gather_dealt(
                torch.cat([*self._features[name], total.new_zeros(0, width).float()])
            ).cpu()
            for name in ("real", "fake")
        )
        if min(len(real), len(fake)) >= 4:  # the unbiased estimate needs two images in a subset
            distance, deviation = kernel_distance(real, fake, num_subsets=20)
            values["val/kernel_random_vgg"] = distance
            values["val/kernel_random_vgg_deviation"] = deviation
        return values
