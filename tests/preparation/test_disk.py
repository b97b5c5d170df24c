"""Which errors are the cache's, and what is said of a full disk."""

import errno
import os
from pathlib import Path

import pytest

from preparation.disk import full_disk_as_user_error, is_about
from provenance import DiskFullError, UserError


def test_an_error_of_a_folder_beside_the_cache_is_not_about_the_cache(tmp_path: Path) -> None:
    out, told = tmp_path / "cache", os.strerror(errno.EACCES)
    assert is_about(out, PermissionError(errno.EACCES, told, str(out / "arrays/a.npy")))
    assert is_about(out, PermissionError(errno.EACCES, told))  # names no file
    assert not is_about(out, PermissionError(errno.EACCES, told, str(tmp_path / "cache_raw/a.gz")))
    assert is_about(out, OSError(errno.EDQUOT, "", "/elsewhere"))


@pytest.mark.parametrize(
    ("kind", "told", "sentence"),
    [
        (OSError, os.strerror(errno.EDQUOT), "a.npy: the disk is full. Finished shards are kept."),
        (DiskFullError, "the disk is full: it takes 9 kB", "full: it takes 9 kB. Finished"),
    ],
)
def test_a_full_disk_is_said_in_our_words_or_those_of_the_writer(
    kind: type[OSError], told: str, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=sentence), full_disk_as_user_error(tmp_path, "shards"):
        raise kind(errno.EDQUOT, told, str(tmp_path / "a.npy"))
