"""Shards and keys of items: a patient's first volume has the patient's, the next ones a number."""

from collections.abc import Iterator

from preparation.volumes.volume import Found, Job


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
