"""The benchmarks of the audit deal, plant, count and extrapolate as their pages say."""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from audit.disguises import disguises
from audit.embedding import CopyEmbedding
from audit.images import AuditedSets, Images
from audit.matching import Matches
from audit.rebuilding import Rebuilding
from audit.statistics import Scale
from benchmarks import audit_copies
from benchmarks.audit_checkpoints import Seen, places_of
from benchmarks.audit_checkpoints import judged as judged_set
from benchmarks.audit_copies import BY_GENERATOR, Dealt, Draw, dealt, planted
from benchmarks.audit_copies_page import OF_FRESH, Looked, judged, misses, page, planted_figures
from benchmarks.audit_cost import EMBEDDINGS, Cost, growth
from benchmarks.audit_redealt import redealt
from provenance import UserError

PATIENTS = np.repeat([f"patient_{number:03d}" for number in range(60)], 3)


def films(count: int) -> torch.Tensor:
    source = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 1, 32, 32), generator=source).byte()


def test_no_patient_is_dealt_to_two_sides() -> None:
    sides = dealt(PATIENTS, num_fresh=50, num_training=40, seed=1)
    assert len(sides.fresh) == 50
    assert len(sides.training) == 40
    owners = [set(PATIENTS[rows]) for rows in vars(sides).values()]
    assert sum(map(len, owners)) == len(set.union(*owners))
    assert len(sides.held_out) == 180 - 3 * 17 - 3 * 14  # whole patients went to the other sides
    again = dealt(PATIENTS, num_fresh=50, num_training=40, seed=2)
    assert set(PATIENTS[again.fresh]) != set(PATIENTS[sides.fresh])
    with pytest.raises(UserError, match="180 films are too few for 100 fresh and 80 training"):
        dealt(PATIENTS, num_fresh=100, num_training=80, seed=1)


def test_every_disguise_is_planted_and_two_kinds_are_rebuilt() -> None:
    training, strange = films(20), films(30)[20:23]
    rebuilding = Rebuilding(training, seed=0)
    copies = planted(training[[4, 0, 7]], strange, rebuilding, seed=3)
    assert set(copies) == {*disguises(), audit_copies.OF_TRAINING, OF_FRESH}
    assert torch.equal(copies["plain"], training[[4, 0, 7]])
    assert torch.equal(copies["inverted"], 255 - training[[4, 0, 7]])
    # Half of the components of 20 films hold much of these, and nothing of other noise.
    far = (copies[OF_FRESH].float() - strange).abs().mean()
    assert (copies[audit_copies.OF_TRAINING].float() - training[[4, 0, 7]]).abs().mean() < 0.8 * far


def of_excess(excess: list[float], source: list[int]) -> Looked:
    whole = torch.tensor(excess)[:, None]
    regions = torch.cat([whole, torch.full((len(excess), 4), -1.0)], 1)
    of_whole = torch.tensor(source)[:, None].expand(-1, 5)
    motion = torch.zeros(len(excess), 5, 2, 3)
    matches = Matches(regions, regions, of_whole, motion, regions > 9)
    return Looked(np.stack([np.array(excess), np.full(len(excess), -1.0)], 1), matches)


def test_found_and_named_are_counted_in_each_draw() -> None:
    scale = Scale(np.array([0.0, 0.0]), np.array([1.0, 1.0]))
    draws = [
        {"plain": of_excess([3.0, 1.0], [8, 9])},
        {"plain": of_excess([3.0, 4.0], [8, 5])},
    ]
    rows = [{"": torch.tensor([8, 9])}, {"": torch.tensor([0, 0]), "plain": torch.tensor([8, 9])}]
    figures = planted_figures(draws, rows, scale, threshold=2.0)
    assert figures == {"plain": {"num": 4, "found": [0.5, 1.0], "named": [1.0, 0.5]}}


def test_a_checkpoints_figures_count_images_and_what_they_lie_on() -> None:
    held_out = of_excess([0.01 * row for row in range(100)], list(range(100)))
    copied = of_excess([0.2, 5.0, 5.0, 5.0], [1, 7, 7, 8])
    others = [f"held out {row}" for row in range(100)]
    nothing = torch.empty(0, 1, 32, 32, dtype=torch.uint8)
    sets = AuditedSets(
        Images(nothing, [], []),
        Images(nothing, others, others),
        Images(nothing, [], []),
        torch.empty(0),
    )
    seen = Seen(copied.likenesses, copied.first)
    of_held_out = Seen(held_out.likenesses, held_out.first)
    found = judged_set(seen, list("abcd"), of_held_out, sets, np.array([[4.0, -1.0]] * 9))
    assert [found[key] for key in ("images", "flagged", "above_every_held_out")] == [4, 3, 3]
    assert found["like_a_plain_copy"] == 3
    assert found["training_images_copied"] == 2
    assert found["p_flagged"] < 0.005
    assert found["correlation"] == pytest.approx(5.0)  # as given


