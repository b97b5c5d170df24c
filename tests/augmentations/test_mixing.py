"""Mixtures against torchvision, the papers' laws, and what must not change."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.transforms import v2

from augmentations.batch_mixing import check_share, mix_batch
from augmentations.catalogue import BATCH_OPERATIONS
from augmentations.cutout import Cutout
from augmentations.language import read_policy
from augmentations.mixing import CutMix, Mixup, PerlinMix, Ricap, mixed_findings
from augmentations.mixture import Blend, Patchwork, partners
from augmentations.operation import Images
from augmentations.perlin import perlin_noise
from provenance import UserError

SIDE = 24
MIXING: dict[str, Any] = dict(BATCH_OPERATIONS)


def generators(count: int, first: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng(first + index) for index in range(count)]


def batch_of(count: int, masks: bool = False) -> dict[str, Any]:
    random = torch.Generator().manual_seed(3)
    batch: dict[str, Any] = {"image": torch.rand(count, 1, SIDE, SIDE, generator=random) * 2 - 1}
    if masks:
        batch["mask"] = torch.randint(3, (count, SIDE, SIDE), generator=random)
    else:
        batch["label"] = torch.randint(3, (count,), generator=random)
    return batch


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 7, 8, 11, 16])
def test_partners_are_others_of_the_own_group(count: int) -> None:
    rows = partners(count)
    assert rows[:, 0].tolist() == list(range(count))
    assert (rows[:, 1] != rows[:, 0]).all()
    for column in rows.T:
        assert sorted(column.tolist()) == list(range(count)), "everyone is met equally often"
    whole = count // 4 * 4
    if count % 4 != 1:
        assert (rows[:whole] // 4 == rows[:whole, :1] // 4).all()


def test_shares_of_processes_have_the_partners_of_the_whole_batch() -> None:
    whole = partners(16)
    for share in (4, 8):
        for start in range(0, 16, share):
            assert torch.equal(partners(share) + start, whole[start : start + share])


def test_mixup_equals_torchvision_with_its_weight() -> None:
    images, targets = torch.rand(2, 1, 8, 8), torch.eye(2)
    blend = Mixup(alpha=1.0).draw(generators(2), 8, 8)
    library = v2.MixUp(alpha=1.0, num_classes=2)
    for row in range(2):
        known = {"labels": targets, "batch_size": 2, "lam": float(blend.shares[row, 0])}
        torch.testing.assert_close(blend.images(images)[row], library.transform(images, known)[row])
        torch.testing.assert_close(
            blend.targets(targets)[row], library.transform(targets, known)[row]
        )


def test_cutmix_equals_torchvision_with_its_box() -> None:
    images, targets = torch.rand(2, 3, SIDE, SIDE), torch.eye(2)
    library = v2.CutMix(alpha=1.0, num_classes=2)
    for first in range(10):
        mixture = CutMix().draw(generators(2, 2 * first), SIDE, SIDE)
        for row in range(2):
            rows, columns = mixture.parts[row].nonzero(as_tuple=True)
            box = (0, 0, 0, 0)
            if len(rows):
                box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            area = (box[2] - box[0]) * (box[3] - box[1])
            assert area == len(rows), "the other image's pixels are one box"
            known = {"labels": targets, "batch_size": 2, "box": box}
            known["lam_adjusted"] = float(1 - area / SIDE**2)
            assert torch.equal(mixture.images(images)[row], library.transform(images, known)[row])
            torch.testing.assert_close(
                mixture.targets(targets)[row], library.transform(targets, known)[row]
            )


def test_cutmix_box_has_the_law_of_the_paper() -> None:
    """A side of sqrt(1 - Beta) around a uniform point, cut off at the border."""
    side, alpha = 64, 0.7
    mixture = CutMix(alpha=alpha).draw(generators(3000), side, side)
    drawn = mixture.shares[:, 1].double().numpy()
    random = np.random.default_rng(99)
    half = np.sqrt(1 - random.beta(alpha, alpha, 40_000)) / 2
    centre = random.random((2, 40_000))
    law = np.prod(np.minimum(centre + half, 1) - np.maximum(centre - half, 0), axis=0)
    # Steps of whole pixels blur the smallest boxes, so the two laws are compared above these.
    assert stats.ks_2samp(drawn[drawn > 0.02], law[law > 0.02]).pvalue > 0.001
    assert drawn.mean() == pytest.approx(law.mean(), abs=0.02)


def test_mixup_and_perlin_shares_are_beta() -> None:
    for method in (Mixup(alpha=0.4), PerlinMix(alpha=0.4)):
        shares = method.draw(generators(1500), 32, 32).shares[:, 0].double().numpy()
        # Perlin's are whole pixels of 1,024.
        assert stats.kstest(shares, stats.beta(0.4, 0.4).cdf).statistic < 0.06, method


def test_ricap_corners_have_the_law_of_the_paper_and_hold_crops() -> None:
    side = 40
    mixture = Ricap(beta=0.3).draw(generators(1200), side, side)
    drawn = mixture.shares.double().numpy()
    random = np.random.default_rng(99)
    point = np.rint(side * random.beta(0.3, 0.3, (2, 20_000))) / side
    law = [point[0] * point[1], (1 - point[0]) * (1 - point[1])]
    for corner, expected in ((0, law[0]), (3, law[1])):
        assert stats.ks_2samp(drawn[:, corner], expected).pvalue > 0.001
    np.testing.assert_allclose(drawn.mean(axis=0), 0.25, atol=0.03)
    # Every patch is one whole rectangle of its source: rows and columns never run round.
    # Images whose pixels say where they are: image, row and column.
    place = torch.arange(side)
    where = torch.stack([place[:, None].expand(side, side), place.expand(side, side)])
    own = torch.arange(1200)[:, None, None, None].expand(-1, 1, side, side)
    found = mixture.images(torch.cat([own, where.expand(1200, -1, -1, -1)], dim=1))
    for image in range(200):
        for corner in range(4):
            inside = mixture.parts[image] == corner
            if not inside.any():
                continue
            source, rows, columns = (each[inside] for each in found[image])
            assert source.unique().tolist() == [int(mixture.sources[image, corner])]
            assert int(rows.max() - rows.min()) + 1 == int(inside.any(1).sum())
            assert int(columns.max() - columns.min()) + 1 == int(inside.any(0).sum())


@pytest.mark.parametrize("name", ["mixup", "cutmix", "ricap", "perlin_mix"])
def test_targets_are_the_mean_of_the_sources_and_sum_to_one(name: str) -> None:
    batch = batch_of(12)
    mixed = mix_batch(
        batch, [MIXING[name](alpha=1.0) if name != "ricap" else Ricap(beta=1.0)], range(12), 3
    )
    torch.testing.assert_close(mixed["target"].sum(dim=1), torch.ones(12))
    assert (mixed["target"] >= 0).all()
    assert not torch.equal(mixed["image"], batch["image"])
    # An image that is constant, with its class as its grey level, is mixed as its target is.
    levels = torch.arange(3.0)
    flat = levels[batch["label"]][:, None, None, None].expand(12, 1, SIDE, SIDE)
    mixed = mix_batch({**batch, "image": flat}, [MIXING[name]()], range(12), 3)
    torch.testing.assert_close(mixed["image"].mean(dim=(1, 2, 3)), mixed["target"] @ levels)


def test_expected_target_is_the_mean_of_the_partners() -> None:
    """The laws are symmetrical: over many draws, own and other label count alike."""
    batch, sums = batch_of(4), dict.fromkeys(("mixup", "ricap", "perlin_mix"), torch.zeros(4, 3))
    truth = torch.nn.functional.one_hot(batch["label"], 3).float()
    for draw in range(300):
        seeds = range(4 * draw, 4 * draw + 4)
        for name in sums:
            method = PerlinMix(other_class=False) if name == "perlin_mix" else MIXING[name]()
            sums[name] = sums[name] + mix_batch(batch, [method], seeds, 3)["target"] / 300
    pairs = truth[partners(4)[:, :2]].mean(dim=1)
    for name, expected in (
        ("mixup", pairs),
        ("perlin_mix", pairs),
        ("ricap", truth[partners(4)].mean(dim=1)),
    ):
        torch.testing.assert_close(sums[name], expected, atol=0.07, rtol=0)


@pytest.mark.parametrize("name", ["cutmix", "ricap", "perlin_mix", "cutout"])
def test_masks_keep_their_labels_and_go_with_the_pixels(name: str) -> None:
    batch = batch_of(9, masks=True)
    batch["image"] = batch["mask"][:, None].float()  # then image and mask must stay the same
    mixed = mix_batch(batch, [MIXING[name]()], range(9), 3)
    assert mixed["mask"].dtype == torch.int64
    assert set(mixed["mask"].unique().tolist()) <= {0, 1, 2}
    assert "target" not in mixed
    if name == "cutout":
        assert torch.equal(mixed["mask"], batch["mask"]), "the anatomy is where it was"
        assert (mixed["image"] == 0).sum() > (batch["image"] == 0).sum()
    else:
        assert torch.equal(mixed["image"][:, 0], mixed["mask"].float())
        assert not torch.equal(mixed["mask"], batch["mask"])


@pytest.mark.parametrize(
    "method",
    [
        Mixup(alpha=0),
        CutMix(alpha=0),
        Ricap(beta=0),
        PerlinMix(alpha=0),
        Cutout(side=0),
        *(MIXING[name](probability=0) for name in MIXING),
    ],
    ids=lambda method: f"{type(method).__name__}-{method.probability}",
)
def test_no_strength_and_no_probability_are_the_identity(method: Any) -> None:
    batch = batch_of(6)
    mixed = mix_batch(batch, [method], range(6), 3)
    assert torch.equal(mixed["image"], batch["image"])
    if "target" in mixed:
        assert torch.equal(mixed["target"], torch.nn.functional.one_hot(batch["label"], 3).float())
    if "views" in mixed:
        assert all(torch.equal(view, batch["image"]) for view in mixed["views"].unbind(1))


@pytest.mark.parametrize("name", ["mixup", "ricap", "perlin_mix"])
def test_strength_near_nothing_keeps_whole_images(name: str) -> None:
    """alpha -> 0: each new image is one of the batch's, to a part in a thousand, and its label."""
    batch = batch_of(8)
    method = MIXING[name](**{"beta" if name == "ricap" else "alpha": 1e-4})
    mixed = mix_batch(batch, [method], range(8), 3)
    distance = (mixed["image"][:, None] - batch["image"][None]).abs().amax(dim=(2, 3, 4)).amin(1)
    assert (distance < 1e-3).all()
    assert (mixed["target"].amax(dim=1) > 0.999).all()


