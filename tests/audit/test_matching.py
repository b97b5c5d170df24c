"""Candidates and likenesses against naive references; copies of drawn films are found."""

import math
import weakref

import numpy as np
import pytest
import torch
from torch import Tensor

import audit.matching
import audit.search
from audit.disguises import disguises
from audit.embedding import CopyEmbedding, train_embedding
from audit.matching import Gallery, excess_over_others, match, points_of
from audit.pairs import pair_of
from audit.search import nearest
from phantom.chest.film import draw_film
from phantom.chest.patient import draw_chest_patient

NUM_TRAINING = 32


@pytest.fixture(scope="module")
def films() -> Tensor:
    """Of 44 drawn patients, (44, 1, 32, 32) uint8; those after NUM_TRAINING are held out."""
    drawn = [draw_film(draw_chest_patient(index), "PA", 32) for index in range(44)]
    return torch.from_numpy(np.stack(drawn)[:, None] * 255).round().byte()


@pytest.fixture(scope="module")
def network(films: Tensor) -> CopyEmbedding:
    return train_embedding(films[:NUM_TRAINING], seed=0, steps=25)


@pytest.fixture(scope="module")
def gallery(films: Tensor, network: CopyEmbedding) -> Gallery:
    training = films[:NUM_TRAINING]
    return Gallery(training, torch.arange(NUM_TRAINING), points_of(network, training))