def test_missed_bars_are_said() -> None:
    row = {
        "seed": 4, "flagged": 0.026, "p_flagged": 0.3, "p_above": 0.004,
        "planted": {
            "plain": {"num": 20, "found": [0.95], "named": [1.0]},
            "flipped": {"num": 20, "found": [0.90], "named": [1.0]},
            "a box of text on it": {"num": 20, "found": [0.85], "named": [1.0]},
            OF_FRESH: {"num": 20, "found": [0.05], "named": [0.0]},
        },
    }  # fmt: skip
    assert misses([row]) == [
        "fresh films: 2.6 % flagged on average",
        "draw 4: 2.6 % of fresh films flagged",
        "draw 4: placebo p = 0.004",
        "flipped: 90.0 % found",
        f"{OF_FRESH}: 5.0 % flagged",
    ]


def test_films_dealt_anew_are_flagged_as_often_as_the_threshold_says() -> None:
    random = np.random.default_rng(0)
    alone = [str(number) for number in range(3000)]
    found = redealt(random.normal(size=(3000, 2)), alone, 1500, seed=0)
    assert found.mean == pytest.approx(0.01, abs=0.002)
    assert found.mean < found.largest < 0.03


def test_costs_on_a_line_are_extrapolated_along_it() -> None:
    costs = [
        Cost(size, 10, placing=0.001 * size, looking=10 * (0.02 + 1e-6 * size), learning=0.1,
             memory=0, libraries=0)
        for size in (1000, 4000, 9000)
    ]  # fmt: skip
    found = growth(costs, steps=600)
    assert found.query == pytest.approx(0.02)
    assert found.pair == pytest.approx(1e-6)
    assert found.learning == pytest.approx(60)
    expected = EMBEDDINGS * ((40_000 + 2000 + 1900) * (0.02 + 0.1) + 100 + 60)
    assert found.audit(40_000, 100_000) == pytest.approx(expected)


@pytest.mark.slow
def test_a_second_call_goes_on_and_the_page_counts_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = CopyEmbedding().eval()
    monkeypatch.setattr(audit_copies, "kept_or_trained", lambda *_: network)
    monkeypatch.setattr(audit_copies, "over_trained", lambda images, *_: images.repeat(40, 1, 1, 1))
    sides = Dealt(np.arange(15), np.arange(15, 24), np.arange(24, 33))
    held_out, fresh = (PATIENTS[rows].tolist() for rows in (sides.held_out, sides.fresh))

    def draw() -> Draw:
        return Draw(tmp_path, films(33), PATIENTS[:33], sides, seed=0)

    draw().copies(0, 2)
    assert judged(tmp_path, held_out, fresh, seed=0) is None
    assert page([None]) == "No draw of patients was looked at whole yet."
    draw().base()
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = draw()
    again.copies(0, 2)
    again.base()
    assert again.disguised().shape[0] > 16 * 32
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written
    assert load_file(tmp_path / "copies_00.safetensors")["rows"].shape == (2,)
    row = judged(tmp_path, held_out, fresh, seed=0)
    assert row is not None
    assert row["planted"]["plain"] == {"num": 2, "found": [1.0], "named": [1.0]}
    assert row["planted"][BY_GENERATOR] == {"num": 2, "found": [1.0], "named": [1.0]}
    assert len(row["mixed"]) == 1
    assert "| plain | 2 | 100.0 % | 100.0 % | 100.0 % | 100.0 % |" in page([row])


def test_a_cache_with_too_few_films_is_refused(
    film_cache: Callable[..., Path], tmp_path: Path
) -> None:
    options = argparse.Namespace(
        root=film_cache(tmp_path / "cache"), out=tmp_path / "out", share=0.1, fresh=10**6,
        training=10, draws=1, placebos=0, copy_draws=0, judge_only=True,
    )  # fmt: skip
    with pytest.raises(UserError, match="films are too few for 1000000 fresh"):
        audit_copies.run(options)


def test_sets_named_by_numbers_stand_at_them() -> None:
    assert places_of(["020000", "100000", "120000"]) == [20_000, 100_000, 120_000]
    assert places_of(["early", "20"]) == ["early", "20"]
