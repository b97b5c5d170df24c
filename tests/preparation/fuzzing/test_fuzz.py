"""Damaged files of every kind: each is read, or refused by a sentence."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest
from byte_changes import mutate
from fuzz import Outcome, damaged, fuzz, real_films, summarise
from kinds import KINDS, read_damaged


def run(kind, numbers, seed):
    found = fuzz(kind, [], seed, numbers)
    return [result for result in found if isinstance(result, Outcome)]


@pytest.mark.parametrize(("kind", "count"), [(k, 300 if k == "dicom" else 120) for k in KINDS])
def test_damaged_files(kind, count):
    summary = summarise(run(kind, range(count), seed=1))
    assert summary["files"] == count
    assert summary["failures"] == []
    assert summary["over_1_s"] == 0
    assert summary["read"] > count // 50
    assert sum(summary["rejected"].values()) > count // 10


@pytest.mark.parametrize("kind", KINDS)
def test_sound_files_are_read(kind, tmp_path):
    for base in KINDS[kind].bases():
        assert read_damaged(kind, base, base.data, tmp_path / "one") == "read", base.name


@pytest.mark.fuzz
@pytest.mark.timeout(0)
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_files(kind):
    """`make fuzz`; prints what became of them.

    FUZZ_FILMS=FOLDER damages real films too, FUZZ_SEED chooses other damage, and FUZZ_FIRST=4711
    FUZZ_COUNT=1 runs one again; `-k nifti` runs one kind.
    """
    seed, first, count = (
        int(os.environ.get(f"FUZZ_{name}", default))
        for name, default in (("SEED", 0), ("FIRST", 0), ("COUNT", 10_000))
    )
    folder = os.environ.get("FUZZ_FILMS")
    real = real_films(Path(folder)) if folder and kind == "dicom" else []
    results = list(fuzz(kind, real, seed, range(first, first + count)))
    outcomes = [result for result in results if isinstance(result, Outcome)]
    summary = {"kind": kind, **summarise(outcomes)}
    summary["of_real_films"] = sum(o.base in {base.name for base in real} for o in outcomes)
    summary["peak_memory_mb"] = round(max((r for r in results if isinstance(r, float)), default=0))
    print(json.dumps(summary, indent=1))
    assert summary["files"] == count
    assert summary["failures"] == []


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_a_function_of_seed_and_number(kind):
    small, again = KINDS[kind].bases(), KINDS[kind].bases()
    assert [base.name for base in small] == [base.name for base in again]
    for number in range(50):
        assert damaged(kind, small, [], 0, number) == damaged(kind, small, [], 0, number)
    changes = KINDS[kind].changes
    found = {mutate(small[0].data, changes, seed, n)[0] for seed in (0, 1) for n in range(100)}
    assert len(found) > 150


def test_a_dead_child_is_counted_and_replaced():
    outcomes = []
    for result in fuzz("dicom", [], 2, range(2000)):
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
        Outcome("dicom", number, "rle", "cut_off", what, 0.2 * number)
        for number, what in enumerate(whats)
    ]
    summary = summarise([*outcomes, Outcome("dicom", 6, "rle", "flip_bits", "read", 1.5)])
    assert (summary["read"], summary["rejected"]) == (2, {"truncated": 1})
    assert (summary["uncaught"], summary["crashed"], summary["hung"]) == (1, 1, 1)
    assert summary["over_1_s"] == 1
    assert [failure["number"] for failure in summary["failures"]] == [2, 3, 4, 5]
    assert summary["slowest"][0]["number"] == 6
