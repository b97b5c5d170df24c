"""Which spellings are one patient, and which are kept apart."""

import unicodedata

import pytest

from patient_names import (
    KNOWN_SALT,
    RoundedNumberError,
    as_written,
    identity,
    key_of,
    pseudonym,
)

HUGE = "12345678901234567890123"


@pytest.mark.parametrize(
    ("spellings", "who"),
    [
        (("7", "7.0", "7.", "7.000", "7,0", "7,00", "+7", "007", "00000007"), "7"),
        ((" 7 ", "7\xa0", "\ufeff7", "7\u200b", "7\0", "7\ufeff "), "7"),
        (('="007"', "'007", '="7.0"', "'7", ' ="7" '), "7"),  # so that spreadsheets keep zeros
        (("MRN-7", '="MRN-7"'), "MRN-7"),
        (("case_00007", "case_7", "CASE_00007", "Case_7.0", "\uff17", "\u0667"), "7"),
        (("0", "00", "0.0", "-0", "case_00000"), "0"),
        (("-7", "-7.0", "-007"), "-7"),
        ((HUGE, f"000{HUGE}"), HUGE),
        (("9" * 5000, "0" + "9" * 5000), "9" * 5000),  # more digits than int() reads
        (("9007199254740992.0", "9007199254740992"), "9007199254740992"),
        (("Müller", unicodedata.normalize("NFD", "Müller"), " Müller"), "Müller"),
        (("", " ", "nan", "NaN", "None", "NULL", "<NA>", "N/A", "NA", "NaT", "-", " ? "), ""),
    ],
)
def test_spellings_of_one_patient(spellings, who):
    assert {identity(spelling) for spelling in spellings} == {who}


@pytest.mark.parametrize(
    "text",
    ["7.5", "7,000", "1_000", "7-0", "P7", "P007", "p7", "E5", "12e3456", "1E5A", "case_7b", "²",
     "7 0", "1.2.840", "张三", "李四", "Anna", "anna", "Nathan", "--7", "case_", "'t Hart", "=7"],
)  # fmt: skip
def test_other_text_is_itself(text):
    assert identity(text) == text


def test_each_of_these_is_somebody_else():
    different = ["7", "-7", "70", "0", "7.5", "P7", "张三", "李四", "王五", HUGE, HUGE[:-1] + "4"]
    assert len({identity(text) for text in different}) == len(different)


@pytest.mark.parametrize(
    "text",
    ["1.23457E+11", "1.23457e11", "1,23457E+11", "1E+03", "-1.5e+20", "1e-05", "1.e+16",
     "5e0", "4E5", "12e345", "1.0e3", "9007199254740993.0", f"{HUGE}.0",
     "99999999999999999999.0"],
)  # fmt: skip
def test_numbers_that_were_rounded_are_refused(text):
    with pytest.raises(RoundedNumberError, match="as_written") as caught:
        identity(text)
    assert text not in str(caught.value)  # it may be kept
    assert identity(text, "as_written") == text


def test_upper_and_lower_case_keep_people_apart():
    assert len({identity(text) for text in ("p7", "P7", "Anna", "anna", "ANNA")}) == 5


def test_as_written_keeps_every_spelling_apart_but_for_bytes_nobody_sees():
    spellings = ["7", "7.0", "007", "case_00007", "nan", "+7"]
    assert [identity(f"\ufeff {text} ", "as_written") for text in spellings] == spellings
    decomposed = unicodedata.normalize("NFD", "Ångström")
    assert identity(decomposed, "as_written") == as_written("Ångström") == "Ångström"


def test_a_name_in_clear_is_compared_whatever_its_spelling():
    assert {key_of(name) for name in ("case_00007", "7.0", "007")} == {
        key_of(pseudonym("7", KNOWN_SALT))
    }
    assert key_of("1.5E+11") == pseudonym("1.5E+11", KNOWN_SALT)