@pytest.mark.parametrize("name", list(MIXING))
def test_replay_is_bit_equal_and_depends_on_the_own_seed_alone(name: str) -> None:
    batch, seeds = batch_of(8), list(range(100, 108))
    once = mix_batch(batch, [MIXING[name]()], seeds, 3)
    torch.manual_seed(5)
    again = mix_batch(batch, [MIXING[name]()], seeds, 3)
    for key, value in once.items():
        assert torch.equal(again[key], value), key
    # Two processes with half of it each.
    for start in (0, 4):
        half = {key: value[start : start + 4] for key, value in batch.items()}
        part = mix_batch(half, [MIXING[name]()], seeds[start : start + 4], 3)
        for key, value in part.items():
            assert torch.equal(value, once[key][start : start + 4]), key
    other = mix_batch(batch, [MIXING[name]()], [*seeds[:-1], 999], 3)
    key = "views" if name == "augmix" else "image"
    assert torch.equal(other[key][:-1], once[key][:-1])
    assert not torch.equal(other[key][-1], once[key][-1])


def test_perlin_mixes_two_classes_where_there_are_two() -> None:
    labels = torch.tensor([0, 0, 0, 1, 2, 2, 2, 2])
    sources = PerlinMix().draw(generators(8), 16, 16, labels).sources
    assert labels[sources[:, 1]].tolist() == [1, 1, 1, 0, 2, 2, 2, 2]
    assert (sources[:, 0] != sources[:, 1]).all()
    alike = PerlinMix(other_class=False).draw(generators(8), 16, 16, labels).sources
    assert torch.equal(alike, partners(8)[:, :2])


