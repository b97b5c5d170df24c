"""What holds for every operation: identity, range, labels, replay; and what each one computes."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import v2 as torchvision

from augmentations.catalogue import OPERATIONS
from augmentations.flips import HorizontalFlip
from augmentations.focus import GaussianBlur, LowResolution, MotionBlur, line_kernel
from augmentations.grey_values import Contrast, Gamma, Noise
from augmentations.language import read_policy
from augmentations.levels import Clahe, Inversion
from augmentations.operation import Draws, Images, Movement, Operation
from augmentations.presets import PRESET_SOURCES, PRESETS
from augmentations.spatial import Shift
from augmentations.warping import Elastic, GridDistortion, OpticalDistortion
from provenance import UserError

SIZE = (40, 40)
GREY, COLOUR = Images(1, masks=True), Images(3)
NAMES = sorted(set(OPERATIONS) - {"one_of", "one_at_a_level"})


def example(channels: int = 1, size: int = 40) -> tuple[Tensor, Tensor]:
    """An image in [-1, 1] with air at its border, and a mask of three labels."""
    mask = torch.zeros(size, size, dtype=torch.uint8)
    mask[8:28, 6:20] = 1
    mask[12:20, 10:16] = 2
    image = torch.rand(channels, size, size, generator=torch.Generator().manual_seed(1)) * 0.2
    return (image + mask * 0.7 - 0.9).clamp(-1, 1), mask


def made(name: str, **settings: object) -> Operation:
    images = COLOUR if name == "channel_shuffle" else GREY
    return read_policy([{name: settings}], images).on_images[0]


def source(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", NAMES)
def test_strength_0_draws_nothing_and_uses_up_the_same_numbers(name: str) -> None:
    one, none = source(3), source(3)
    made(name).draw(one, SIZE)
    assert made(name, strength=0).draw(none, SIZE) is None
    assert torch.equal(one.get_state(), none.get_state())
    assert not OPERATIONS[name].graded or made(name).draw(source(3), SIZE, level=0.0) is None


@pytest.mark.parametrize("name", NAMES)
def test_range_labels_and_replay(name: str) -> None:
    image, mask = example(3 if name == "channel_shuffle" else 1)
    before, labels_before = image.clone(), mask.clone()
    operation, changed = made(name), 0
    for seed in range(8):
        drawn = operation.draw(source(seed), SIZE, level=1.0 if operation.graded else None)
        assert drawn == operation.draw(source(seed), SIZE, level=1.0 if operation.graded else None)
        if drawn is None:
            continue
        first, labels = operation.apply(image, mask, drawn)
        again, labels_again = operation.apply(image, mask, drawn)
        assert labels is not None
        assert labels_again is not None
        assert torch.equal(first, again)
        assert torch.equal(labels, labels_again)
        assert first.shape == image.shape
        assert first.dtype == torch.float32
        assert labels.shape == mask.shape
        assert labels.dtype == mask.dtype
        assert first.min() >= -1
        assert first.max() <= 1
        assert set(labels.unique().tolist()) <= {0, 1, 2}
        assert torch.equal(image, before), "the image that came in is another's"
        assert torch.equal(mask, labels_before)
        changed += not torch.equal(first, image)
        without, none = operation.apply(image, None, drawn)
        assert torch.equal(without, first)
        assert none is None
    assert changed > 0 or name in ("identity", "saturation")


@pytest.mark.parametrize("name", [n for n in NAMES if issubclass(OPERATIONS[n], Movement)])
def test_image_and_mask_move_alike(name: str) -> None:
    _, mask = example(size=64)
    image = mask[None].float() / 2 - 1  # a function of the mask
    operation = made(name)
    for seed in range(5):
        drawn = operation.draw(source(seed), (64, 64))
        if drawn is None:
            continue
        moved, labels = operation.apply(image, mask, drawn)
        assert labels is not None
        near = (moved[0] - (labels.float() / 2 - 1)).abs() < 0.05
        assert near.float().mean() > 0.85, "more than the outlines of areas differ"
        core = torch.nn.functional.max_pool2d(-labels[None].float(), 5, 1, 2)[0] == -2
        assert (moved[0][core] > -0.25).all(), "label 2 lies where the image does not"


@pytest.mark.parametrize("name", NAMES)
def test_a_constant_image_stays_finite(name: str) -> None:
    operation = made(name)
    image = torch.full((3 if name == "channel_shuffle" else 1, *SIZE), -1.0)
    drawn = operation.draw(source(0), SIZE)
    if drawn is not None:
        changed, _ = operation.apply(image, None, drawn)
        assert changed.isfinite().all()


def test_every_operation_says_where_it_comes_from_and_every_preset_too() -> None:
    for kind in OPERATIONS.values():
        assert kind.source
        assert kind.__doc__
    assert set(PRESETS) == set(PRESET_SOURCES)


def test_channel_shuffle_of_grey_images_is_refused() -> None:
    with pytest.raises(UserError, match=r"channel_shuffle: changes the order of channels.* one"):
        read_policy(["channel_shuffle"], GREY)
    inside = [{"one_of": {"operations": ["rotation", "channel_shuffle"]}}]
    with pytest.raises(UserError, match="channel_shuffle: changes the order"):
        read_policy(inside, GREY)
    assert read_policy(inside, COLOUR)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("images", [GREY, COLOUR])
def test_presets_run_on_grey_and_colour(preset: str, images: Images) -> None:
    # Films with labels: presets with AugMix or mixing are defined for these.
    policy = read_policy(preset, Images(images.channels, labels=True))
    stored = ((example(images.channels)[0] + 1) * 127.5).round().to(torch.uint8)
    mask = example()[1]
    happened: set[int] = set()
    for seed in range(60):
        drawn = policy.draw(seed, SIZE)
        happened |= {place for place, one in enumerate(drawn) if one is not None}
        image, labels = policy.apply(stored, mask, drawn, lambda x: x.float() / 127.5 - 1)
        assert labels is not None
        assert set(labels.unique().tolist()) <= {0, 1, 2}
        if image.is_floating_point():
            assert image.abs().max() <= 1
    assert len(happened) == len(policy.on_images), "an operation that never happens"


def test_probability_is_the_share_of_images() -> None:
    policy = read_policy([{"shift": {"probability": 0.3}}, {"zoom": {"probability": 0.7}}], GREY)
    drawn = [policy.draw(seed, SIZE) for seed in range(2000)]
    for place, expected in enumerate((0.3, 0.7)):
        share = sum(one[place] is not None for one in drawn) / 2000
        assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / 2000)


# ---- what each computes ------------------------------------------------------------------------


def test_flip_shift_and_inversion_of_known_pixels() -> None:
    image = torch.tensor([[[-1.0, -0.5, 0.0, 0.5]] * 4])
    mask = torch.tensor([[0, 1, 2, 3]] * 4)
    flipped, labels = HorizontalFlip().apply(image, mask, {})
    assert flipped[0, 0].tolist() == [0.5, 0.0, -0.5, -1.0]
    assert labels is not None
    assert labels[0].tolist() == [3, 2, 1, 0]
    shifted, labels = Shift().apply(image, mask, {"right": 0.25, "down": 0.0})
    assert shifted[0, 0].tolist() == [-1.0, -1.0, -0.5, 0.0]
    assert labels is not None
    assert labels[0].tolist() == [0, 0, 1, 2]
    assert torch.allclose(Inversion().apply(image, None, {})[0], -image, atol=1e-6)


def test_gamma_is_a_power_and_keeps_statistics() -> None:
    image = example()[0]
    low, high = image.min(), image.max()
    expected = ((image - low) / (high - low)) ** 1.4 * (high - low) + low
    assert torch.allclose(Gamma().change(image, {"gamma": 1.4}), expected, atol=1e-5)
    kept = Gamma(keep_statistics=True).change(image, {"gamma": 1.4})
    assert torch.allclose(kept.mean(), image.mean(), atol=1e-5)
    assert torch.allclose(kept.std(), image.std(), atol=1e-5)
    negative = Gamma(inverted=True).change(image, {"gamma": 1.4})
    inverse = Gamma().change(-image, {"gamma": 1.4})
    assert torch.allclose(negative, -inverse, atol=1e-5)


def test_contrast_keeps_mean_and_range() -> None:
    image = example()[0] * 0.4
    changed = Contrast(keep_range=False).change(image, {"factor": 1.5})
    assert torch.allclose(changed, (image - image.mean()) * 1.5 + image.mean(), atol=1e-5)
    assert Contrast().change(image, {"factor": 1.5}).max() <= image.max()


def test_noise_has_the_standard_deviation_that_was_drawn() -> None:
    image = example(size=200)[0] * 0.3
    noise = Noise().change(image, {"share": 0.2, "seed": 5}) - image
    assert abs(float(noise.std() / image.std()) - 0.2) < 0.01
    assert abs(float(noise.mean())) < 0.01


def test_line_kernel_lies_along_its_line() -> None:
    flat = line_kernel(6, 0)
    assert torch.allclose(flat.sum(), torch.tensor(1.0))
    assert flat.shape == (7, 7)
    assert (flat[3] > 0).all()
    assert torch.equal(flat.sum(dim=1) > 1e-6, torch.arange(7) == 3)
    assert torch.allclose(line_kernel(6, 90), flat.T, atol=1e-6)
    assert torch.allclose(line_kernel(0, 30), torch.ones(1, 1))
    rising = line_kernel(6, 45)  # to the right and up, as angles are counted
    assert rising[1, 5] > 0
    assert rising[5, 5] == 0


def test_blurs_keep_constant_areas_and_motion_blurs_along_its_line_alone() -> None:
    stripes = torch.where(torch.arange(40) % 8 < 4, 1.0, -1.0).expand(1, 40, 40)
    along = MotionBlur().change(stripes, {"length": 5.0, "degrees": 90.0})
    across = MotionBlur().change(stripes, {"length": 5.0, "degrees": 0.0})
    assert torch.allclose(along, stripes, atol=1e-5)
    assert across.std() < 0.8 * stripes.std()
    flat = torch.full((1, 20, 20), 0.3)
    assert torch.allclose(GaussianBlur().change(flat, {"sigma": 2.0}), flat, atol=1e-5)


def test_low_resolution_has_no_more_pixels_than_it_says() -> None:
    image = example()[0]
    assert torch.equal(LowResolution().change(image, {"scale": 1.0}), image)
    lines = torch.where(torch.arange(40) % 2 == 0, 1.0, -1.0).expand(1, 40, 40)
    assert LowResolution().change(lines, {"scale": 0.5}).std() < 1e-6  # every second column is left


def test_low_resolution_is_bilinear_on_the_way_up() -> None:
    """As batchgeneratorsv2's SimulateLowResolutionTransform for two dimensions."""
    image = example()[0]
    small = torch.nn.functional.interpolate(image[None], (24, 24), mode="nearest-exact")
    expected = torch.nn.functional.interpolate(small, (40, 40), mode="bilinear")[0]
    assert torch.equal(LowResolution().change(image, {"scale": 0.6}), expected)


