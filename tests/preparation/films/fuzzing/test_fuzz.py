"""Damaged DICOM films: each is read as a film of the right shape, or refused by name."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest
from dicom_mutations import mutate, small_films
from fuzz_dicom_films import Outcome, choose, fuzz, real_films, summarise


def run(numbers, seed):
    found = fuzz(small_films(), [], seed, numbers)
    return [result for result in found if isinstance(result, Outcome)]


def test_300_damaged_films():
    summary = summarise(run(range(300), seed=1))
    assert summary["films"] == 300
    assert summary["failures"] == []
    assert summary["over_1_s"] == 0
    assert summary["read"] > 20
    assert len(summary["rejected"]) > 5


@pytest.mark.fuzz
@pytest.mark.timeout(0)
def test_many_damaged_films():
    """`make fuzz`; prints what became of them.

    FUZZ_FILMS=FOLDER damages real films too, FUZZ_SEED chooses other damage, and FUZZ_FIRST=4711
    FUZZ_COUNT=1 runs one again.
    """
    seed, first, count = (
        int(os.environ.get(f"FUZZ_{name}", default))
        for name, default in (("SEED", 0), ("FIRST", 0), ("COUNT", 10_000))
    )
    folder = os.environ.get("FUZZ_FILMS")
    real = real_films(Path(folder)) if folder else []
    results = list(fuzz(small_films(), real, seed, range(first, first + count)))
    outcomes = [result for result in results if isinstance(result, Outcome)]
    summary = summarise(outcomes)
    summary["of_real_films"] = sum(o.base in {base.name for base in real} for o in outcomes)
    summary["peak_memory_mb"] = round(max((r for r in results if isinstance(r, float)), default=0))
    print(json.dumps(summary, indent=1))
    assert summary["films"] == count
    assert summary["failures"] == []
    assert summary["over_1_s"] == 0


def test_damage_is_a_function_of_seed_and_number():
    small = small_films()
    for number in range(200):
        base = choose(small, [], 0, number)
        once, again = mutate(base.data, 0, number), mutate(base.data, 0, number)
        assert once == again
        assert base == choose(small, [], 0, number)
    assert small[0].data == small_films()[0].data
    damaged = {mutate(small[0].data, seed, number)[0] for seed in (0, 1) for number in range(100)}
    assert len(damaged) > 190


def test_a_dead_child_is_counted_and_replaced():
    outcomes = []
    for result in fuzz(small_films()[:1], [], 2, range(2000)):
        if isinstance(result, Outcome):
            outcomes.append(result)
        if len(outcomes) == 1:
            multiprocessing.active_children()[0].kill()
        if len(outcomes) > 1 and outcomes[-2].what.startswith("crashed"):
            break
    # What the child had sent before it died still comes; then its death; then the next number.
    assert [outcome.number for outcome in outcomes] == list(range(len(outcomes)))
    assert outcomes[-2].what == "crashed -9"
    assert outcomes[-2].failed
    assert not outcomes[-1].failed


def test_summary_counts_what_must_not_happen():
    whats = ["read", "rejected truncated", "wrong shape", "uncaught KeyError", "crashed -6", "hung"]
    outcomes = [
        Outcome(number, "rle", "cut_off", what, 0.2 * number) for number, what in enumerate(whats)
    ]
    summary = summarise([*outcomes, Outcome(6, "rle", "flip_bits", "read", 1.5)])
    assert (summary["read"], summary["rejected"]) == (2, {"truncated": 1})
    assert (summary["uncaught"], summary["crashed"], summary["hung"]) == (1, 1, 1)
    assert (summary["wrong_shape"], summary["over_1_s"]) == (1, 1)
    assert [failure["number"] for failure in summary["failures"]] == [2, 3, 4, 5]
    assert summary["slowest"][0]["number"] == 6
