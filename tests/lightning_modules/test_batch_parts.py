"""What parts of a batch change, and that nothing is said where nothing changes."""

import copy

import pytest
import torch
from torch import nn

from lightning_modules.step.batch_parts import notes_on_parts, part_sizes, refuse_single_images
from networks import DCGANDiscriminator, MultiScaleDiscriminator, StyleGAN2Discriminator
from networks.equalised import minibatch_deviation
from provenance import UserError


def test_parts_are_those_of_a_training_step() -> None:
    assert part_sizes(16, 4, 2) == [2, 2, 2, 2]
    assert part_sizes(10, 3, 1) == [3, 3, 4]
    assert part_sizes(2, 8, 1) == [1, 1]


@pytest.mark.parametrize("network", [MultiScaleDiscriminator, StyleGAN2Discriminator])
def test_groups_that_are_cut_are_said(network: type[nn.Module]) -> None:
    module = network(image_size=32, image_channels=1, width=4)
    for batch, micro, processes in ((16, 1, 1), (6, 1, 1), (16, 4, 1), (16, 2, 2), (24, 1, 3)):
        notes = notes_of_training(module, batch, micro, processes)
        assert not notes, (batch, micro)
    for batch, micro, processes in ((16, 8, 1), (20, 4, 1), (12, 2, 1), (12, 1, 2)):
        (note,) = notes_of_training(module, batch, micro, processes)
        assert "minibatch deviation compares 4 images" in note, (batch, micro)
        assert f"--data.batch_size {batch}" in note


def notes_of_training(module: nn.Module, batch: int, micro: int, processes: int) -> list[str]:
    """All but that on validation, which is there with several processes."""
    notes = list(notes_on_parts(module, batch, micro, processes))
    held_out = [note for note in notes if "val/score_real" in note]
    assert len(held_out) == (processes > 1)
    assert all(f"out to {processes} processes in turn" in note for note in held_out)
    return [note for note in notes if note not in held_out]


def test_the_note_on_validation_is_right_about_the_numbers() -> None:
    """Dealt out in turn, images have other neighbours; without the layer it makes no difference."""
    images = torch.randn(16, 1, 32, 32, generator=torch.Generator().manual_seed(0)).double()
    size = {"image_size": 32, "image_channels": 1, "width": 4}
    for network, depends in (
        (StyleGAN2Discriminator(**size), True),
        (DCGANDiscriminator(**size, normalization="group"), False),
    ):
        scorer = network.double().eval()
        one, two = (
            torch.cat([scorer([images[r::count]], None)[0].flatten() for r in range(count)]).mean()
            for count in (1, 2)
        )
        assert bool((one - two).abs() > 1e-9) == depends
        notes = list(notes_on_parts(network.train(), 16, 1, 2))
        assert any("val/score_real" in note for note in notes) == depends


def test_the_note_is_right_about_the_numbers() -> None:
    """Parts of 4 give the whole batch's deviation, parts of 2 another one."""
    features = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    whole = minibatch_deviation(features)
    for size, same in ((4, True), (2, False)):
        parts = torch.cat([minibatch_deviation(part) for part in features.split(size)])
        assert torch.equal(parts, whole) == same


def test_batch_normalisation_is_said_unless_it_is_over_all_or_fixed() -> None:
    module = DCGANDiscriminator(image_size=32, image_channels=1, width=4)
    assert not list(notes_on_parts(module, 8, 1, 1))
    (note,) = notes_on_parts(module, 8, 2, 1)
    assert "batch normalisation normalises each part of a batch by itself" in note
    assert "have 4 images (--data.batch_size 8, --model.micro_batches 2)" in note
    (note,) = notes_on_parts(module, 1, 1, 1)
    assert "single images" in note
    assert "Raise --data.batch_size, lower --model.micro_batches" in note
    over_all = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(module))
    assert not list(notes_on_parts(over_all, 8, 1, 2))
    assert list(notes_on_parts(over_all, 8, 2, 2))
    assert not list(notes_on_parts(module.eval(), 8, 2, 1))
    group = DCGANDiscriminator(image_size=32, image_channels=1, width=4, normalization="group")
    assert not list(notes_on_parts(group, 1, 1, 1))


def test_torch_s_refusal_of_one_pixel_names_the_flags() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel") as raised:
        nn.BatchNorm2d(2)(torch.zeros(1, 2, 1, 1))
    with pytest.raises(UserError, match=r"--data.batch_size 3 and --model.micro_batches 2: batch"):
        refuse_single_images(raised.value, 3, 2)
    refuse_single_images(ValueError("something else"), 3, 2)
