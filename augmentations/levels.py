"""Changes of the meaning of grey levels: inversion, equalisation, fewer levels, mixed channels.

None of them keeps what a radiologist reads from a grey value, and MedAugment (arXiv:2306.17466)
leaves inversion, equalisation, solarisation and posterisation out for that reason.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transform

from augmentations.operation import Draws, GreyValues, Images, Parameters, Size, setting

_DENSITIES = "Grey values are no longer densities, and their order in the image changes."


@dataclass(frozen=True, kw_only=True)
class Inversion(GreyValues):
    """Black becomes white.

    It breaks meaning: bone is bright and air is dark in all prepared images (MONOCHROME1 is turned
    to MONOCHROME2), and a negative shows air as bone.
    """

    probability: float = setting(0.5, 0, 1)

    source = "Kim and Bae 2020 (named beside Fig. 1)"
    library = "torchvision invert"
    breaks_meaning = (
        "Bone is bright and air is dark in every prepared film (MONOCHROME1 is converted to "
        "MONOCHROME2); a negative never occurs."
    )
    graded = False

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        return {}

    def change(self, image: Tensor, parameters: Parameters) -> Tensor:
        """See `GreyValues`."""
        return transform.invert((image + 1) / 2) * 2 - 1


@dataclass(frozen=True, kw_only=True)
class ChannelShuffle(GreyValues):
    """Channels of a colour image change places. It is not defined for grey images."""

    probability: float = setting(0.5, 0, 1)

    source = "Kim and Bae 2020 (named beside Fig. 1)"
    library = "torchvision permute_channels"
    breaks_meaning = "Colours are stains and tissues: blue nuclei become red."
    graded = False

    def undefined_for(self, images: Images) -> str | None:
        """See `Operation`."""
        if images.channels < 2:
            return "changes the order of channels, and grey images have one channel, in one order"
        if images.channels != 3:
            return "changes the order of colours, and these channels are scans, each in its place"
        return None

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`; never the order that there is."""
        return {"order": [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]][draws.whole(0, 4)]}

    def change(self, image: Tensor, parameters: Parameters) -> Tensor:
        """See `GreyValues`."""
        return transform.permute_channels(image, parameters["order"])


@dataclass(frozen=True, kw_only=True)
class Saturation(GreyValues):
    """Differences of colours from grey times a factor; grey images do not change.

    Args:
        max_change: The factor is 1 +- up to this.
    """

    max_change: float = setting(0.5, 0, 1)

    source = "Müller and Hutter 2021, arXiv:2103.10158"
    library = "torchvision adjust_saturation"
    breaks_meaning = "Colours are stains and tissues."

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        return {"factor": 1 + draws.signed() * self.max_change}

    def change(self, image: Tensor, parameters: Parameters) -> Tensor:
        """See `GreyValues`."""
        if len(image) != 3:
            return image
        return transform.adjust_saturation((image + 1) / 2, parameters["factor"]) * 2 - 1


@dataclass(frozen=True, kw_only=True)
class Clahe(GreyValues):
    """Contrast limited adaptive histogram equalisation, blended with the image.

    Args:
        clip_limit: Of a tile's histogram, as scikit-image counts it: higher gives more contrast.
        tiles: Along each side.
        max_share: Of the equalised image in the blend, at most.
    """

    clip_limit: float = setting(0.01, 0.0001, 1)
    tiles: int = setting(8, 1, 64)
    max_share: float = setting(1.0, 0, 1)

    source = "Zuiderveld 1994; Kim and Bae 2020 (named beside Fig. 1)"
    library = "scikit-image equalize_adapthist"
    breaks_meaning = _DENSITIES + " Two sides of one organ may differ in brightness."

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        return {"share": draws.share() * self.max_share}

    def change(self, image: Tensor, parameters: Parameters) -> Tensor:
        """See `GreyValues`; each channel by itself, on the CPU; a constant one stays."""
        from skimage.exposure import equalize_adapthist

        height, width = image.shape[-2:]
        tile = (max(1, height // self.tiles), max(1, width // self.tiles))
        equalised = image.clone()
        for place, channel in enumerate(image.cpu().double().numpy()):
            if channel.min() < channel.max():
                found = equalize_adapthist((channel + 1) / 2, tile, self.clip_limit)
                equalised[place] = torch.from_numpy(found * 2 - 1).to(image)
        return image + parameters["share"] * (equalised - image)


@dataclass(frozen=True, kw_only=True)
class Solarisation(GreyValues):
    """Grey values above a threshold are inverted. It breaks meaning as inversion does, for these.

    Args:
        min_threshold: Lowest, in [0, 1] from black to white.
    """

    min_threshold: float = setting(0.5, 0, 1)

    source = "Müller and Hutter 2021, arXiv:2103.10158"
    library = "torchvision solarize"
    breaks_meaning = _DENSITIES + " Even at the smallest strength white turns black."

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        return {"threshold": 1 - draws.share() * (1 - self.min_threshold)}

    def change(self, image: Tensor, parameters: Parameters) -> Tensor:
        """See `GreyValues`."""
        return transform.solarize((image + 1) / 2, parameters["threshold"]) * 2 - 1


@dataclass(frozen=True, kw_only=True)
class Posterisation(GreyValues):
    """Fewer grey levels, visible as bands. It breaks the meaning of faint differences.

    Args:
        min_bits: Fewest bits of a grey value that are left; 8 leave an 8-bit image as it is.
    """

    min_bits: int = setting(4, 1, 8)

    source = "Müller and Hutter 2021, arXiv:2103.10158"
    library = "torchvision posterize"
    breaks_meaning = "Bands appear, and differences between similar grey values are lost."

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        return {"bits": round(8 - draws.share() * (8 - self.min_bits))}

    def change(self, image: Tensor, parameters: Parameters) -> Tensor:
        """See `GreyValues`; of 8-bit levels."""
        if parameters["bits"] == 8:
            return image
        return transform.posterize(_levels(image), parameters["bits"]).to(image) / 127.5 - 1


@dataclass(frozen=True, kw_only=True)
class AutoContrast(GreyValues):
    """The image's darkest value becomes black, its brightest white."""

    probability: float = setting(0.5, 0, 1)

    source = "Müller and Hutter 2021, arXiv:2103.10158"
    library = "torchvision autocontrast"
    of_grey_or_colour = True
    breaks_meaning = "The window differs from image to image, so grey values are not densities."
    graded = False

    def parameters(self, draws: Draws, size: Size) -> Parameters:
        """See `Operation`."""
        return {}

    def change(self, image: Tensor, parameters: Parameters) -> Tensor:
        """See `GreyValues`."""
        return transform.autocontrast((image + 1) / 2) * 2 - 1


@dataclass(frozen=True, kw_only=True)
class Equalisation(AutoContrast):
    """All grey levels become equally frequent. It breaks meaning: grey values become ranks."""

    library = "torchvision equalize"
    breaks_meaning = "A grey value gives the share of darker pixels, not a density: air turns grey."

    def change(self, image: Tensor, parameters: Parameters) -> Tensor:
        """See `GreyValues`; of 8-bit levels."""
        return transform.equalize(_levels(image)).to(image) / 127.5 - 1


def _levels(image: Tensor) -> Tensor:
    """(C, H, W) in [-1, 1] to uint8."""
    return ((image + 1) * 127.5).round().to(torch.uint8)
