"""Features that are kept beside data are read again as they were, or not at all."""

import io
from pathlib import Path

import numpy as np
import torch

from metrics.features import RandomVGG
from metrics.kept_features import keep_features, kept_features, path_of_features

FEATURES = np.arange(6, dtype=np.float32).reshape(3, 2)


def test_features_come_back_and_another_number_of_rows_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "features" / "kept.npz"
    keep_features(path, features=FEATURES, logits=FEATURES + 1)
    kept = kept_features(path, 3)
    assert kept is not None
    assert torch.equal(kept["features"], torch.from_numpy(FEATURES))
    assert torch.equal(kept["logits"], torch.from_numpy(FEATURES + 1))
    assert kept_features(path, 4) is None
    assert kept_features(tmp_path / "none.npz", 3) is None


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    """A damaged file must not change a distance: it is read as it was, or not at all."""
    path = tmp_path / "kept.npz"
    keep_features(path, features=FEATURES)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 64]) + whole[place + 1 :])
        kept = kept_features(path, 3)
        assert kept is None or np.array_equal(kept["features"].numpy(), FEATURES), place
    for content in (whole[:-1], whole[:40], b"PK", b""):
        path.write_bytes(content)
        assert kept_features(path, 3) is None


def test_objects_and_compressed_arrays_of_others_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "kept.npz"
    np.savez(path, features=np.array([[object()]] * 3))
    assert kept_features(path, 3) is None
    np.savez_compressed(path, features=FEATURES)  # a megabyte may become a gigabyte
    assert kept_features(path, 3) is None
    stream = io.BytesIO()
    np.save(stream, FEATURES)
    path.write_bytes(stream.getvalue())
    assert kept_features(path, 3) is None


def test_a_file_is_called_by_the_network_and_by_what_else_features_depend_on(
    tmp_path: Path,
) -> None:
    network = RandomVGG()
    one = path_of_features(tmp_path, network, ("pixels", "a"))
    assert one == path_of_features(tmp_path, network, ("pixels", "a"))
    assert one != path_of_features(tmp_path, network, ("pixels", "b"))
    network.description += ", other weights"
    assert one != path_of_features(tmp_path, network, ("pixels", "a"))