def test_perlin_noise_by_hand() -> None:
    """Zero at lattice points; a lattice of one direction is a ramp in every square."""
    angles = torch.zeros(1, 3, 3, dtype=torch.float64)
    noise = perlin_noise(angles, 4, 4)
    # Pixels at 1/4 and 3/4 of a square: x - fade(x), with fade(1/4) = 53/512.
    expected = torch.tensor([0.25 - 53 / 512, 0.75 - 459 / 512] * 2, dtype=torch.float64)
    torch.testing.assert_close(noise, expected.expand(1, 4, 4))
    random = torch.Generator().manual_seed(0)
    angles = torch.rand(50, 5, 5, generator=random) * 2 * math.pi
    noise = perlin_noise(angles, 400, 400)
    assert noise.abs().max() <= 1 / math.sqrt(2)
    on_lattice = noise.view(50, 4, 100, 4, 100)[:, :, 0, :, 0]
    assert on_lattice.abs().max() < 0.02
    assert noise.diff(dim=1).abs().max() < 0.05, "no seams"


def test_cutout_is_a_square_around_a_point_of_the_image() -> None:
    blank = Cutout(side=0.5).draw(generators(400), 32, 32)[:, 0]
    rows, columns = blank.any(2).sum(1), blank.any(1).sum(1)
    assert torch.equal(blank.flatten(1).sum(1), rows * columns)
    assert int(rows.max()) == int(columns.max()) == 16
    # Cut off at the border: a uniform centre keeps 7/8 of the side on average.
    assert float(rows.double().mean()) == pytest.approx(14, abs=0.4)