def drawn_by(preset: str, name: str, key: str, count: int = 4000) -> Tensor:
    """What an operation of a preset draws at full strength."""
    entries = str(PRESETS[preset])
    assert f"'{name}'" in entries
    found = read_policy(preset, GREY).on_images
    inner = [one for each in found for one in getattr(each, "operations", (each,))]
    [operation] = [one for one in inner if isinstance(one, OPERATIONS[name])]
    return torch.tensor(
        [operation.parameters(Draws(source(seed)), SIZE)[key] for seed in range(count)],
        dtype=torch.float64,
    )


@pytest.mark.parametrize(("preset", "most"), [("nnunet", 1.4), ("nnunet_da5", 1.43)])
def test_zoom_of_nnunet_is_that_of_the_grid(preset: str, most: float) -> None:
    """batchgeneratorsv2, SpatialTransform: scaling is uniform, "larger numbers = smaller"."""
    grid = 1 / drawn_by(preset, "zoom", "factor")
    assert 0.7 <= grid.min() < 0.702
    assert most - 0.002 < grid.max() <= most
    assert abs(grid.mean() - (0.7 + most) / 2) < 0.01
    assert abs((grid < 1).double().mean() - 0.3 / (most - 0.7)) < 0.03


def test_zoom_of_a_grid_of_1_25_makes_things_a_fifth_smaller() -> None:
    mask = torch.zeros(100, 100, dtype=torch.uint8)
    mask[25:75, 25:75] = 1
    zoom = made("zoom", of_grid=True, min_factor=1, max_factor=1.25)
    parameters = zoom.parameters(Draws(source(0), level=1.0), (100, 100))
    assert parameters == {"factor": 0.8}
    moved = zoom.apply(torch.zeros(1, 100, 100), mask, parameters)[1]
    assert moved is not None
    assert int(moved.sum()) == 40 * 40
    half = made("zoom", of_grid=True, strength=0.5)
    factors = [1 / half.parameters(Draws(source(k), 0.5), SIZE)["factor"] for k in range(500)]
    assert 0.9 <= min(factors) < 0.91
    assert 1.115 < max(factors) <= 1.125


