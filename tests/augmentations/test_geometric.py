"""One draw for image and mask, no invented labels, exact replay."""

import torch

from augmentations.geometric import Geometric
from augmentations.operation import Parameters

SIZE = (64, 64)


def movement(rotation_degrees: float, shift_x: float, shift_y: float, scale: float) -> Parameters:
    return {
        "rotation_degrees": rotation_degrees,
        "shift_x": shift_x,
        "shift_y": shift_y,
        "scale": scale,
    }


IDENTITY = movement(rotation_degrees=0.0, shift_x=0.0, shift_y=0.0, scale=1.0)


def scene(size: int = 33) -> tuple[torch.Tensor, torch.Tensor]:
    mask = torch.zeros(size, size, dtype=torch.uint8)
    mask[8:20, 6:14] = 1
    mask[10:14, 8:12] = 2
    image = (mask * 100 + 20).unsqueeze(0)
    return image, mask


def test_identity_changes_nothing() -> None:
    image, mask = scene()
    moved_image, moved_mask = Geometric().apply(image, mask, IDENTITY)
    assert moved_mask is not None
    assert torch.equal(moved_image, image)
    assert torch.equal(moved_mask, mask)


def test_half_turn_is_a_flip_of_both_axes() -> None:
    image, mask = scene()
    half_turn = movement(180.0, 0.0, 0.0, 1.0)
    moved_image, moved_mask = Geometric().apply(image, mask, half_turn)
    assert moved_mask is not None
    assert torch.equal(moved_mask, mask.flip(0, 1))
    assert (moved_image.int() - image.flip(1, 2).int()).abs().max() <= 1


def test_image_and_mask_move_together_and_labels_stay_labels() -> None:
    image, mask = scene(64)
    augmentation = Geometric(max_rotation_degrees=30.0, max_shift=0.15)
    for seed in range(20):
        parameters = augmentation.draw(torch.Generator().manual_seed(seed), SIZE)
        assert parameters is not None
        moved_image, moved_mask = augmentation.apply(image, mask, parameters)
        assert moved_mask is not None
        assert set(moved_mask.unique().tolist()) <= {0, 1, 2}
        expected = moved_mask * 100 + 20  # the image is a function of the mask
        inside = (moved_image[0].int() - expected.int()).abs() <= 1
        assert inside.float().mean() > 0.93  # bilinear edges differ, areas do not


def test_scale_grows_the_area_by_its_square() -> None:
    mask = torch.zeros(65, 65, dtype=torch.uint8)
    mask[26:39, 22:43] = 1  # around the centre, about which an image is scaled
    grown = movement(0.0, 0.0, 0.0, 1.5)
    _, moved = Geometric().apply(mask.unsqueeze(0), mask, grown)
    assert moved is not None
    ratio = (moved > 0).sum() / (mask > 0).sum()
    assert abs(ratio - 1.5**2) < 0.25


def test_outside_is_air_and_background() -> None:
    image, mask = scene()
    image, mask = image.clamp(min=20), torch.ones_like(mask)
    shifted = movement(0.0, 0.5, 0.0, 1.0)
    moved_image, moved_mask = Geometric().apply(image, mask, shifted)
    assert moved_mask is not None
    assert (moved_mask[:, :10] == 0).all()
    assert (moved_image[0, :, :10] == 20).all()


def test_draw_is_a_function_of_the_generator_and_stays_in_range() -> None:
    augmentation = Geometric()
    draws = [augmentation.draw(torch.Generator().manual_seed(seed), SIZE) for seed in range(200)]
    assert draws[7] == augmentation.draw(torch.Generator().manual_seed(7), SIZE)
    assert all(draw is not None for draw in draws)
    found = [draw or {} for draw in draws]
    assert len({tuple(draw.values()) for draw in found}) == 200
    assert all(abs(draw["rotation_degrees"]) <= 15 for draw in found)
    assert all(0.85 <= draw["scale"] <= 1.15 for draw in found)
    growing = sum(draw["scale"] > 1 for draw in found)
    assert 70 < growing < 130
