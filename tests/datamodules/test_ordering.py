"""The data order: exact shares, exact continuation, the asked-for frequencies."""

from collections import Counter

import numpy as np
import pytest

from datamodules.ordering import OrderedBatches
from provenance import UserError


def order(steps_done: int = 0, **settings: object) -> list[list[tuple[int, int]]]:
    given = {"num_items": 22, "global_batch_size": 4, "seed": 3, **settings}
    batches = OrderedBatches(steps_done=lambda: steps_done, **given)  # type: ignore[arg-type]
    return [[(draw.index, draw.seed) for draw in batch] for batch in batches]


def test_epoch_is_a_permutation_without_the_incomplete_batch() -> None:
    indices = [index for batch in order() for index, _ in batch]
    assert len(indices) == 20
    assert len(set(indices)) == 20


def test_epochs_differ_and_so_does_what_is_left_out() -> None:
    first, second = order(0), order(5)
    assert first != second
    left_out = [{*range(22)} - {i for b in epoch for i, _ in b} for epoch in (first, second)]
    assert left_out[0] != left_out[1]


def test_asked_again_it_continues_where_training_stands() -> None:
    for done in range(5):
        assert order(done) == order(0)[done:]
    assert order(7) == order(5)[2:]


def test_processes_share_each_global_batch() -> None:
    whole = order()
    parts = [order(rank=rank, num_processes=2) for rank in range(2)]
    assert [a + b for a, b in zip(*parts, strict=True)] == whole


def test_augmentation_seeds_are_all_different() -> None:
    seeds = [seed for done in (0, 5) for batch in order(done) for _, seed in batch]
    assert len(set(seeds)) == len(seeds)


def test_fewer_items_than_a_batch_fill_one() -> None:
    (batch,) = order(num_items=3, global_batch_size=8)
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
