"""What is known is carried on whole, and compared as it is meant."""

import numpy as np
import pytest

from knowledge import Knowledge, packed, unpacked
from patient_names import KNOWN_SALT, PatientNames, pseudonym, salt_check
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


def test_whom_it_knows() -> None:
    names = np.array(["Meier", "Huber", "Meier"])
    hashed = np.array([pseudonym(name, KNOWN_SALT) for name in names])
    secret = np.array([pseudonym(name, "ours") for name in names])
    meier = of("Meier")
    assert meier.knows_patients(names, IN_CLEAR).tolist() == [True, False, True]
    assert meier.knows_patients(hashed, KNOWN).tolist() == [True, False, True]
    assert not meier.knows_patients(secret, SECRET).any()
    assert of(str(hashed[0]), names=KNOWN).knows_patients(names, IN_CLEAR).tolist() == [
        True, False, True,
    ]  # fmt: skip


def test_which_pixels_it_knows() -> None:
    rows = np.array([[1, 7], [2, 0], [0, 0], [4, 9]], np.uint64)
    assert of(pixels=(2, 9)).knows_pixels(rows).tolist() == [False, True, False, True]
    assert not of().knows_pixels(rows).any()  # no image is equal to none


@pytest.mark.parametrize(
    ("knowledge", "names", "has_all", "sentence"),
    [
        (of("a"), IN_CLEAR, True, None),
        (of("a"), SECRET, True, "by pixels alone, since one names patients as their source does"),
        (of("a", names=KNOWN), SECRET, True, "are named with different salts (--patient-salt)"),
        (of("a"), IN_CLEAR, False, "by the names of patients alone, since CACHE has no hashes"),
        (of("a", names=KNOWN), SECRET, False, "could not be compared with CACHE: their patients"),
        (
            Knowledge(frozenset("a"), None, frozenset({IN_CLEAR}), has_all_pixels=False),
            IN_CLEAR,
            False,
            "since SET and CACHE have no hashes of pixels",
        ),
    ],
)
def test_what_cannot_be_compared_is_said(
    knowledge: Knowledge, names: PatientNames, has_all: bool, sentence: str | None
) -> None:
    said = knowledge.not_compared("SET", "CACHE", names, has_all, in_common=False)
    assert said is None if sentence is None else sentence in str(said)
    if said is not None and has_all:  # a name in common shows that they are comparable
        assert knowledge.not_compared("SET", "CACHE", names, has_all, in_common=True) is None
