"""The image pool against the rule of the authors' code, and its independence of batches."""

import torch
from torch import Tensor

from lightning_modules.translation.image_pool import ImagePool


def images(count: int, start: int = 0) -> Tensor:
    """Image i is all i."""
    return torch.arange(start, start + count).float()[:, None, None, None].expand(-1, 2, 4, 4)


def numbers(of: Tensor) -> list[int]:
    return [int(image[0, 0, 0]) for image in of]


def test_it_gives_back_images_as_the_authors_code_does() -> None:
    """Their loop, with the draws that each image's seed gives."""
    held: list[int] = []
    expected = []
    for number in range(300):
        source = torch.Generator().manual_seed(1000 + number)
        if len(held) < 50:
            held.append(number)
            expected.append(number)
        elif float(torch.rand((), generator=source)) >= 0.5:
            place = int(torch.randint(50, (), generator=source))
            expected.append(held[place])
            held[place] = number
        else:
            expected.append(number)
    pool = ImagePool(50, 2, 4)
    shown = pool.exchange(images(300), 0, [1000 + number for number in range(300)])
    assert numbers(shown) == expected
    assert numbers(pool.images) == held
    old = sum(given != number for number, given in enumerate(expected[50:], start=50))
    assert 90 < old < 160  # about half of 250


def test_it_is_the_same_whatever_the_batches_are_and_after_a_restart() -> None:
    whole, cut = ImagePool(5, 2, 4), ImagePool(5, 2, 4)
    seeds = list(range(40))
    expected = numbers(whole.exchange(images(40), 0, seeds))
    found: list[int] = []
    for start in range(0, 40, 8):
        resumed = ImagePool(5, 2, 4)
        resumed.load_state_dict(cut.state_dict())
        cut = resumed
        found += numbers(cut.exchange(images(8, start), start, seeds[start : start + 8]))
    assert found == expected
    assert torch.equal(whole.images, cut.images)


def test_without_a_size_every_image_comes_back_as_it_is() -> None:
    pool = ImagePool(0, 2, 4)
    assert numbers(pool.exchange(images(3), 7, [1, 2, 3])) == [0, 1, 2]
