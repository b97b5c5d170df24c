"""What is optimised against what: Lightning modules of GANs, segmenters and classifiers."""

from lightning_modules.pix2pix import Pix2Pix
from lightning_modules.segmenter import Segmenter

__all__ = ["Pix2Pix", "Segmenter"]
