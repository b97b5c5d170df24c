"""The averaged generator: its weights' formula, its batch statistics, and what it refuses."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_modules import GAN, GrowingGAN
from lightning_modules.generator_average import GeneratorAverage
from networks import DCGANDiscriminator, DCGANGenerator
from networks.growth import Growth
from provenance import UserError


class Generator(nn.Module):
    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2)
        )
        self.register_buffer("stage", torch.zeros((), dtype=torch.int64))
        self.to(dtype)

    def forward(self, noise: Tensor, scale: float = 1.0) -> Tensor:
        return scale * self.layers(noise)


def step(generator: Generator, seed: int) -> None:
    """Move weights, running statistics and stage."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter += torch.randn(parameter.shape, generator=random, dtype=parameter.dtype)
        generator.stage += 1
    generator(torch.randn(8, 3, generator=random).to(generator.layers[0].weight))


def test_exact_formula_with_ramp_up() -> None:
    torch.manual_seed(0)
    generator = Generator()
    average = GeneratorAverage(generator, half_life_images=10, ramp_up=0.25)
    expected: dict[str, Tensor] = {}
    images = 0
    for seed, batch in enumerate([4, 4, 8, 100, 3]):
        step(generator, seed)
        average.update(generator, batch)
        half_life = min(10, 0.25 * images)
        keep = 0.5 ** (batch / half_life) if images else 0.0
        for name, weight in generator.named_parameters():
            old = expected.get(name, torch.zeros_like(weight))
            expected[name] = (keep * old + (1 - keep) * weight).detach()
        images += batch
    for name, weight in average.network.named_parameters():
        torch.testing.assert_close(weight, expected[name], rtol=1e-13, atol=1e-14)
        assert weight.dtype == torch.float64
    assert average.images_averaged == images == 119


