"""Shards and keys of items: a patient's first volume has the patient's, the next ones a number."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from preparation.volumes.volume import Found, Job
from tests.prepare_runs import kits19, make_source


class NeverRead(list[Job]):
    """Jobs that nothing may go through for each further volume: that takes volumes x volumes."""

    def __iter__(self) -> Iterator[Job]:
        raise AssertionError("all jobs were read to name one")


def test_volumes_of_a_patient_are_numbered() -> None:
    found = Found()
    keys = [found.new_item_key(key) for key in ("anna", "berta", "anna", "anna", "berta")]
    assert keys == ["anna", "berta", "anna_2", "anna_3", "berta_2"]
    # Shards are files: one name where others are not told apart.
    shards = [found.new_shard(name) for name in ("Anna", "anna", "berta")]
    assert shards == ["Anna", "anna_2", "berta"]


def test_naming_a_volume_reads_no_other_one() -> None:
    found = Found(jobs=NeverRead())
    names = [(found.new_item_key("anna"), found.new_shard("anna")) for _ in range(1000)]
    assert names[0] == ("anna", "anna")
    assert names[-1] == ("anna_1000", "anna_1000")
    assert len({key for key, _ in names}) == 1000


def test_a_preparation_reads_all_spellings_as_often_with_more_volumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    spellings = vars(Found)["spellings"].fget

    def counted(found: Found) -> dict[str, dict[str, str]]:
        read.append(1)
        return dict(spellings(found))

    monkeypatch.setattr(Found, "spellings", property(counted))
    counts = []
    for num in (4, 12):
        read.clear()
        source = make_source(tmp_path / f"source_{num}", num, shape=(2, 8, 8))
        assert kits19(source, tmp_path / f"cache_{num}", "--split-all-to", "train") == 0
        counts.append(len(read))
    assert counts[0] == counts[1]  # for each patient again: volumes x volumes
