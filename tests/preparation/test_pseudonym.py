"""What a cache calls a patient."""

from pathlib import Path

import pytest

from patient_names import KNOWN_SALT, pseudonym, salt_check
from preparation.pseudonym import Naming, PatientOptions, SaltOptions
from provenance import UserError


def test_a_pseudonym_is_of_the_patient_not_of_the_spelling():
    assert Naming().patient_id("007") == Naming().patient_id("7.0") == pseudonym("7", KNOWN_SALT)
    # Written down once: others look up a patient of theirs by it.
    assert pseudonym("7", KNOWN_SALT) == "patient_5747412bcba4"
    assert Naming(ids="as_written").patient_id("007") == pseudonym("007", KNOWN_SALT)
    assert Naming("secret").patient_id("7") != Naming().patient_id("7")
    assert Naming().patient_id(" nan ") == ""


def test_two_names_in_chinese_characters_stay_apart():
    for naming in (Naming(), Naming(salt=None)):
        assert len({naming.patient_id(name) for name in ("张三", "李四", "王五", "__")}) == 4


def test_kept_names_are_safe_for_files_and_stay_different():
    naming = Naming(salt=None)
    assert naming.patient_id("case_00160") == naming.patient_id("160.0") == "case_00160"
    assert naming.patient_id("patient.1-b") == "patient.1-b"
    odd = ["Anna Maria", "Anna_Maria", "Anna/Maria", "../x", "a" * 300, "a" * 301, "1" * 300]
    names = [naming.patient_id(name) for name in odd]
    assert len(set(names)) == len(odd)
    assert max(map(len, names)) < 80
    assert all("/" not in name and " " not in name for name in names)
    assert Naming(salt=None, ids="as_written").patient_id("007") == "007"


def test_phantoms_of_another_seed_are_somebody_else():
    assert Naming(None, prefix="seed1_").patient_id("case_00003") == "seed1_case_00003"
    assert Naming(prefix="seed1_").patient_id("3") != Naming().patient_id("3")


def test_the_record_names_the_salt_by_its_check_alone():
    recorded = PatientOptions(salt=SaltOptions(patient_salt="secret")).naming().names.plain()
    assert recorded == {
        "named_by": "pseudonym", "salt_check": salt_check("secret"), "ids": "as_numbers",
    }  # fmt: skip
    kept = PatientOptions(patient_ids="as_written").naming("--keep-patient-names")
    assert kept.names.plain() == {
        "named_by": "source", "salt_check": None, "ids": "as_written",
    }  # fmt: skip


def test_a_salt_that_would_have_no_effect_or_is_none_is_refused(tmp_path: Path):
    binary, empty = tmp_path / "binary", tmp_path / "empty"
    binary.write_bytes(b"\xff\xfe\x00\xd8")
    empty.write_text("\n")
    with pytest.raises(UserError, match="--keep-patient-names: nothing is hashed"):
        PatientOptions(salt=SaltOptions(patient_salt="secret")).naming("--keep-patient-names")
    for options, words in (
        (SaltOptions(patient_salt=" "), "--patient-salt: is empty"),
        (SaltOptions(patient_salt_file=tmp_path / "none"), "is missing"),
        (SaltOptions(patient_salt_file=empty), "is empty"),
        (SaltOptions(patient_salt_file=binary), "is no text"),
    ):
        with pytest.raises(UserError, match=words):
            PatientOptions(salt=options).naming()
