"""What is optimised against what: Lightning modules of GANs, segmenters and classifiers."""

from lightning_modules.classification.findings_classifier import FindingsClassifier
from lightning_modules.classifier import Classifier
from lightning_modules.conditional.lesion_infilling import LesionInfilling
from lightning_modules.gan import GAN
from lightning_modules.growing_gan import GrowingGAN
from lightning_modules.pix2pix import Pix2Pix
from lightning_modules.segmenter import Segmenter
from lightning_modules.translation.cyclegan import CycleGAN

__all__ = [
    "GAN",
    "Classifier",
    "CycleGAN",
    "FindingsClassifier",
    "GrowingGAN",
    "LesionInfilling",
    "Pix2Pix",
    "Segmenter",
]