def test_half_life_is_in_images_whatever_the_batch_size() -> None:
    outcomes = []
    for batch in (2, 10, 50):
        generator = Generator()
        average = GeneratorAverage(generator, half_life_images=100)
        with torch.no_grad():
            for parameter in average.network.parameters():
                parameter.zero_()
            for parameter in generator.parameters():
                parameter.fill_(1.0)
        average.images_averaged = 1_000_000  # long past the ramp
        for _ in range(100 // batch):
            average.update(generator, batch)
        outcomes.append(float(next(average.network.parameters()).flatten()[0]))
    assert outcomes == pytest.approx([0.5, 0.5, 0.5], abs=1e-12)


def test_first_batch_is_copied_whole() -> None:
    generator = Generator(torch.float32)
    average = GeneratorAverage(generator)
    step(generator, 0)
    average.update(generator, 4)
    for ours, theirs in zip(average.network.parameters(), generator.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_buffers_are_copied_and_the_generator_is_left_alone() -> None:
    """All but batch statistics: those stay what they were estimated to be."""
    generator = Generator()
    average = GeneratorAverage(generator)
    untrained = {name: value.clone() for name, value in average.network.named_buffers()}
    for seed in range(3):
        step(generator, seed)
        before = {name: value.clone() for name, value in generator.state_dict().items()}
        average.update(generator, 4)
        for name, value in generator.state_dict().items():
            assert torch.equal(value, before[name])
    for (name, ours), theirs in zip(
        average.network.named_buffers(), generator.buffers(), strict=True
    ):
        assert torch.equal(ours, theirs if name == "stage" else untrained[name])
        assert ours.data_ptr() != theirs.data_ptr()
    assert int(average.network.stage) == 3
    weights = zip(average.network.parameters(), generator.parameters(), strict=True)
    assert not any(torch.equal(ours, theirs) for ours, theirs in weights)
    assert all(p.requires_grad for p in generator.parameters())
    assert generator.training


def test_average_never_trains() -> None:
    average = GeneratorAverage(Generator())
    assert not average.train().network.layers[2].training
    assert not any(p.requires_grad for p in average.parameters())
    noise = torch.randn(8, 3, dtype=torch.float64)
    statistics = average.network.layers[1].running_mean.clone()
    assert torch.equal(average(noise), average(noise))  # no dropout
    assert torch.equal(average(noise, scale=2.0), 2 * average(noise))
    assert torch.equal(average.network.layers[1].running_mean, statistics)


def test_resumes_to_the_same_bits(tmp_path: Path) -> None:
    def train(first: int, last: int, generator: Generator, average: GeneratorAverage) -> None:
        for seed in range(first, last):
            step(generator, seed)
            average.update(generator, 16)

    torch.manual_seed(0)
    generator = Generator(torch.float32)
    average = GeneratorAverage(generator, half_life_images=200)
    torch.save(generator.state_dict(), tmp_path / "start.pt")
    train(0, 9, generator, average)

    torch.manual_seed(1)
    again = Generator(torch.float32)
    again.load_state_dict(torch.load(tmp_path / "start.pt", weights_only=True))
    cut = GeneratorAverage(again, half_life_images=200)
    train(0, 4, again, cut)
    # As a child of a module, as in a Lightning checkpoint.
    both = nn.ModuleDict({"generator": again, "average": cut})
    torch.save(both.state_dict(), tmp_path / "cut.pt")

    fresh = Generator(torch.float32)
    resumed = nn.ModuleDict(
        {"generator": fresh, "average": GeneratorAverage(fresh, half_life_images=200)}
    )
    state = torch.load(tmp_path / "cut.pt", weights_only=True)
    assert all(isinstance(value, Tensor) for value in state.values())
    resumed.load_state_dict(state)
    assert resumed["average"].images_averaged == 64
    # Dropout before the batch norm's statistics would need the random state; there is none before.
    train(4, 9, fresh, resumed["average"])
    for name, value in average.state_dict().items():
        assert torch.equal(resumed["average"].state_dict()[name], value), name


def test_missed_steps_are_noticed() -> None:
    generator = Generator()
    average = GeneratorAverage(generator)
    average.check_updated(0)
    average.update(generator, 8)
    average.check_updated(8)
    with pytest.raises(RuntimeError, match="averaged over 8 images, but the generator has seen 16"):
        average.check_updated(16)


def test_what_cannot_be_averaged_is_refused() -> None:
    average = GeneratorAverage(Generator())
    with pytest.raises(ValueError, match="are not those of the copy"):
        average.update(nn.Linear(3, 4), 8)
    with pytest.raises(ValueError, match="are not those of the copy"):
        average.update(Generator(torch.float32), 8)
    half = Generator(torch.bfloat16)
    with pytest.raises(UserError, match="bf16-mixed"):
        GeneratorAverage(half).update(half, 8)
    with pytest.raises(ValueError, match="half_life_images is 0"):
        GeneratorAverage(Generator(), half_life_images=0)


def test_tensors_that_take_the_place_of_others_are_followed() -> None:
    """A conversion, a state dict that is assigned, and a buffer that a network sets anew."""
    generator = Generator(torch.float32)
    average = GeneratorAverage(generator)
    average.update(generator, 8)
    both = nn.ModuleList([generator, average]).to(torch.float64)
    state = {name: value + 1 for name, value in generator.state_dict().items()}
    generator.load_state_dict(state, assign=True)
    generator.stage = generator.stage + 6
    expected = [
        ours.lerp(theirs, 1 - average.keep(8))
        for ours, theirs in zip(average.network.parameters(), generator.parameters(), strict=True)
    ]
    average.update(both[0], 8)
    for weight, value in zip(average.network.parameters(), expected, strict=True):
        assert torch.equal(weight, value)
    assert int(average.network.stage) == 7


def test_a_layer_that_is_added_in_training_is_refused_after_the_next_validation() -> None:
    generator = Generator()
    average = GeneratorAverage(generator)
    average.update(generator, 8)
    generator.layers.append(nn.Linear(2, 2, dtype=torch.float64))
    average.check_updated(8)
    with pytest.raises(ValueError, match="Build all of its layers before copying it"):
        average.update(generator, 8)


def test_small_steps_are_not_lost_in_float32() -> None:
    # A long half-life moves a weight by 3e-5 of the difference at a time.
    generator = Generator(torch.float32)
    average = GeneratorAverage(generator, half_life_images=100_000)
    average.images_averaged = 10**9
    with torch.no_grad():
        for ours, theirs in zip(average.network.parameters(), generator.parameters(), strict=True):
            ours.fill_(1.0)
            theirs.fill_(2.0)
    for _ in range(2500):
        average.update(generator, 40)
    assert float(next(average.network.parameters()).mean()) == pytest.approx(1.5, abs=2e-4)


# ---- batch statistics ---------------------------------------------------------------------------


def run(network: nn.Module, noise: Tensor) -> Tensor:
    return network(noise)


def trained_average(num_steps: int = 9) -> tuple[Generator, GeneratorAverage, Tensor]:
    """A generator that moved, its average, and noise (64, 3)."""
    torch.manual_seed(0)
    generator = Generator()
    average = GeneratorAverage(generator, half_life_images=100, ramp_up=0.5)
    for seed in range(num_steps):
        step(generator, seed)
        average.update(generator, 16)
    return generator, average, torch.randn(64, 3, dtype=torch.float64)


def test_statistics_are_those_of_a_forward_pass_with_the_averaged_weights() -> None:
    generator, average, noise = trained_average()
    assert average.statistics_are_stale
    average.estimate_statistics([noise], run)
    assert not average.statistics_are_stale
    features = average.network.layers[0](noise)  # of the averaged weights
    normalisation = average.network.layers[1]
    torch.testing.assert_close(normalisation.running_mean, features.mean(dim=0))
    torch.testing.assert_close(normalisation.running_var, features.var(dim=0))
    # Over batches the means of each, with as many batches as there were.
    average.estimate_statistics(noise.split(16), run)
    variances = torch.stack([part.var(dim=0) for part in features.split(16)])
    torch.testing.assert_close(normalisation.running_mean, features.mean(dim=0))
    torch.testing.assert_close(normalisation.running_var, variances.mean(dim=0))
    assert int(normalisation.num_batches_tracked) == 4
    # Layers behind a normalisation are measured behind it: its output has mean 0 and variance 1.
    normal = (normalisation(features) - normalisation.bias) / normalisation.weight
    torch.testing.assert_close(normal.mean(dim=0), torch.zeros(4, dtype=torch.float64))
    assert (normal.var(dim=0) - 1).abs().max() < 0.2
    # As it was copied before: the last weights' statistics, which are far from these.
    assert (generator.layers[1].running_mean - features.mean(dim=0)).abs().max() > 0.5


def test_an_average_of_networks_that_differ_is_not_washed_out() -> None:
    """The old failure: two networks take turns, and their average lives on the second's scale."""
    torch.manual_seed(0)
    first = Generator()
    second = copy.deepcopy(first)
    with torch.no_grad():
        second.layers[0].weight *= -0.7  # so that the average is smaller than either
    average = GeneratorAverage(first, half_life_images=50)
    average.images_averaged = 10**6
    noise = torch.randn(512, 3, dtype=torch.float64)
    for _ in range(50):
        for network in (first, second):
            network.train()(noise)
            average.update(network, 16)
    own = average.network.layers[1]
    features = average.network.layers[0](noise)

    def spread() -> float:
        return float(own(features).std(dim=0).mean())

    own.load_state_dict(second.layers[1].state_dict())  # as it was copied
    assert spread() < 0.15
    average.estimate_statistics([noise], run)
    assert spread() == pytest.approx(1, abs=0.02)


def test_only_batch_normalisation_trains_meanwhile_and_never_afterwards() -> None:
    _, average, noise = trained_average()
    modes: list[bool] = []

    def seen(network: nn.Module, batch: Tensor) -> None:
        modes.extend(module.training for module in network.modules())
        network(batch)

    state = torch.get_rng_state()
    average.estimate_statistics([noise], seen)
    assert torch.equal(torch.get_rng_state(), state)  # no dropout
    names = [type(module).__name__ for module in average.network.modules()]
    assert [name for name, mode in zip(names, modes, strict=True) if mode] == ["BatchNorm1d"]
    assert not any(module.training for module in average.network.modules())
    assert average.network.layers[1].momentum == 0.1
    average.statistics_at = None
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        average.estimate_statistics([noise[:1]], run)
    assert not any(module.training for module in average.network.modules())
    assert average.network.layers[1].momentum == 0.1
    assert average.statistics_are_stale


def test_counts_pass_through_state_dicts_and_an_earlier_version_has_one() -> None:
    generator, average, noise = trained_average(3)
    average.estimate_statistics([noise], run)
    step(generator, 7)
    average.update(generator, 16)
    other = GeneratorAverage(Generator())
    other.load_state_dict(average.state_dict())
    assert (other.images_averaged, other.statistics_at) == (64, 48)
    assert other.statistics_are_stale
    other.estimate_statistics([noise], run)
    average.load_state_dict(other.state_dict())
    assert not average.statistics_are_stale
    average.load_state_dict({**other.state_dict(), "_extra_state": torch.tensor(64)})
    assert (average.images_averaged, average.statistics_at) == (64, None)
    assert average.statistics_are_stale
    again = GeneratorAverage(Generator())
    again.load_state_dict(average.state_dict())  # unknown stays unknown
    assert again.statistics_at is None


def test_without_batch_normalisation_nothing_is_estimated() -> None:
    generator = nn.Sequential(nn.Linear(3, 4), nn.GroupNorm(2, 4))
    average = GeneratorAverage(generator)
    average.update(generator, 8)
    assert not average.statistics_are_stale


# ---- in a GAN ------------------------------------------------------------------------------------


def dcgan(seed: int = 0) -> GAN:
    torch.manual_seed(seed)
    return GAN(
        lambda size, channels: DCGANGenerator(size, channels, latent_size=6, width=2),
        lambda size, channels: DCGANDiscriminator(size, channels, width=2),
        image_size=32,
        average_half_life_images=50,
    ).eval()


def moved(module: GAN, num_steps: int = 12) -> GAN:
    """Its generator moves as if it were trained, its average with it."""
    for index in range(num_steps):
        with torch.no_grad():
            for weight in module.generator.parameters():
                source = torch.Generator().manual_seed(index)
                weight += 0.1 * torch.randn(weight.shape, generator=source)
            module.generator.train()(module.latent_rows(list(range(16))))
        module.averaged.update(module.generator, 16)
        module.images_seen += 16
    return module


def statistics(network: nn.Module) -> dict[str, Tensor]:
    return {n: b.clone() for n, b in network.named_buffers() if "running" in n}


def largest_difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def test_images_and_checkpoints_have_statistics_of_the_averaged_weights() -> None:
    module = moved(dcgan())
    before = {name: value.clone() for name, value in module.generator.state_dict().items()}
    state = {name: value.clone() for name, value in module.state_dict().items()}
    for name, value in before.items():  # the one in training is not touched
        assert torch.equal(module.generator.state_dict()[name], value), name
    own = statistics(module.averaged.network)
    assert largest_difference(own, statistics(module.generator)) > 0.1

    # An independent pass with other noise: torch's own, which trains all layers.
    averaged = module.averaged.network
    reference = DCGANGenerator(32, 1, latent_size=6, width=2)
    reference.load_state_dict(averaged.state_dict())
    noise = torch.randn(4096, 6, generator=torch.Generator().manual_seed(5))
    torch.optim.swa_utils.update_bn([*noise.split(256)], reference)
    for name, value in statistics(reference).items():
        torch.testing.assert_close(own[name], value, rtol=0.1, atol=0.03)

    other = dcgan(1)
    other.load_state_dict(state)
    assert not other.averaged.statistics_are_stale
    seeds = [3, 4, 5]
    images = other.synthesise(seeds)
    expected = reference.eval()(other.latent_rows(seeds))[0]
    assert (images - expected).abs().max() < 0.1
    reference.load_state_dict({**reference.state_dict(), **statistics(module.generator)})
    assert (images - reference(other.latent_rows(seeds))[0]).abs().max() > 0.3  # as it was
    assert torch.equal(images, module.synthesise(seeds))
    assert torch.equal(images[1:2], other.synthesise([4]))  # still of its seed alone


def test_statistics_are_a_function_of_weights_and_seed() -> None:
    module, again = moved(dcgan()), moved(dcgan())
    torch.manual_seed(99)  # whatever the global state is
    one, other = (statistics(m.averaged_generator()) for m in (module, again))
    assert largest_difference(one, other) == 0
    again.seed = 1
    again.averaged.statistics_at = None
    assert 0 < largest_difference(one, statistics(again.averaged_generator())) < 0.3


class Growing(nn.Module):
    """As many layers as the resolution has doublings from 4 pixels."""

    def __init__(self, image_size: int, image_channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.BatchNorm2d(image_channels) for _ in range(3))

    def draw_latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(count, 16, generator=generator)

    def forward(self, latent: Tensor, growth: Growth | None = None) -> list[Tensor]:
        assert growth is not None
        image = latent.reshape(-1, 1, 4, 4)
        for layer in self.layers[: (growth.resolution // 4).bit_length() - 1]:
            image = layer(3 + image.repeat_interleave(2, 2).repeat_interleave(2, 3))
        return [image]


def test_a_growing_generator_is_measured_where_it_stands() -> None:
    module = GrowingGAN(generator=Growing, discriminator=ScoresNothing, image_size=32)
    module.growth = Growth(16)
    module.averaged.update(module.generator, 8)
    module.averaged_generator()
    own = statistics(module.averaged.network)
    means = [float(own[f"layers.{level}.running_mean"]) for level in range(3)]
    # The second sees a mean of 0 again, plus 3; the third is not there yet.
    assert means == [pytest.approx(3, abs=0.05), pytest.approx(3, abs=1e-5), 0]
    assert module.synthesise([1]).shape == (1, 1, 32, 32)


class ScoresNothing(nn.Module):
    def __init__(self, image_size: int, image_channels: int) -> None:
        super().__init__()


def test_what_an_earlier_version_saved_is_corrected_on_its_first_image() -> None:
    module = moved(dcgan())
    state = module.state_dict()
    right = statistics(module.averaged.network)
    old: dict[str, Any] = dict(state)
    for name, value in statistics(module.generator).items():
        old[f"averaged.network.{name}"] = value
    old["averaged._extra_state"] = torch.tensor(module.images_seen)
    opened = dcgan(1)
    opened.load_state_dict(old)
    assert opened.averaged.statistics_are_stale
    assert torch.equal(opened.synthesise([1]), module.synthesise([1]))
    assert largest_difference(statistics(opened.averaged.network), right) == 0
