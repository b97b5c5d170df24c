"""A pool of generated images from earlier steps, for a discriminator to see beside the newest."""

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """Keeps images, and gives one of them back for every second new one.

    While it fills, every image is kept and given back. Then an image is given back as it is, or, in
    half of the cases, put into the place of one that is drawn, which is given back instead.

    It has no counter and no random state: how many images it holds follows from how many have come,
    and each image's draws from a seed of its own. In the checkpoint are the images. With all
    images of a global batch given to every process, all of them hold the same pool.

    Args:
        size: Images that it holds; 0 keeps none and gives every image back as it is.
        channels: Of an image, with the condition beside it.
        image_size: Height and width in pixels.

    Source: Shrivastava et al. 2017, arXiv:1612.07828, as in the code of arXiv:1703.10593.
    """

    images: Tensor

    def __init__(self, size: int, channels: int, image_size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.zeros(size, channels, image_size, image_size))

    @torch.no_grad()
    def exchange(self, new: Tensor, images_before: int, seeds: list[int]) -> Tensor:
        """Put images in, one after the other, and get as many out.

        Args:
            new: (N, C, H, W), of all processes, in the order of the global batch.
            images_before: How many images came before these, since training began.
            seeds: N, one for each image.

        Returns:
            (N, C, H, W) in the precision of `new`.
        """
        if self.size == 0:
            return new
        shown = []
        for offset, (image, seed) in enumerate(zip(new, seeds, strict=True)):
            place = images_before + offset
            if place < self.size:
                self.images[place] = image
                shown.append(image)
                continue
            source = torch.Generator().manual_seed(seed)
            if torch.rand((), generator=source) < 0.5:
                shown.append(image)
                continue
            place = int(torch.randint(self.size, (), generator=source))
            shown.append(self.images[place].to(new.dtype, copy=True))
            self.images[place] = image
        return torch.stack(shown)
