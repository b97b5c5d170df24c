"""Initial weights of GANs of the DCGAN family."""

from torch import nn


def initialise_gan(module: nn.Module) -> None:
    """Weights N(0, 0.02), biases 0, scales of normalisations N(1, 0.02); for `nn.Module.apply`.

    Source: Isola et al. 2017, arXiv:1611.07004, section 6.2; the scales as in its authors' code.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.InstanceNorm2d | nn.BatchNorm2d) and module.affine:
        nn.init.normal_(module.weight, 1.0, 0.02)
