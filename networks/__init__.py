"""Networks: pure modules without training code or file access."""

from networks.dcgan import DCGANDiscriminator, DCGANGenerator
from networks.fpn import FeaturePyramid
from networks.libraries.network import LibraryNetwork
from networks.patch_discriminator import MultiScalePatchDiscriminator, PatchDiscriminator
from networks.pggan import PGGANDiscriminator, PGGANGenerator
from networks.pix2pix import Pix2PixGenerator
from networks.se_msg_pggan import MultiScaleDiscriminator, MultiScaleGenerator
from networks.stylegan import StyleGANDiscriminator, StyleGANGenerator
from networks.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator
from networks.torchvision_classifiers import AlexNet, ResNet
from networks.translation.resnet_generator import ResNetGenerator
from networks.unet import UNet
from networks.vgg import VGG16

__all__ = [
    "VGG16",
    "AlexNet",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "FeaturePyramid",
    "LibraryNetwork",
    "MultiScaleDiscriminator",
    "MultiScaleGenerator",
    "MultiScalePatchDiscriminator",
    "PGGANDiscriminator",
    "PGGANGenerator",
    "PatchDiscriminator",
    "Pix2PixGenerator",
    "ResNet",
    "ResNetGenerator",
    "StyleGAN2Discriminator",
    "StyleGAN2Generator",
    "StyleGANDiscriminator",
    "StyleGANGenerator",
    "UNet",
]
