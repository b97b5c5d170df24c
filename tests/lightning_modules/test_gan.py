"""One training step of a GAN: which network moves by what, and what is refused, kept and told."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from datamodules import ChestXrayDataModule
from lightning_modules import GAN
from lightning_modules.gan_settings import Augmentation, Penalties
from networks import (
    MultiScaleDiscriminator,
    MultiScaleGenerator,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
)
from provenance import UserError
from tests.training_runs import cpu_trainer


@pytest.fixture
def films(film_cache: Callable[..., Path], tmp_path: Path) -> Path:
    return film_cache(tmp_path / "films")


def multi_scale(**settings: Any) -> GAN:
    torch.manual_seed(0)
    return GAN(
        generator=partial(MultiScaleGenerator, latent_size=4, width=8),
        discriminator=partial(MultiScaleDiscriminator, width=8),
        image_size=16,
        **settings,
    )


def style(**settings: Any) -> GAN:
    torch.manual_seed(0)
    return GAN(
        generator=partial(StyleGAN2Generator, style_size=4, width=8, mapping_layers=1),
        discriminator=partial(StyleGAN2Discriminator, width=8),
        image_size=16,
        loss="non_saturating",
        **settings,
    )


def fit(module: GAN, films: Path, steps: int = 2, **trainer: Any) -> L.Trainer:
    settings: dict[str, Any] = {"precision": "64-true", "log_every_n_steps": 1, **trainer}
    runner = cpu_trainer(steps, **settings)
    data = ChestXrayDataModule(
        str(films), batch_size=8, images_per_epoch=8 * steps, resolution=module.image_size
    )
    runner.fit(module, datamodule=data)
    return runner


def largest_difference(one: torch.nn.Module, other: torch.nn.Module) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs)


@pytest.mark.parametrize("loss", ["wgan_gp", "hinge"])
def test_micro_batches_do_not_change_the_result(loss: Any, films: Path) -> None:
    """Of 4 images: the groups of minibatch deviation are those of the whole batch."""
    settings: dict[str, Any] = {
        "loss": loss,
        "penalties": Penalties(r1=1.0, r1_every=2, drift=0.1),
        "augmentation": Augmentation(probability=0.5),
    }
    whole, cut = multi_scale(**settings), multi_scale(**settings, micro_batches=2)
    fit(whole, films)
    fit(cut, films)
    assert largest_difference(whole, cut) < 1e-10
    assert largest_difference(whole, multi_scale()) > 1e-4
    assert whole.reported == pytest.approx(cut.reported, rel=1e-6)


def test_micro_batches_are_refused_where_the_whole_batch_is_compared() -> None:
    for make in (multi_scale, partial(style, penalties=Penalties(path_length=2.0))):
        with pytest.raises(UserError, match=r"micro_batches 2: .*whole batch"):
            make(micro_batches=2)


def test_each_optimiser_moves_its_own_network(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A learning rate of 0 for one of them: that network stands still."""
    for still, moves in ((0, 1), (1, 0)):
        module = multi_scale()
        begin = GAN.begin_step

        def begin_with_one_rate(self: GAN, still: int = still, begin: Any = begin) -> None:
            begin(self)
            self._optimizer_list()[still].param_groups[0]["lr"] = 0.0

        with monkeypatch.context() as patch:
            patch.setattr(GAN, "begin_step", begin_with_one_rate)
            fit(module, films, steps=1)
        networks = (module.generator, module.discriminator)
        start = multi_scale()
        before = (start.generator, start.discriminator)
        assert largest_difference(networks[still], before[still]) == 0
        assert largest_difference(networks[moves], before[moves]) > 1e-5


def test_discriminator_may_learn_at_a_rate_of_its_own(films: Path) -> None:
    """Adam's first step is as long as its rate, whatever the gradient."""
    module, start = multi_scale(discriminator_learning_rate=1e-4), multi_scale()
    fit(module, films, steps=1)
    assert largest_difference(module.generator, start.generator) == pytest.approx(1e-3, rel=1e-3)
    steps = largest_difference(module.discriminator, start.discriminator)
    assert steps == pytest.approx(1e-4, rel=1e-3)
    assert [o.param_groups[0]["lr"] for o in module._optimizer_list()] == pytest.approx(
        [1e-3, 1e-4]
    )


