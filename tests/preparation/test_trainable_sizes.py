"""What is said about a size that some networks do not train on, and whether it is true of them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

import networks
import prepare
from preparation.trainable_sizes import film_size_note, is_doubled, slice_size_note

SIZES = (16, 31, 32, 48, 64, 72, 96, 128)
FILM_GANS = ("DCGANGenerator", "PGGANGenerator", "MultiScaleGenerator", "StyleGAN2Generator")


def takes(build: Callable[[], object]) -> bool:
    try:
        build()
    except ValueError:
        return False
    return True


def generator(name: str, size: int) -> nn.Module:
    settings = {"label_channels": 3} if name == "Pix2PixGenerator" else {}
    with torch.device("meta"):  # no weights are drawn
        module: nn.Module = getattr(networks, name)(image_channels=1, image_size=size, **settings)
    return module


@pytest.mark.parametrize("size", SIZES)
def test_the_notes_say_what_the_networks_take(size: int) -> None:
    gans = {name: takes(partial(generator, name, size)) for name in FILM_GANS}
    classifies = takes(lambda: networks.VGG16.check_size((size, size)))
    said = " ".join(film_size_note(size))
    assert ("No film GAN" in said) is not any(gans.values())
    assert ("no DCGAN" in said) is (any(gans.values()) and not gans["DCGANGenerator"])
    assert (not said) is (all(gans.values()) and classifies)
    assert ("No classifier" in said or "not this one" in said) is not classifies
    pix2pix = takes(partial(generator, "Pix2PixGenerator", size))
    assert (not slice_size_note(size)) is pix2pix is is_doubled(size)


def test_films_that_can_be_averaged_for_a_gan_have_the_flag_that_does_it() -> None:
    assert "--data.resolution 32 they train on" in film_size_note(96)[0]
    assert "--data.resolution" not in film_size_note(40)[0]


def test_multiples_that_segmenters_take_are_those_of_the_note() -> None:
    note = slice_size_note(48)[0]
    assert takes(lambda: networks.UNet.check_size((48, 48), 4))
    assert not takes(lambda: networks.UNet.check_size((40, 40), 4))
    assert takes(lambda: networks.FeaturePyramid.check_size((96, 96)))
    assert not takes(lambda: networks.FeaturePyramid.check_size((48, 48)))
    assert "default depth takes multiples of 16, an FPN multiples of 32." in note


@pytest.mark.parametrize(
    ("command", "words", "note"),
    [
        ("phantom_cxr", (), "note: No film GAN trains on films of 40x40 pixels: --image-size 32"),
        ("phantom_ct", ("--num-slices", "2"), "note: Pix2Pix does not train on slices of 40x40"),
    ],
)
def test_a_preparation_says_it_at_the_start_and_names_no_training(
    command: str, words: tuple[str, ...], note: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "out"
    asked = ["--num-patients", "20", "--image-size", "40", "--out", str(out), *words]
    prepare.main([command, *asked])
    first, *_, last = capsys.readouterr().out.strip().splitlines()
    assert first.startswith(note)
    assert last.endswith(f"Next: python prepare.py verify {out}")
