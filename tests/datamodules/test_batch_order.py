"""The data order: exact shares, exact continuation, the asked-for frequencies."""

from collections import Counter

import numpy as np
import pytest

from datamodules.batch_order import OrderedBatches
from provenance import UserError


def order(steps_done: int = 0, **settings: object) -> list[list[tuple[int, int]]]:
    given = {"num_items": 22, "global_batch_size": 4, "seed": 3, **settings}
    batches = OrderedBatches(steps_done=lambda: steps_done, **given)  # type: ignore[arg-type]
    return [[(draw.index, draw.seed) for draw in batch] for batch in batches]


def indices(steps_done: int = 0, **settings: object) -> list[int]:
    return [index for batch in order(steps_done, **settings) for index, _ in batch]


def test_an_epoch_repeats_nothing() -> None:
    drawn = indices()
    assert len(drawn) == 20  # 22 items in batches of 4
    assert len(set(drawn)) == 20


def test_nothing_is_dropped_in_the_long_run() -> None:
    row = [index for done in range(0, 55, 5) for index in indices(done)]
    assert len(row) == 220
    assert set(Counter(row).values()) == {10}
    for start in range(0, 220, 22):  # every round is a permutation
        assert sorted(row[start : start + 22]) == list(range(22))


def test_rounds_differ() -> None:
    assert indices(0, num_items=20) != indices(5, num_items=20)


def test_asked_again_it_continues_where_training_stands() -> None:
    row = order(0) + order(5)
    for done in range(6):
        assert order(done) == row[done : done + 5]


def test_epoch_length_can_be_set() -> None:
    assert len(order(images_per_epoch=9)) == 2
    assert len(order(images_per_epoch=400)) == 100
    assert len(order(images_per_epoch=1)) == 1


def test_processes_share_each_global_batch() -> None:
    whole = order()
    parts = [order(rank=rank, num_processes=2) for rank in range(2)]
    assert [a + b for a, b in zip(*parts, strict=True)] == whole


def test_augmentation_seeds_are_all_different() -> None:
    seeds = [seed for done in (0, 5) for batch in order(done) for _, seed in batch]
    assert len(set(seeds)) == len(seeds)


def test_fewer_items_than_a_batch_fill_one() -> None:
    (batch,) = order(num_items=3, global_batch_size=8)
    assert max(Counter(index for index, _ in batch).values()) == 3
    assert Counter(index for index, _ in batch).keys() == {0, 1, 2}
    assert len(batch) == 8


def test_weights_set_the_frequency() -> None:
    weights = np.array([1.0] * 90 + [9.0] * 10)
    drawn = Counter(
        index >= 90
        for done in range(0, 500, 25)
        for batch in order(done, num_items=100, weights=weights)
        for index, _ in batch
    )
    share = drawn[True] / drawn.total()
    assert abs(share - 0.5) < 4 * np.sqrt(0.25 / drawn.total())


def test_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(UserError, match=r"batch_size 4 .* Use a multiple of 3"):
        order(num_processes=3)
