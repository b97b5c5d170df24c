"""Networks: pure modules without training code or file access."""

from networks.fpn import FeaturePyramid
from networks.patch_discriminator import MultiScalePatchDiscriminator, PatchDiscriminator
from networks.pix2pix import Pix2PixGenerator
from networks.unet import UNet

__all__ = [
    "FeaturePyramid",
    "MultiScalePatchDiscriminator",
    "PatchDiscriminator",
    "Pix2PixGenerator",
    "UNet",
]