def test_discriminator_trains_on_after_a_step_that_failed(
    films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = multi_scale()

    def fail(*_: Any, **__: Any) -> Tensor:
        assert not any(p.requires_grad for p in module.discriminator.parameters())
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("lightning_modules.gan_losses.generator_loss", fail)
    with pytest.raises(torch.OutOfMemoryError):
        fit(module, films, steps=1)
    assert all(p.requires_grad for p in module.discriminator.parameters())


def test_lazy_r1_weighs_as_many_times_more_where_it_is_due(films: Path) -> None:
    lazy, heavy = (
        multi_scale(penalties=Penalties(r1=r1, r1_every=every)) for r1, every in ((2, 4), (8, 1))
    )
    fit(lazy, films, steps=1)
    fit(heavy, films, steps=1)
    assert largest_difference(lazy, heavy) < 1e-12
    # What is reported is the term itself, whatever the interval.
    assert lazy.reported["train/r1"] == pytest.approx(heavy.reported["train/r1"] / 4)


def test_lazy_terms_are_reported_though_no_report_falls_on_their_steps(films: Path) -> None:
    """Reports come at steps 1 and 3, the terms at 0 and 2."""
    module = style(penalties=Penalties(r1=1.0, r1_every=2, path_length=2.0, path_length_every=2))
    fit(module, films, steps=4, log_every_n_steps=2)
    assert module.reported["train/r1"] > 0
    assert module.reported["train/path_length"] > 0
    assert module.reported["train/path_length"] == float(module.last_path_length)


def test_gradient_norms_are_reported_before_clipping(
    films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: list[float] = []
    step = torch.optim.Adam.step

    def recording(self: torch.optim.Adam, closure: Any = None) -> Any:
        closure and closure()
        gradients = [p.grad.flatten() for group in self.param_groups for p in group["params"]]
        norms.append(float(torch.cat(gradients).norm()))
        return step(self)

    monkeypatch.setattr(torch.optim.Adam, "step", recording)
    module, clipped = multi_scale(), multi_scale(gradient_clip_norm=1e-3)
    fit(module, films, steps=1)
    fit(clipped, films, steps=1)
    names = ("train/gradient_norm_discriminator", "train/gradient_norm_generator")
    assert [module.reported[name] for name in names] == pytest.approx(norms[:2])
    assert norms[2:] == pytest.approx([1e-3, 1e-3], rel=1e-3)
    assert clipped.reported[names[0]] == pytest.approx(norms[0])


@pytest.mark.parametrize(("score", "expected"), [(5.0, 0.5 + 32 / 100), (-5.0, 0.5 - 32 / 100)])
def test_adaptive_probability_follows_the_signs_of_four_steps(
    score: float, expected: float, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = MultiScaleDiscriminator.forward

    def certain(self: MultiScaleDiscriminator, images: Any, growth: Any = None) -> list[Tensor]:
        return [logits * 0 + score for logits in forward(self, images, growth)]

    monkeypatch.setattr(MultiScaleDiscriminator, "forward", certain)
    adaptive = Augmentation(probability=0.5, adaptive=True, ramp_images=100)
    module = multi_scale(augmentation=adaptive)
    fit(module, films, steps=5)
    assert module.augmentation.probability == pytest.approx(expected)
    assert module.reported["train/augmentation_probability"] == pytest.approx(expected)
    assert float(module.real_signs) == (1 if score > 0 else -1)  # of the fifth step


def test_nothing_is_drawn_that_is_not_used() -> None:
    assert multi_scale()._drawn(range(2)) == {}
    assert set(multi_scale(loss="wgan_gp")._drawn(range(2))) == {"between"}


def test_draws_of_an_image_depend_on_its_place_and_not_on_the_share() -> None:
    module = multi_scale(loss="wgan_gp", augmentation=Augmentation(probability=0.5))
    together, alone = module._drawn(range(8)), module._drawn(range(4, 8))
    for what, rows in together.items():
        assert torch.equal(rows[4:], alone[what])
        assert len(rows.unique(dim=0)) == 8
    assert not torch.equal(together["augment_real"], together["augment_fake"])
    module.rollbacks = 1
    assert not torch.equal(module._drawn(range(8))["between"], together["between"])


def test_average_has_the_buffers_of_the_generator(films: Path) -> None:
    module = style()
    fit(module, films, steps=2)
    assert module.averaged.images_averaged == module.images_seen == 16
    assert module.generator.average_style.abs().max() > 0
    assert torch.equal(module.averaged.network.average_style, module.generator.average_style)
    assert largest_difference(module.averaged.network, module.generator) > 0
    assert not any(p.requires_grad for p in module.averaged.parameters())


@pytest.mark.parametrize("make", [partial(multi_scale, loss="wgan_gp"), style])
def test_bfloat16_trains_with_penalties_in_float32(make: Any, films: Path) -> None:
    kinds = set()
    penalties = Penalties(
        r1=1.0, path_length=2.0 if make is style else 0.0, path_length_every=1, drift=0.1
    )
    module = make(penalties=penalties, augmentation=Augmentation(probability=0.5))
    terms = module.regularisation.discriminator_terms

    def recording(*arguments: Any) -> Any:
        for name, term, times in terms(*arguments):
            kinds.add(term.dtype)
            yield name, term, times

    module.regularisation.discriminator_terms = recording
    fit(module, films, precision="bf16-mixed")
    assert kinds == {torch.float32}
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in module.parameters())
    assert all(value == value for value in module.reported.values())
    assert module.synthesise([0]).dtype == torch.float32


def test_image_depends_on_its_own_seed_only() -> None:
    module = multi_scale()
    together, alone = module.synthesise([5, 6, 7]), module.synthesise([6])
    assert torch.allclose(together[1], alone[0], atol=1e-6)
    assert (together[0] - together[1]).abs().max() > 1e-3
    assert together.abs().max() <= 1


def test_truncation_is_of_styles() -> None:
    module = style()
    full, half, average = (module.synthesise([1, 2], t) for t in (1.0, 0.5, 0.0))
    assert not torch.equal(full, half)
    # Noise maps, of strength 0 at the start, are all that tells images of one style apart.
    assert torch.allclose(average[0], average[1], atol=1e-6)
    with pytest.raises(UserError, match="with styles"):
        multi_scale().synthesise([1], truncation=0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Penalties(r1=-1.0), "penalties.r1 is -1"),
        (lambda: Penalties(gradient_penalty=float("nan")), "penalties.gradient_penalty is nan"),
        (lambda: Penalties(r1_every=0), "penalties.r1_every is 0"),
        (lambda: Augmentation(probability=1.5), "augmentation.probability is 1.5"),
        (lambda: Augmentation(ramp_images=0), "augmentation.ramp_images is 0"),
        (lambda: multi_scale(penalties=Penalties(path_length=2.0)), "only StyleGAN2"),
        (lambda: multi_scale(discriminator_learning_rate=0.0), "learning_rate is 0.0; it must"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()
