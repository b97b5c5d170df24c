"""The division of patients: stable, proportional, and honest where it cannot be done."""

from dataclasses import replace

import pytest

from preparation.split import Split, moves, own_keys, split_id, split_of
from preparation.split_notes import (
    check_no_split_is_empty,
    merged_lines,
    one_identifier_note,
    warn_of_small_splits,
)
from provenance import UserError

RATIOS = (0.7, 0.2, 0.1)
CASES = [f"case_{n:05d}" for n in range(300)]


def test_known_patients_stay_where_they_are():
    # Written down once: a change here moves test patients into training in every user's data.
    drawn = "".join(split_of(case, RATIOS, 0)[1] for case in CASES[:20])
    assert drawn == "rrrrrrraarrrrarrrrre"


def test_shares_are_near_the_ratios():
    drawn = [split_of(f"p{n}", RATIOS, 3) for n in range(5000)]
    for split, ratio in zip(("train", "val", "test"), RATIOS, strict=True):
        assert abs(drawn.count(split) / 5000 - ratio) < 0.02


@pytest.mark.parametrize("num", [12, 20, 40, 210])
def test_the_default_comes_near_the_ratios_on_kits19(num):
    drawn = [Split().of(case, "") for case in CASES[:num]]
    for split, ratio in zip(("train", "val", "test"), RATIOS, strict=True):
        assert abs(drawn.count(split) - ratio * num) <= 2


def test_adding_patients_moves_nobody_and_seeds_differ():
    split = Split()
    few = {case: split.of(case, "") for case in CASES[:40]}
    many = {case: split.of(case, "") for case in CASES}
    assert all(many[case] == where for case, where in few.items())
    assert [split_of(c, RATIOS, 0) for c in CASES] != [split_of(c, RATIOS, 1) for c in CASES]


def test_by_slice_divides_a_patient_and_by_patient_does_not():
    slices = [f"case_00000/{n:04d}" for n in range(100)]
    assert len({Split().of("case_00000", s) for s in slices}) == 1
    assert len({Split(by="slice").of("case_00000", s) for s in slices}) == 3
    assert {Split(all_to="test").of(c, c) for c in CASES} == {"test"}


def test_a_name_with_one_key_is_where_its_key_is():
    keys = {f"patient_{case}": (case,) for case in CASES}
    drawn = Split().divide(keys)
    assert all(drawn[f"patient_{case}"] == Split().of(case, "") for case in CASES)
    assert moves(Split(), keys, drawn, drawn) == {}


def test_several_keys_of_a_patient_take_their_most_frequent_split():
    split = Split(seed=4)
    alone = {key: split.of(key, "") for key in ("12", "12.0", "0012")}
    assert alone == {"12": "train", "12.0": "val", "0012": "train"}
    keys = {"a": ("12", "12.0", "0012"), "b": ("12.0",), "c": ("12.0", "12")}
    drawn = split.divide(keys)
    assert drawn == {"a": "train", "b": "val", "c": "train"}  # c: even, so that of the smaller key
    assert moves(split, keys, drawn, "abc") == {"a": ["val", "train"], "c": ["val", "train"]}
    # A group counts the keys of all its members: two of train, one of val.
    assert split.divide(keys, [["a", "b"]]) == {"a": "train", "b": "train", "c": "train"}
    assert split.divide({"a": ("12.0",), "b": ("12.0", "12")}, [["a", "b"]])["a"] == "train"


def test_whom_spellings_merge_is_said_as_the_source_names_them():
    split = Split(seed=4)
    spellings = {"p": {"12": "12", "12.0": "12.0", "0012": "0012"}, "q": {"7": "7"}}
    drawn = split.divide({who: tuple(keys.values()) for who, keys in spellings.items()})
    first, second = merged_lines(split, spellings, drawn)
    assert first.startswith("3 spellings of 1 patient: ")
    assert "--patient-ids as_written" in first
    assert second == "  0012, 12, 12.0: 12.0 from val to train"
    assert merged_lines(Split(by="image", seed=4), spellings, {})[1] == "  0012, 12, 12.0"
    assert merged_lines(split, {"q": {"7": "7"}}, {"q": "train"}) == []