def test_embeddings_are_those_of_each_region_and_none_is_kept_beside_the_result(
    films: Tensor, network: CopyEmbedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = points_of(network, films)
    made: list[weakref.ref[Tensor]] = []
    kept_at_once = []

    class Watched(CopyEmbedding):
        def forward(self, views: Tensor) -> Tensor:
            kept_at_once.append(sum(one() is not None for one in made))
            points: Tensor = network(views)
            made.append(weakref.ref(points))
            return points

    monkeypatch.setattr(audit.matching, "_BATCH", 7)
    in_parts = points_of(Watched(), films)
    torch.testing.assert_close(in_parts, whole, rtol=0, atol=1e-6)
    assert in_parts.shape == (5, 44, 128)
    assert len(kept_at_once) == 5 * 7  # of 44 films, seven parts
    assert max(kept_at_once) <= 1  # the one that was copied last


@pytest.mark.parametrize(("block", "shortlist"), [(7, 128), (2**24, 128), (2**24, 1)])
def test_nearest_is_brute_force(
    monkeypatch: pytest.MonkeyPatch, block: int, shortlist: int
) -> None:
    monkeypatch.setattr(audit.search, "_BLOCK_ENTRIES", block)
    monkeypatch.setattr(audit.search, "_SHORTLIST", shortlist)  # 1: one patient's fill it
    source = torch.Generator().manual_seed(0)
    queries, references = (
        torch.nn.functional.normalize(torch.randn(count, 8, generator=source), dim=1)
        for count in (9, 40)
    )
    patients = torch.arange(40) // 5
    found = nearest(queries, references, patients, 3, 2)
    for query, row in zip(queries, found.tolist(), strict=True):
        order = sorted(range(40), key=lambda index: -float(query @ references[index]))
        expected: list[int] = []
        for index in order:
            if len(expected) < 3 and index // 5 not in [one // 5 for one in expected]:
                expected.append(index)
        expected += [index for index in order if index not in expected][:2]
        assert row == expected


def test_nearest_takes_what_there_is() -> None:
    points = torch.eye(4)
    assert nearest(points, points[:3], torch.tensor([0, 0, 1]), 8, 8).shape == (4, 3)
    assert nearest(points[:0], points, torch.arange(4), 2, 1).shape == (0, 3)


def test_excess_against_a_naive_reference() -> None:
    source = torch.Generator().manual_seed(1)
    value = torch.rand(20, 12, generator=source) * 2 - 1
    patient = torch.randint(7, (20, 12), generator=source)
    best = value.argmax(1)
    found = excess_over_others(value, patient, best).tolist()
    for row in range(20):
        tops: dict[int, float] = {}
        for score, owner in zip(value[row].tolist(), patient[row].tolist(), strict=True):
            tops[owner] = max(tops.get(owner, -2.0), score)
        first = tops.pop(int(patient[row, best[row]]))
        others = [math.atanh(one) for one in sorted(tops.values(), reverse=True)[:4]]
        assert found[row] == pytest.approx(math.atanh(first) - np.mean(others), abs=1e-5)


def test_excess_of_one_patient_alone_is_nothing() -> None:
    value = torch.tensor([[0.2, 0.9, 0.4]])
    assert excess_over_others(value, torch.zeros(1, 3).long(), torch.tensor([1])).tolist() == [0.0]


def test_neighbouring_images_of_a_patient_do_not_hide_a_copy(
    films: Tensor, network: CopyEmbedding
) -> None:
    """As slices: of each patient six images that are all but the same."""
    training = films[:12].repeat_interleave(6, 0)
    gallery = Gallery(training, torch.arange(72) // 6, points_of(network, training))
    found = match(network, gallery, torch.cat([films[:3], films[-6:]]))
    assert found.excess[:3, 0].min() > 2 * found.excess[3:, 0].max()


def test_copies_of_drawn_films_are_found(
    films: Tensor, network: CopyEmbedding, gallery: Gallery
) -> None:
    source = torch.Generator().manual_seed(2)
    rows, strange = torch.arange(6), films[-6:].float() / 255
    highest = match(network, gallery, films[NUM_TRAINING:]).excess[:, 0].max()
    kinds = disguises()
    for name in (
        "plain",
        "flipped",
        "turned 5 degrees",
        "gamma 1.4",
        "inverted",
        "upside down",
        "turned 90 degrees",
    ):
        copies = kinds[name](films[rows].float() / 255, strange, source)
        found = match(network, gallery, (255 * copies).round().byte())
        assert (found.excess[:, 0] > highest).float().mean() >= 5 / 6, name
        assert (found.source[:, 0] == rows).float().mean() >= 5 / 6, name
        assert bool(found.negative[:, 0].all()) == (name == "inverted")
    half = kinds["left half of one, right half of another"](
        films[rows].float() / 255, strange, source
    )
    found = match(network, gallery, (255 * half).round().byte())
    left = found.source[:, [1, 3]]  # the corners on the left
    assert (left == rows[:, None]).any(1).float().mean() >= 5 / 6


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_copy_is_found_however_it_lies_and_is_laid_back(
    films: Tensor, network: CopyEmbedding, gallery: Gallery, turns: int, mirrored: bool
) -> None:
    query = films[4:5].rot90(turns, (2, 3))
    query = query.flip(3) if mirrored else query
    found = match(network, gallery, query)
    assert found.source[0, 0] == 4
    assert found.correlation[0, 0] > 0.99
    image, laid, left = pair_of(0, 0, query, gallery.images, found).drawn
    assert np.array_equal(image, query[0, 0].numpy())
    assert np.corrcoef(image.ravel(), laid.ravel())[0, 1] > 0.99
    assert left.mean() < 3  # of 255: it lies there as it is, nowhere turned the other way


def test_a_query_is_judged_alike_whatever_the_batch(
    monkeypatch: pytest.MonkeyPatch, films: Tensor, network: CopyEmbedding, gallery: Gallery
) -> None:
    queries, done = films[:7], []
    together = match(network, gallery, queries, on_query=done.append)
    monkeypatch.setitem(audit.matching._QUERIES_AT_ONCE, "cpu", 3)
    apart = match(network, gallery, queries, on_query=done.append)
    assert done == [7, 3, 3, 1]
    assert torch.equal(apart.source, together.source)
    assert torch.equal(apart.negative, together.negative)
    torch.testing.assert_close(apart.correlation, together.correlation, atol=1e-4, rtol=0)
    torch.testing.assert_close(apart.excess, together.excess, atol=1e-2, rtol=0)


def test_the_image_behind_a_label_map_is_always_tried(
    films: Tensor, network: CopyEmbedding, gallery: Gallery
) -> None:
    query, blind = films[:1], CopyEmbedding().eval()  # proposes anything
    source = torch.Generator().manual_seed(3)
    points = torch.randn(5, NUM_TRAINING, 128, generator=source)
    points = torch.nn.functional.normalize(points, dim=2)
    poor = Gallery(gallery.images, gallery.patients, points)
    found = match(blind, poor, query, own=torch.tensor([0]))
    assert found.source[0, 0] == 0
    assert found.correlation[0, 0] > 0.999


def test_every_disguise_keeps_shape_and_range(films: Tensor) -> None:
    images = films[:3].float() / 255
    for name, disguise in disguises().items():
        made = disguise(images, films[3:6].float() / 255, torch.Generator().manual_seed(0))
        assert made.shape == images.shape, name
        assert 0 <= made.min() <= made.max() <= 1, name
        assert name == "plain" or not torch.equal(made, images), name