def test_draws_of_nnunet_da5_are_those_of_its_trainer() -> None:
    """nnUNetTrainerDA5 of nnU-Net 2.8.1."""
    gamma = drawn_by("nnunet_da5", "local_gamma", "gamma")
    bright, dark = gamma[gamma < 1], gamma[gamma > 1]
    assert abs(len(bright) / len(gamma) - 0.5) < 0.03
    for part, low, high in ((bright, 0.01, 0.8), (dark, 1.5, 4.0)):
        assert low <= part.min() < low + 0.01
        assert high - 0.01 < part.max() <= high
        assert abs(part.mean() - (low + high) / 2) < 0.05
    change = drawn_by("nnunet_da5", "brightness_gradient", "change")
    assert 1 <= change.abs().min() < 1.01
    assert 1.99 < change.abs().max() <= 2
    assert abs((change > 0).double().mean() - 0.5) < 0.03
    size = drawn_by("nnunet_da5", "median", "size")
    assert sorted(set(size.tolist())) == [2, 3, 4, 5, 6, 7]
    assert abs((size == 2).double().mean() - 1 / 6) < 0.03
    shift = drawn_by("nnunet_da5", "brightness_shift", "shift")
    assert abs(shift.std() - 0.5) < 0.02
    assert abs((shift.abs() < 0.5).double().mean() - 0.6827) < 0.03
    assert shift.abs().max() <= 1.5


