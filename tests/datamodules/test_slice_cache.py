"""The reading side of a cache: what it returns, and what it says when it cannot."""

import json
import pickle

import numpy as np
import pytest

from datamodules import named_files
from datamodules.prepared_cache import SPLITS
from datamodules.slice_cache import SliceCache
from provenance import UserError


def write_cache(root, has_images=True, size=8):
    (root / "arrays").mkdir(parents=True)
    shards, items = {}, []
    for number, (patient, split) in enumerate([("a", "train"), ("b", "val"), ("c", "test")]):
        image = np.full((2, size, size), 10 * number, np.uint8)
        image[1] += 1
        mask = np.zeros((2, size, size), np.uint8)
        mask[1, 0, 0] = 2
        np.save(root / f"arrays/{patient}_mask.npy", mask)
        if has_images:
            np.save(root / f"arrays/{patient}_image.npy", image)
        shards[patient] = {
            "image": f"arrays/{patient}_image.npy" if has_images else None,
            "mask": f"arrays/{patient}_mask.npy",
            "num_slices": 2,
        }
        for row in (0, 1):
            items.append(
                {
                    "id": f"{patient}/{row:04d}", "patient_id": patient, "split": split,
                    "shard": patient, "row": row, "slice_index": row,
                    "class_pixels": [size * size - row, 0, row],
                    "pixel_spacing_mm": [0.5, 0.7], "slice_spacing_mm": None,
                }
            )  # fmt: skip
    manifest = {
        "format": "understudy-cache", "format_version": 1, "dataset": "test", "image_size": size,
        "num_classes": 3, "class_names": ["background", "kidney", "tumour"],
        "has_images": has_images, "split_id": "0" * 64, "shards": shards, "items": items,
    }  # fmt: skip
    (root / "manifest.json").write_text(json.dumps(manifest))
    return root


def test_reads_what_was_written(tmp_path):
    cache = SliceCache.open(write_cache(tmp_path / "c"))
    item = cache.select("val", foreground_only=True)[0]
    assert (item.id, item.pixel_spacing_mm) == ("b/0001", (0.5, 0.7))
    assert cache.image(item).shape == (8, 8)
    assert int(cache.image(item)[0, 0]) == 11
    assert int(cache.mask(item)[0, 0]) == 2
    assert not cache.image(item).flags.writeable


def test_selects_by_split_and_foreground(tmp_path):
    cache = SliceCache.open(write_cache(tmp_path / "c"))
    assert len(cache) == len(cache.select(None)) == 6
    assert len(cache.select("train")) == 2
    assert len(cache.select("train", foreground_only=True)) == 1
    assert cache.patients(None) == ["a", "b", "c"]
    assert [cache.patients(split) for split in SPLITS] == [["a"], ["b"], ["c"]]
    with pytest.raises(UserError, match="expected one of train, val, test"):
        cache.select("validation")


def test_travels_to_workers_without_its_arrays(tmp_path):
    cache = SliceCache.open(write_cache(tmp_path / "c", size=128))
    before = len(pickle.dumps(cache))
    cache.image(cache.items[0])
    copy = pickle.loads(pickle.dumps(cache))  # noqa: S301 - made two words before
    assert len(pickle.dumps(cache)) == before
    assert np.array_equal(copy.image(copy.items[3]), cache.image(cache.items[3]))


def test_few_files_are_open_at_a_time(tmp_path, monkeypatch):
    """Each mapped array holds a file descriptor; a process has a thousand or so."""
    monkeypatch.setattr(named_files, "_MAX_MAPPED", 2)
    cache = SliceCache.open(write_cache(tmp_path))
    for _ in range(2):
        assert [int(cache.image(item)[0, 0]) for item in cache.items] == [0, 1, 10, 11, 20, 21]
        assert len(cache._arrays) == 2


def test_label_maps_alone_have_no_images(tmp_path):
    cache = SliceCache.open(write_cache(tmp_path / "c", has_images=False))
    assert not cache.has_images
    assert cache.mask(cache.items[1]).max() == 2
    with pytest.raises(UserError, match="holds no images"):
        cache.image(cache.items[0])


def test_items_survive_json(tmp_path):
    cache = SliceCache.open(write_cache(tmp_path / "c"))
    entry = json.loads(json.dumps(cache.items[0].to_json()))
    assert type(cache.items[0]).from_json(entry) == cache.items[0]


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda root: None, "there is no such folder"),
        (lambda root: root.mkdir(), "not the raw data"),
        (lambda root: (root / "records").mkdir(parents=True), "was interrupted"),
        (lambda root: _edit(root, format="other"), "holds no slices"),
        (lambda root: _edit(root, format_version=99), "format version 99"),
        (lambda root: _edit(root, items=None), "is damaged"),
        (lambda root: _edit(root, shards={}), "is damaged"),
        (lambda root: _edit(root, num_classes=4), r"is damaged \(num_classes"),
        (
            lambda root: _edit(root, num_classes=4, class_names=["background", "a", "b", "c"]),
            r"is damaged \(class_pixels of ",
        ),
        (lambda root: _cut(root, "manifest.json"), "is not readable JSON"),
        (lambda root: _cut(root, "arrays/a_image.npy"), "arrays/a_image.npy: is truncated"),
        (lambda root: _remove(root, "arrays/b_mask.npy"), "arrays/b_mask.npy: is missing"),
    ],
)
def test_says_what_is_wrong(tmp_path, break_it, sentence):
    break_it(tmp_path / "c")
    with pytest.raises(UserError, match=sentence):
        SliceCache.open(tmp_path / "c")


def _edit(root, **changes):
    write_cache(root)
    manifest = json.loads((root / "manifest.json").read_text())
    (root / "manifest.json").write_text(json.dumps({**manifest, **changes}))


def _cut(root, name):
    write_cache(root)
    data = (root / name).read_bytes()
    (root / name).write_bytes(data[: len(data) // 2])


def _remove(root, name):
    write_cache(root)
    (root / name).unlink()
