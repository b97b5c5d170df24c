"""A small StyleGAN2 generator in float64, and draws from seeds."""

import torch
from torch import Tensor

from networks.stylegan2 import StyleGAN2Generator


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def small_generator(size: int = 16, channels: int = 1, noisy: bool = True) -> StyleGAN2Generator:
    """float64, in evaluation mode, with noise strengths and an average style away from 0."""
    torch.manual_seed(0)
    network = StyleGAN2Generator(size, channels, style_size=6, width=8, mapping_layers=2).double()
    for name, parameter in network.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(parameter, 0.5 if noisy else 0.0)
        elif name.endswith("bias"):
            parameter.data += 0.1 * torch.randn_like(parameter)
    network.average_style.normal_(generator=seeded(9))
    return network.eval()


def rows(network: StyleGAN2Generator, count: int, seed: int = 0) -> Tensor:
    return network.draw_latent(count, seeded(seed)).double()