def test_solarisation_turns_white_black_at_any_strength() -> None:
    """A threshold just below white is above every other value."""
    image = torch.tensor([[[1.0, 0.999, 0.0, -1.0]]])
    drawn = made("solarisation", strength=1e-6).draw(source(0), (1, 4), 1.0)
    assert drawn is not None
    found = made("solarisation").apply(image, None, drawn)[0]
    assert torch.allclose(found, torch.tensor([[[-1.0, 0.999, 0.0, -1.0]]]))


def test_gaps_close_as_strength_goes_to_0() -> None:
    for name, key, unchanged in (
        ("local_gamma", "gamma", 1.0),
        ("brightness_gradient", "change", 0),
    ):
        wide = {"local_gamma": {"least_bright": 0.6, "least_dark": 1.8}}
        settings = wide.get(name, {"min_change": 1.0, "max_change": 2.0})
        operation = made(name, **settings)
        for seed in range(50):
            drawn = operation.parameters(Draws(source(seed), 0.001), SIZE)[key]
            assert drawn == pytest.approx(unchanged, abs=0.003)
    with pytest.raises(UserError, match="min_change 2 is above max_change 1"):
        made("brightness_gradient", min_change=2)
    with pytest.raises(UserError, match=r"no gamma is from min_gamma 0\.5 to least_bright 0\.2"):
        made("local_gamma", least_bright=0.2)
    with pytest.raises(UserError, match="min_size 9 is above max_size 5"):
        made("median", min_size=9)


def test_clahe_is_that_of_scikit_image_on_each_channel() -> None:
    from skimage.exposure import equalize_adapthist

    image = example(3)[0]
    found = Clahe().change(image, {"share": 1.0})
    for channel, expected in zip(found, image, strict=True):
        levels = equalize_adapthist((expected.double().numpy() + 1) / 2, (5, 5), 0.01)
        np.testing.assert_allclose(channel.numpy(), levels * 2 - 1, atol=1e-5)


def test_elastic_moves_no_pixel_farther_than_was_drawn() -> None:
    field = Elastic().displacement({"share": 0.03, "seed": 4}, (64, 48))
    assert field.shape == (1, 64, 48, 2)
    assert torch.allclose(field.norm(dim=-1).max(), torch.tensor(2 * 0.03), atol=1e-5)
    rough = field.diff(dim=1).abs().max() / field.abs().max()
    assert rough < 0.2, "neighbours move alike"


