"""What is known is carried on whole, and compared as it is meant."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knowledge import Knowledge
from patient_names import KNOWN_SALT, PatientNames, pseudonym, salt_check
from pixel_bits import packed, unpacked
from provenance import UserError

KNOWN = PatientNames("pseudonym", salt_check(KNOWN_SALT))
SECRET = PatientNames("pseudonym", salt_check("ours"))
IN_CLEAR = PatientNames("source")


def of(*patients: str, pixels: tuple[int, ...] = (), names: PatientNames = IN_CLEAR) -> Knowledge:
    return Knowledge(
        frozenset(patients), None, frozenset({names}), np.array(sorted(pixels), np.uint64)
    )


def test_hashes_as_text_take_eleven_characters_each() -> None:
    hashes = np.random.default_rng(0).integers(1, 2**64 - 1, 3000, np.uint64)
    text = packed(np.concatenate([hashes, hashes[:9], [np.uint64(0)]]))  # none and twice: not kept
    assert len(text) == 32_000
    np.testing.assert_array_equal(unpacked(text), np.sort(hashes))
    with pytest.raises(UserError, match="known pixels is damaged"):
        unpacked(text[:-5])


def test_plain_values_bring_it_back() -> None:
    whole = Knowledge(
        frozenset({"b", "a"}), frozenset({"a/0"}), frozenset({IN_CLEAR, SECRET}),
        np.array([3, 2**63], np.uint64), False,
    )  # fmt: skip
    back = Knowledge.of_plain(whole.plain())
    assert (back.patients, back.items, back.names) == (whole.patients, whole.items, whole.names)
    assert back.pixels.tolist() == [3, 2**63]
    assert not back.has_all_pixels
    assert Knowledge().plain() == {"training_patients": []}
    assert Knowledge.of_plain({"training_patients": []}).has_all_pixels


def test_an_earlier_record_has_names_alone() -> None:
    earlier = Knowledge.of_plain({"training_patients": ["case_00000"]})
    assert earlier.names == {PatientNames("source", None, "as_written")}
    assert not earlier.has_all_pixels


def test_both_and_the_rest() -> None:
    one, other = of("a", "b", pixels=(1, 2)), of("b", "c", pixels=(2, 3), names=SECRET)
    both = one | other
    assert both.patients == {"a", "b", "c"}
    assert both.pixels.tolist() == [1, 2, 3]
    assert both.names == {IN_CLEAR, SECRET}
    rest = both.without(one)
    assert rest.patients == {"c"}
    assert rest.pixels.tolist() == [3]
    assert both.without(both).plain() == {"training_patients": []}


@dataclass
class Images:
    """A cache without files."""

    patient_ids: Any
    patient_names: PatientNames = IN_CLEAR
    pixel_hashes: Any = None
    root: Path = Path("CACHE")

    def __post_init__(self) -> None:
        self.patient_ids = np.array(list(self.patient_ids), str)
        self.ids = np.array([f"image_{number}" for number in range(len(self.patient_ids))])
        if self.pixel_hashes is not None:
            self.pixel_hashes = np.array(self.pixel_hashes, np.uint64)

    @property
    def has_all_pixels(self) -> bool:
        return self.pixel_hashes is not None


def test_patients_are_known_under_the_salt_that_all_know() -> None:
    names = ["Meier", "Huber", "Meier"]
    in_clear = Images(names)
    hashed = Images([pseudonym(name, KNOWN_SALT) for name in names], KNOWN)
    secret = Images([pseudonym(name, "ours") for name in names], SECRET)
    meier = of("Meier")
    assert meier.overlap(in_clear).by_name.tolist() == [True, False, True]
    assert meier.overlap(hashed).by_name.tolist() == [True, False, True]
    assert not meier.overlap(secret).known.any()
    back = of(str(hashed.patient_ids[0]), names=KNOWN)
    assert back.overlap(in_clear).known.tolist() == [True, False, True]


def test_spellings_that_one_side_merges_are_said_even_where_some_names_agree() -> None:
    apart = PatientNames("pseudonym", salt_check(KNOWN_SALT), "as_written")
    knowledge = Knowledge(
        frozenset(pseudonym(name, KNOWN_SALT) for name in ("7", "007")), names=frozenset({apart})
    )
    cache = Images([pseudonym("7", KNOWN_SALT)], KNOWN, [[1]])
    gap = knowledge.not_compared("set", cache)
    assert gap is not None
    assert "was compared with" in gap.sentence
    assert "(--patient-ids)" in gap.sentence
    assert gap.sentence.endswith("With the same --patient-ids for both, patients are compared too.")
    assert knowledge.overlap(cache).known.tolist() == [True]  # what agrees is known all the same


APART = PatientNames("pseudonym", salt_check("ours"), "as_written")


@pytest.mark.parametrize(
    ("theirs", "ours", "remedy"),
    [
        ({KNOWN}, SECRET, "one --patient-salt"),
        ({IN_CLEAR}, SECRET, "one --patient-salt (or, of public names, --keep-patient-names)"),
        ({APART}, SECRET, "the same --patient-ids"),
        ({APART}, KNOWN, "the same --patient-ids and one --patient-salt"),  # neither would do alone
        ({APART, KNOWN}, SECRET, "the same --patient-ids and one --patient-salt"),
        ({SECRET, KNOWN}, SECRET, "one --patient-salt"),
    ],
)
def test_all_is_named_that_makes_names_comparable(
    theirs: set[PatientNames], ours: PatientNames, remedy: str
) -> None:
    knowledge = Knowledge(frozenset("a"), names=frozenset(theirs))
    gap = knowledge.not_compared("SET", Images("b", ours, [[1]]))
    assert gap is not None
    assert gap.sentence.endswith(
        f"are not found. With {remedy} for both, patients are compared too."
    )


@pytest.mark.parametrize("ours", [SECRET, KNOWN, IN_CLEAR])
def test_nobody_is_asked_for_a_salt_that_was_thrown_away(ours: PatientNames) -> None:
    lost = PatientNames("pseudonym", salt_check("lost"), salt_is_lost=True)
    assert PatientNames.of_plain(lost.plain()) == lost
    assert "salt_is_lost" not in SECRET.plain()
    gap = of("a", names=lost).not_compared("SET", Images("b", ours, [[1]]))
    assert gap is not None
    assert "a salt that was thrown away when a generator was handed on" in gap.sentence
    assert gap.sentence.endswith("export.py generator --patient-names keep.")
    assert "--patient-salt" not in gap.sentence


def test_a_known_image_makes_its_patient_known() -> None:
    cache = Images(["a", "b", "b", "c"], SECRET, [[1, 7], [2, 0], [0, 0], [4, 9]])
    found = of("x", pixels=(2, 9)).overlap(cache)
    assert found.by_pixels.tolist() == [False, True, False, True]
    assert found.known.tolist() == [False, True, True, True]
    assert not found.by_name.any()
    assert not of("x").overlap(cache).known.any()  # no image is equal to none
    by_item = Knowledge(frozenset({"b"}), frozenset({"image_0"}), pixels=np.array([2], np.uint64))
    assert by_item.overlap(cache, by_item=True).known.tolist() == [True, True, False, False]


EARLIER = Knowledge(frozenset("a"), None, frozenset({IN_CLEAR}), has_all_pixels=False)


@pytest.mark.parametrize(
    ("knowledge", "cache", "sentence"),
    [
        (of("a"), Images("b", IN_CLEAR, [[1]]), None),
        (of("a"), Images("b", KNOWN, [[1]]), None),
        (of("a"), Images("b", SECRET, [[1]]), "by pixels alone, since one names patients as their"),
        (of("a", names=KNOWN), Images("b", SECRET, [[1]]), "named with different salts (--patient"),
        (of("a"), Images("b"), "by the names of patients alone, since CACHE has no hashes"),
        (of("a", names=KNOWN), Images("b", SECRET), "could not be compared with CACHE: their pat"),
        (EARLIER, Images("b"), "since SET and CACHE have no hashes of pixels"),
        (EARLIER, Images("ab"), None),  # it knows nobody but people of this cache
    ],
)
def test_what_cannot_be_compared_is_said(
    knowledge: Knowledge, cache: Images, sentence: str | None
) -> None:
    gap = knowledge.not_compared("SET", cache)
    if sentence is None:
        assert gap is None
        return
    assert gap is not None
    assert sentence in gap.sentence
    assert gap.by_name == ("by the names" in sentence or "SET and CACHE" in sentence)
    assert gap.by_pixels == cache.has_all_pixels


def test_salts_that_nobody_recorded_are_the_same_where_they_made_the_same_name() -> None:
    unknown = PatientNames("pseudonym", None)
    names = [pseudonym(name, "ours") for name in "abc"]
    knowledge = of(*names[:2], names=unknown)
    cache = Images(names[1:], unknown, [[1], [2]])
    assert knowledge.not_compared("SET", cache) is None
    gap = knowledge.not_compared("SET", Images(names[2:], unknown, [[2]]))
    assert gap is not None
    assert "which --patient-salt made the names of patients is not recorded" in gap.sentence
