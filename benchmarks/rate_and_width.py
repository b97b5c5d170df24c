"""How far does a learning rate move a wide network, compared with a narrow one?

python benchmarks/rate_and_width.py [--size 32] [--batch 8] [--steps 5] [--rate 0.0001] [--seeds 2]

Adam moves every stored weight by about the learning rate at each step. A layer sums the moves of
all its inputs, so one rate changes the outputs of a wide layer more. Both networks of the
multi-scale GAN make a few steps with RA-hinge, on smooth noise with the contrast of films, at a
narrow setting (16 to 128 channels) and at a wide one (512). Printed is how far images and logits
moved, at fixed latents and images, and the rate at which the wide networks would move as far as
the narrow ones do at 0.01. Small moves are proportional to the rate.
"""

import argparse
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from losses.unconditional import discriminator_loss, generator_loss
from networks import MultiScaleDiscriminator, MultiScaleGenerator
from networks.pyramid import image_pyramid

# Width and largest number of channels of both networks.
SETTINGS: dict[str, tuple[int, int | None]] = {"narrow": (16, 128), "wide": (512, None)}
TUNED_RATE = 0.01


def moved(
    width: int, max_channels: int | None, size: int, batch: int, steps: int, rate: float, seed: int
) -> tuple[float, float]:
    """Root mean square moves of images and of logits after some steps from the initial weights.

    Args:
        width: Of both networks.
        max_channels: Of both networks.
        size: Side of the images in pixels.
        batch: Images of a step.
        steps: Of either network.
        rate: Of Adam.
        seed: Of weights, latents and images.

    Returns:
        Of images, and of logits (in units of their scores).
    """
    torch.manual_seed(seed)
    generator = MultiScaleGenerator(size, 1, 64, width, max_channels=max_channels)
    discriminator = MultiScaleDiscriminator(size, 1, width, max_channels=max_channels)
    adams = [
        torch.optim.Adam(net.parameters(), rate, (0.0, 0.99)) for net in (generator, discriminator)
    ]
    source = torch.Generator().manual_seed(seed + 1)

    def films() -> list[Tensor]:
        coarse = torch.randn(batch, 1, size // 4, size // 4, generator=source)
        smooth = F.interpolate(0.6 * coarse, scale_factor=4.0, mode="bilinear")
        return image_pyramid(smooth, len(generator.to_images))

    fixed_latent, fixed_films = generator.draw_latent(batch, source), films()

    @torch.no_grad()
    def outputs() -> tuple[Tensor, Tensor]:
        return generator(fixed_latent)[0], discriminator(fixed_films)[0]

    before = outputs()
    for _ in range(steps):
        reals, fakes = films(), generator(generator.draw_latent(batch, source))
        made = discriminator([fake.detach() for fake in fakes])
        loss = discriminator_loss(discriminator(reals), made, "ra_hinge")
        adams[1].zero_grad()
        loss.backward()
        adams[1].step()
        with torch.no_grad():
            real_logits = discriminator(reals)
        adams[0].zero_grad()
        generator_loss(discriminator(fakes), "ra_hinge", real_logits).backward()
        adams[0].step()
    after = outputs()
    first, second = (
        float((new - old).square().mean().sqrt()) for new, old in zip(after, before, strict=True)
    )
    return first, second


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    print("| seed | setting | images moved | logits moved | rate that moves as far as 0.01 |")
    print("|---|---|---|---|---|")
    for seed in range(options.seeds):
        found = {}
        for name, channels in SETTINGS.items():
            found[name] = moved(
                *channels,
                options.size,
                options.batch,
                options.steps,
                options.rate,
                seed,
            )
            rates = [
                TUNED_RATE * one / other
                for one, other in zip(found["narrow"], found[name], strict=True)
            ]
            print(
                f"| {seed} | {name} | {found[name][0]:.2e} | {found[name][1]:.2e} | "
                f"images {rates[0]:.4f}, logits {rates[1]:.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