def test_grid_distortion_stretches_cells_and_keeps_the_border() -> None:
    even = {"columns": [1.0, 1.0], "rows": [1.0, 1.0]}
    assert GridDistortion().displacement(even, (8, 8)).abs().max() < 1e-6
    uneven = {"columns": [0.5, 1.5], "rows": [1.0, 1.0]}
    field = GridDistortion().displacement(uneven, (8, 8))[0]
    # The first half of the columns shows the first quarter of the image, half as fast.
    read = field[0, :, 0] + (2 * torch.arange(8) + 1) / 8 - 1
    assert torch.allclose(read[:4].diff(), torch.tensor(0.125))
    assert torch.allclose(read[4:].diff(), torch.tensor(0.375))
    assert read.min() > -1
    assert read.max() < 1
    drawn = GridDistortion().parameters(Draws(source(2)), (8, 8))
    assert abs(sum(drawn["columns"]) - 5) < 1e-9


def test_optical_distortion_follows_the_radial_term() -> None:
    field = OpticalDistortion().displacement({"change": 0.2, "x": 0.0, "y": 0.0}, (10, 10))[0]
    x, y = 0.7, -0.3  # centre of the pixel in column 8 and row 3
    expected = torch.tensor([x, y]) * 0.2 * (x * x + y * y)
    assert torch.allclose(field[3, 8], expected, atol=1e-6)
    for change in (-0.4, 0.4):  # no two pixels of a row read in the wrong order: nothing folds
        field = OpticalDistortion(max_change=0.4).displacement(
            {"change": change, "x": 0.05, "y": -0.05}, (64, 64)
        )[0]
        read = field[..., 0] + (2 * torch.arange(64) + 1) / 64 - 1
        assert (read.diff(dim=1) > 0).all()
    with pytest.raises(UserError, match="would fold the corners over"):
        read_policy([{"optical_distortion": {"max_change": 0.4, "max_offset": 0.2}}], GREY)


@pytest.mark.parametrize("name", ["rotation", "zoom", "optical_distortion", "elastic", "geometric"])
def test_no_line_is_drawn_around_an_image_of_air(name: str) -> None:
    """torchvision blends 0 into the border, which is mid-grey in [-1, 1]."""
    image, mask = torch.full((1, 40, 40), -1.0), torch.zeros(40, 40, dtype=torch.uint8)
    image[0, 20, 20] = 1.0
    for seed in range(6):
        drawn = made(name).draw(source(seed), SIZE, level=1.0)
        assert drawn is not None
        moved = made(name).apply(image, mask, drawn)[0]
        assert (moved[0] > -0.99).sum() < 20
        assert (moved[0, :8] == -1).all()


TRIVIAL = {  # the place in our preset, torchvision's name, its magnitude at level 2/3
    3: ("TranslateX", 32 * 2 / 3), 4: ("TranslateY", 32 * 2 / 3),
    5: ("Rotate", 90.0), 6: ("Brightness", 0.66), 7: ("Color", 0.66), 8: ("Contrast", 0.66),
    9: ("Sharpness", 0.66), 10: ("Posterize", 4), 11: ("Solarize", 1 / 3), 12: ("AutoContrast", 0),
    13: ("Equalize", 0),
}  # fmt: skip


@pytest.mark.parametrize("place", TRIVIAL)
def test_trivial_does_what_torchvision_does(place: int) -> None:
    name, magnitude = TRIVIAL[place]
    operation = read_policy("trivial", COLOUR).on_images[0].operations[place]  # type: ignore[attr-defined]
    stored = (torch.rand(3, 224, 224, generator=source(0)) * 255).to(torch.uint8)
    stored[:, :2] = 0  # air is black, as torchvision fills
    image = stored.float() / 127.5 - 1
    for seed in range(4):
        drawn = operation.draw(source(seed), (224, 224), level=2 / 3 if operation.graded else None)
        assert drawn is not None
        found, _ = operation.apply(image, None, drawn)
        library = torchvision.TrivialAugmentWide(interpolation=InterpolationMode.BILINEAR)
        candidates = [
            library._apply_image_or_video_transform(
                stored, name, sign * magnitude, InterpolationMode.BILINEAR, {Tensor: 0}
            )
            for sign in ((1,) if name == "Posterize" else (1, -1))
        ]
        levels = (found + 1) * 127.5
        off = min(float((levels - one.float()).abs()[0].quantile(0.99)) for one in candidates)
        assert off <= 2, f"{name} differs by {off} grey levels"
