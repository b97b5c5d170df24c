"""PNG pairs with an index."""

import csv

import numpy as np
import pytest
from PIL import Image

from preparation.volumes.png_slices import find_pairs, patient_of, read_pairs
from preparation.volumes.volume import SkipVolume
from provenance import UserError


def make_pairs(root, cases=((28, 5), (28, 2), (7, 1)), size=10):
    rng = np.random.default_rng(0)
    rows = []
    for case, slice_index in cases:
        name = f"s_{case}_{slice_index}.png"
        write(root / "image" / name, rng.integers(0, 256, (size, size)).astype(np.uint8))
        write(root / "label" / name, rng.integers(0, 3, (size, size)).astype(np.uint8))
        rows.append({"file": name, "case": case, "slice": slice_index})
    write_index(root, rows)
    return rows


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write_index(root, rows):
    with open(root / "index.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_one_shard_a_patient_sorted_by_slice(tmp_path):
    make_pairs(tmp_path)
    found = find_pairs(tmp_path)
    assert [job.patient_id for job in found.jobs] == ["case_00007", "case_00028"]
    volume = read_pairs(found.jobs[1])
    assert volume.slice_indices == [2, 5]
    expected = np.array(Image.open(tmp_path / "image/s_28_2.png"))
    assert np.array_equal(volume.image[0], expected)
    assert volume.image.dtype == np.uint8
    assert volume.pixel_spacing_mm is None


def test_case_numbers_get_kits19s_names():
    assert patient_of("28") == patient_of(" 028") == "case_00028"
    assert patient_of("a/b c") == "a_b_c"


@pytest.mark.parametrize(
    ("break_it", "file", "sentence"),
    [
        (lambda r: (r / "label/s_28_2.png").unlink(), "label/s_28_2.png", "is missing"),
        (lambda r: write(r / "image/new.png", np.eye(10, dtype=np.uint8)), "image/new.png", "not"),
        (lambda r: _rows(r, slice=5), "image/s_28_5.png", "is slice 5 of case 28 again"),
        (lambda r: _rows(r, slice="five"), "index.csv", "line"),
        (lambda r: _rows(r, file="../../x.png"), "index.csv", "line"),
        (lambda r: write(r / "label/s_28_2.png", np.full((10, 10), 255, np.uint8)),
         "label/s_28_2.png", r"label values \[255\]"),
        (lambda r: write(r / "image/s_28_2.png", np.zeros((10, 10), np.uint8)),
         "image/s_28_2.png", "constant"),
        (lambda r: write(r / "image/s_28_2.png", np.eye(9, dtype=np.uint8)),
         "label/s_28_2.png", "but image"),
        (lambda r: write(r / "image/s_28_2.png", np.zeros((10, 10, 3), np.uint8)),
         "image/s_28_2.png", "mode RGB"),
        (lambda r: (r / "image/s_28_2.png").write_bytes(b"no"), "image/s_28_2.png", "readable"),
        (lambda r: _cut(r / "image/s_28_2.png"), "image/s_28_2.png", "readable"),
    ],
)  # fmt: skip
def test_a_bad_slice_is_left_out_and_the_patient_stays(tmp_path, break_it, file, sentence):
    make_pairs(tmp_path)
    break_it(tmp_path)
    found = find_pairs(tmp_path)
    volumes = [read_pairs(job) for job in found.jobs]
    skipped = found.skipped + [entry for volume in volumes for entry in volume.skipped]
    assert len(skipped) >= 1
    name, reason = skipped[0]
    assert name == file
    assert sentence in reason or "label values [255]" in reason
    assert {job.patient_id for job in found.jobs} == {"case_00007", "case_00028"}


def _rows(root, **changes):
    rows = [
        {"file": "s_28_2.png", "case": 28, "slice": 2},
        {"file": "s_28_5.png", "case": 28, "slice": 5},
        {"file": "s_7_1.png", "case": 7, "slice": 1},
    ]
    if changes.get("slice") == 5:
        rows[0]["slice"] = 5
    else:
        rows.append({**rows[1], **changes})
    write_index(root, rows)


def _cut(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def test_a_patient_without_a_usable_slice(tmp_path):
    make_pairs(tmp_path)
    write(tmp_path / "label/s_7_1.png", np.full((10, 10), 9, np.uint8))
    with pytest.raises(SkipVolume, match="label values"):
        read_pairs(find_pairs(tmp_path).jobs[0])


def test_missing_folder_index_and_column(tmp_path):
    with pytest.raises(UserError, match="there is no such folder"):
        find_pairs(tmp_path / "nowhere")
    with pytest.raises(UserError, match="there is no index"):
        find_pairs(tmp_path)
    (tmp_path / "index.csv").write_text("file,slice\na.png,1\n")
    with pytest.raises(UserError, match="no column case"):
        find_pairs(tmp_path)
