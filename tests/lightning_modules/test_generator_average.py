from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.generator_average import GeneratorAverage
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
    generator = Generator()
    average = GeneratorAverage(generator)
    for seed in range(3):
        step(generator, seed)
        before = {name: value.clone() for name, value in generator.state_dict().items()}
        average.update(generator, 4)
        for name, value in generator.state_dict().items():
            assert torch.equal(value, before[name])
    for ours, theirs in zip(average.network.buffers(), generator.buffers(), strict=True):
        assert torch.equal(ours, theirs)
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
