"""When names of two caches mean the same people."""

import hashlib

import pytest

from patient_names import KNOWN_SALT, PatientNames, key_of, pseudonym, salt_check

KNOWN = PatientNames("pseudonym", salt_check(KNOWN_SALT))
SECRET = PatientNames("pseudonym", salt_check("ours"))
UNKNOWN = PatientNames("pseudonym", None)
IN_CLEAR = PatientNames("source")
AS_WRITTEN = PatientNames("pseudonym", salt_check(KNOWN_SALT), "as_written")


def test_a_pseudonym_by_hand() -> None:
    assert pseudonym("7", "s") == "patient_" + hashlib.sha256(b"s:7").hexdigest()[:12]
    assert salt_check("s") == hashlib.sha256(b"s:check").hexdigest()[:8]


@pytest.mark.parametrize(
    ("one", "other", "comparable"),
    [
        (KNOWN, KNOWN, True),
        (SECRET, SECRET, True),
        (KNOWN, SECRET, False),
        (IN_CLEAR, IN_CLEAR, True),
        (IN_CLEAR, KNOWN, True),  # names in clear can be hashed with the salt that all know
        (IN_CLEAR, SECRET, False),
        (UNKNOWN, UNKNOWN, False),
        (UNKNOWN, KNOWN, False),
        # A pseudonym of `007` is none of `7`: each means other people by the same names.
        (KNOWN, AS_WRITTEN, False),
        (AS_WRITTEN, AS_WRITTEN, True),
        (IN_CLEAR, AS_WRITTEN, False),
        (PatientNames("source", ids="as_written"), KNOWN, True),
    ],
)
def test_names_are_comparable_where_salts_agree(
    one: PatientNames, other: PatientNames, comparable: bool
) -> None:
    assert one.comparable(other) == other.comparable(one) == comparable


def test_a_name_in_clear_has_the_key_of_its_pseudonym_of_the_known_salt() -> None:
    assert key_of("Meier") == key_of(pseudonym("Meier", KNOWN_SALT))
    assert key_of(pseudonym("Meier", "ours")) != key_of("Meier")


def test_earlier_data_are_judged_by_what_their_names_look_like() -> None:
    assert PatientNames.guessed(["case_00000", "case_00001"]).named_by == "source"
    assert PatientNames.guessed([pseudonym("7", "s")]) == PatientNames(
        "pseudonym", None, "as_written"
    )
    assert PatientNames.of_plain(SECRET.plain()) == SECRET
