"""The tables that say who is who: beside the cache, for their owner alone, never with less."""

import os
from pathlib import Path

import pytest

from preparation.private_table import keep_rows, private_folder, replace_rows
from provenance import UserError

COLUMNS = ("patient_id", "identifier")


def test_it_lies_beside_the_cache_for_its_owner_alone(tmp_path: Path):
    out = tmp_path / "cache"
    path = keep_rows(out, "patients.csv", COLUMNS, [("p2", "Müller, Ä"), ("p1", "7\n")])
    assert path == tmp_path / "cache.private" / "patients.csv"
    assert path.read_text(encoding="utf-8") == 'patient_id,identifier\np1,"7\n"\np2,"Müller, Ä"\n'
    assert not out.exists()
    if os.name == "posix":
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert path.stat().st_mode & 0o777 == 0o600


def test_rows_that_are_there_stay(tmp_path: Path):
    out = tmp_path / "cache"
    keep_rows(out, "patients.csv", COLUMNS, [("p1", "7"), ("p1", "7.0")])
    path = keep_rows(
        out, "patients.csv", COLUMNS, [("p2", b"M\xfcller".decode(errors="surrogateescape"))]
    )
    assert path is not None
    assert path.read_bytes() == b"patient_id,identifier\np1,7\np1,7.0\np2,M\\xfcller\n"
    before = path.stat().st_mtime_ns
    assert keep_rows(out, "patients.csv", COLUMNS, []) == path
    assert keep_rows(out, "patients.csv", COLUMNS, [("p1", "7")]) == path
    assert path.stat().st_mtime_ns == before


def test_without_rows_there_is_no_table(tmp_path: Path):
    assert keep_rows(tmp_path / "cache", "patients.csv", COLUMNS, []) is None
    assert list(tmp_path.iterdir()) == []


def test_a_list_of_now_is_replaced(tmp_path: Path):
    out = tmp_path / "cache"
    replace_rows(out, "skipped.csv", ("file", "reason"), [("a", "b"), ("c", "d")])
    path = replace_rows(out, "skipped.csv", ("file", "reason"), [("c", "d")])
    assert path is not None
    assert path.read_text() == "file,reason\nc,d\n"
    assert replace_rows(out, "skipped.csv", ("file", "reason"), []) is None
    assert not path.exists()


def test_a_table_of_something_else_is_not_changed(tmp_path: Path):
    out = tmp_path / "cache"
    path = keep_rows(out, "patients.csv", ("name", "age"), [("x", "7")])
    assert path is not None
    with pytest.raises(UserError, match="has the columns name, age, expected patient_id"):
        keep_rows(out, "patients.csv", COLUMNS, [("p1", "7")])
    assert path.read_text() == "name,age\nx,7\n"


def test_it_is_beside_the_cache_however_the_cache_is_written(tmp_path: Path, monkeypatch):
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    for out in (Path("."), Path("../a"), Path("../a/"), tmp_path / "b" / ".." / "a"):
        assert private_folder(out) == tmp_path / "a.private"