def test_methods_follow_one_another() -> None:
    batch = batch_of(8)
    both = mix_batch(batch, [Mixup(alpha=1.0), CutMix()], range(8), 3)
    torch.testing.assert_close(both["target"].sum(dim=1), torch.ones(8))
    first = mix_batch(batch, [Mixup(alpha=1.0)], range(8), 3)
    assert not torch.equal(both["image"], first["image"])
    assert (both["target"] > 0).sum() >= (first["target"] > 0).sum()


def test_half_precision_sums_to_one_and_copies_bits() -> None:
    batch = batch_of(8)
    half = {**batch, "image": batch["image"].half()}
    mixed = mix_batch(half, [CutMix()], range(8), 3)
    assert mixed["image"].dtype == torch.float16
    values = set(half["image"].flatten().tolist())
    assert set(mixed["image"].flatten().tolist()) <= values
    assert mixed["target"].dtype == torch.float32
    blended = mix_batch(half, [Mixup(alpha=1.0)], range(8), 3)
    exact = mix_batch(batch, [Mixup(alpha=1.0)], range(8), 3)
    torch.testing.assert_close(blended["image"].float(), exact["image"], atol=2e-3, rtol=0)
    assert torch.equal(blended["target"], exact["target"])


def test_what_is_not_defined_is_refused() -> None:
    films, slices = Images(labels=True), Images(masks=True)
    for name, why in (("mixup", "so a pixel has two labels"), ("augmix", "has no label map")):
        with pytest.raises(
            UserError, match=rf"--data\.augmentation: {name}: .*{why}.*cutmix, ricap"
        ):
            read_policy([name], slices)
    for name in MIXING:
        assert len(read_policy([name], films).on_batches) == 1
        with pytest.raises(UserError, match=rf"{name}: .*labels"):
            read_policy([name], Images())
    assert len(read_policy(["cutmix", "ricap", "perlin_mix", "cutout"], slices).on_batches) == 4
    with pytest.raises(UserError, match=r"cutout comes after augmix.* Put augmix last"):
        read_policy(["augmix", "cutout"], films)
    for settings, sentence in (
        ({"cutmix": {"alpha": -1}}, "cutmix: alpha is -1, expected a number from 0"),
        ({"augmix": {"repertoire": "all"}}, "augmix: repertoire is 'all', expected paper or medi"),
        ({"augmix": {"depth": 0}}, "augmix: depth is 0, expected 1 or more, or -1"),
        ({"ricap": {"alpha": 1}}, "ricap has no setting alpha"),
        ({"perlin_mix": {"other_class": 1}}, "other_class is 1, expected true or false"),
    ):
        with pytest.raises(UserError, match=sentence):
            read_policy([settings], films)


def test_a_share_of_one_image_is_refused_and_an_uneven_one_is_said() -> None:
    with pytest.raises(UserError, match=r"mixup: --data\.batch_size 2 on 2 processes"):
        check_share(["mixup"], 2, 2)
    assert check_share([], 2, 2) is None
    assert check_share(["mixup"], 16, 2) is None
    assert check_share(["mixup"], 6, 1) is None
    assert "no multiple" in (check_share(["mixup"], 12, 2) or "")
    assert [name for name, kind in MIXING.items() if not kind.meets] == ["cutout", "augmix"]


def test_mixtures_say_the_same_of_a_blend_and_of_a_patchwork() -> None:
    """Half an image's area and half an image's weight give the same target."""
    sources = torch.tensor([[0, 1], [1, 0]])
    parts = torch.zeros(2, 4, 4, dtype=torch.uint8)
    parts[:, 2:] = 1
    patchwork = Patchwork(sources, parts, torch.zeros(2, 2, 2, dtype=torch.int64))
    blend = Blend(sources, torch.full((2, 2), 0.5))
    assert torch.equal(patchwork.targets(torch.eye(2)), blend.targets(torch.eye(2)))


def test_findings_are_mixed_by_share_and_unknown_where_a_part_is() -> None:
    findings = torch.tensor([[1.0, 0.0, torch.nan], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    half = Blend(torch.tensor([[0, 1], [1, 2], [2, 0]]), torch.tensor([[0.75, 0.25]] * 3))
    mixed = mixed_findings(half, findings)
    expected = torch.tensor([[0.75, 0.0, torch.nan], [0.25, 0.25, 1.0], [1.0, 0.75, torch.nan]])
    torch.testing.assert_close(mixed, expected, equal_nan=True)
    whole = Blend(half.sources, torch.tensor([[1.0, 0.0]] * 3))  # what is not in it tells nothing
    torch.testing.assert_close(mixed_findings(whole, findings), findings, equal_nan=True)