def test_split_id_depends_on_the_division_alone():
    pairs = [("b", "train"), ("a", "test")]
    assert split_id(pairs) == split_id(pairs[::-1]) == split_id(pairs * 3)
    assert split_id(pairs) != split_id([("b", "train"), ("a", "train")])


def test_an_empty_split_is_refused_with_a_seed_that_works():
    names = next(CASES[i : i + 4] for i in range(300) if _lacks(CASES[i : i + 4]))
    with pytest.raises(UserError, match="Pass --split-seed") as caught:
        check_no_split_is_empty(Split(), own_keys(names))
    seed = int(str(caught.value).split("Pass --split-seed ")[1].split(",")[0])
    check_no_split_is_empty(Split(seed=seed), own_keys(names))
    check_no_split_is_empty(Split(ratios=(1.0, 0.0, 0.0)), own_keys(names))


def test_a_split_of_one_patient_is_warned_of():
    names = next(CASES[i : i + 30] for i in range(300) if _count(CASES[i : i + 30], "test") == 1)
    assert "test has 1 patient" in str(warn_of_small_splits(Split(), own_keys(names)))
    assert warn_of_small_splits(Split(), own_keys(CASES)) is None
    # Where no seed divides better, and where nothing is divided.
    three = str(warn_of_small_splits(Split(ratios=(0.4, 0.3, 0.3), seed=3), own_keys(CASES[:3])))
    assert "over one patient there is none." in three
    few = Split(ratios=(0.5, 0.25, 0.25))
    best = next(seed for seed in range(100) if _counts(few, seed, CASES[:8]) == (4, 2, 2))
    told = warn_of_small_splits(replace(few, seed=best), own_keys(CASES[:8]))
    assert told == (
        "val has 2 patients and test has 2 patients: confidence intervals over so few mean little. "
        "No other seed gives better shares: add patients, or give other --split-ratios."
    )
    alone = warn_of_small_splits(Split(all_to="test"), own_keys(CASES[:1]))
    assert alone == (
        "test has 1 patient: confidence intervals over so few mean little, and over one patient "
        "there is none."
    )
    assert warn_of_small_splits(Split(all_to="train"), own_keys(CASES[:1])) is None


@pytest.mark.parametrize(
    "wrong",
    [{"by": "scan"}, {"ratios": (0.5, 0.2, 0.1)}, {"ratios": (1.1, -0.1, 0)}, {"all_to": "all"}],
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(UserError, match="--split-"):
        Split(**wrong)


def _count(names, split):
    return [Split().of(name, "") for name in names].count(split)


def _counts(split, seed, names):
    drawn = [replace(split, seed=seed).of(name, "") for name in names]
    return tuple(drawn.count(s) for s in ("train", "val", "test"))


def _lacks(names):
    return any(_count(names, s) == 0 for s in ("train", "val", "test"))


def test_one_identifier_for_all_is_named() -> None:
    one = {"pseudonym": {"ANONYMOUS"}}
    told = one_identifier_note(Split(), one, 12, "film")
    assert told.startswith("All 12 films have the patient identifier ANONYMOUS, so they count as")
    assert one_identifier_note(Split(), one, 1, "film") == ""
    assert one_identifier_note(Split(by="image"), one, 12, "film") == ""
    assert one_identifier_note(Split(), {**one, "b": {"B"}}, 12, "film") == ""
    with pytest.raises(UserError, match=r"There is 1 patient\. .* none of them is in") as caught:
        check_no_split_is_empty(Split(), {"pseudonym": ("ANONYMOUS",)}, left_out=told)
    assert str(caught.value).startswith(told)
