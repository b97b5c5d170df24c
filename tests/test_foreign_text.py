"""Text of others is read in bounded room, and shown without what moves a terminal's cursor."""

import os
from pathlib import Path

import pytest
import yaml

from foreign_text import (
    configuration_of,
    parse_yaml,
    printable,
    printable_sentence,
    read_small_file,
)
from lightning_modules.checkpoint_record import RECORD_KEY, check_plain
from provenance import UserError, innermost_cause, read_json
from studies.run.records import read_record


def doubled(first: str, rest: str, times: int) -> str:
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{i}: &a{i} {rest.format(f'*a{i - 1}')}" for i in range(1, times)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "because"),
    [
        (doubled("[x, x]", "[{0}, {0}]", 40), "more than 1,000,000 values"),
        (doubled("{x: 1, y: 2}", "{{<<: [{0}, {0}]}}", 40), "more than 1,000,000 values"),
        ("a: &a [1, *a]", "inside of itself"),
        ("[" * 101 + "]" * 101, "nested deeper than 100 levels"),
        ("!!timestamp 2020-99-99", "month must be in 1..12"),
    ],
)
def test_a_small_yaml_that_stands_for_much_is_refused(text: str, because: str) -> None:
    with pytest.raises(ValueError, match=because):
        parse_yaml(text)


def test_a_yaml_with_references_is_what_it_was() -> None:
    text = "a: &a {x: 1, y: [2, 3.5]}\nb: {<<: *a, z: null}\nc: [*a, *a]\n"
    assert parse_yaml(text) == yaml.safe_load(text)
    assert parse_yaml("title: 2020-99-99\nday: 2020-01-02") == {
        "title": "2020-99-99",
        "day": "2020-01-02",
    }


def test_only_regular_files_of_bounded_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for name in ("pipe", "endless"):
        with pytest.raises(ValueError, match="no regular file"):
            read_small_file(tmp_path / name)
        with pytest.raises(UserError, match="is no regular file"):
            read_json(tmp_path / name)
    (tmp_path / "long").write_bytes(b"12345")
    assert read_small_file(tmp_path / "long", 5) == b"12345"
    with pytest.raises(ValueError, match="larger than 4 bytes"):
        read_small_file(tmp_path / "long", 4)
    (tmp_path / "utf16.yaml").write_text("a: 1", encoding="utf-16")
    with pytest.raises(UserError, match=r"utf16.yaml: cannot be read as YAML: it is not UTF-8"):
        configuration_of(tmp_path / "utf16.yaml")


def test_a_record_that_leads_out_of_a_study_is_not_read(tmp_path: Path) -> None:
    cells = tmp_path / "cells"
    cells.mkdir()
    (tmp_path / "secret.json").write_text("{}")
    (cells / "zz.failed.json").symlink_to(tmp_path / "secret.json")
    (cells / "endless.failed.json").symlink_to("/dev/zero")
    for name in ("zz", "endless"):
        with pytest.raises(UserError, match="is a link to something outside of"):
            read_record(cells / f"{name}.failed.json")
    (cells / "zz.failed.json").unlink()
    (cells / "zz.failed.json").write_text('{"name": "zz"}')
    assert read_record(cells / "zz.failed.json") == {"name": "zz"}


def test_a_record_with_a_long_key_takes_no_room(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="keys that are text of at most 1,000 characters"):
        check_plain({"k" * 10_000_000: list(range(3000))}, RECORD_KEY, tmp_path)
    with pytest.raises(UserError, match=r"understudy\.a\[1\]\.b is a object, expected plain"):
        check_plain({"z": [], "a": [{"c": [1]}, {"c": 1, "b": object()}]}, RECORD_KEY, tmp_path)
    check_plain({"a": [[1, "x", None], {"b": (2.0, True)}]}, RECORD_KEY, tmp_path)


def test_names_of_others_forge_no_line() -> None:
    assert printable("Möller 1/2") == "Möller 1/2"
    assert printable("a\x1b[2J\n\u202eb\x9bc\t") == "a\\x1b[2J\\n\\u202eb\\x9bc\\t"
    told = printable_sentence("v.py: a\rv.py: fine\nv.py: saved\n  listed")
    assert told == "v.py: a\\rv.py: fine\n  v.py: saved\n  listed"
    assert len(printable_sentence("k" * 10_000)) < 4100


def test_the_cause_of_a_sentence_is_the_sentence() -> None:
    sentence = UserError("The image size is no number.")
    sentence.__cause__ = ValueError("nan")
    wrapped = RuntimeError("Problem with given class_path")
    wrapped.__cause__ = sentence
    assert innermost_cause(wrapped) is sentence
    assert innermost_cause(ValueError("alone")).args == ("alone",)
