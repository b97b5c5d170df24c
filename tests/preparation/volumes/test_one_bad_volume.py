"""Whatever a reader raises, its volume is listed and the others are prepared; --strict stops."""

import csv

import numpy as np
import pytest

from preparation.raised import raised
from preparation.volumes.nifti import case, file
from tests.prepare_runs import LEFT_OUT, contents, kits19, make_source


def raises_in_the_reader(monkeypatch, error):
    read = case.read_into

    def struck(result, read_from, converted):
        if "case_00001" in str(read_from.path):
            raise error
        read(result, read_from, converted)

    monkeypatch.setattr(case, "read_into", struck)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (KeyError("Doe^Jane"), "cannot be read (KeyError). Left out."),
        (RuntimeError("no such thing\nin two lines"), "(RuntimeError: no such thing). Left out."),
        (
            OSError(5, "Input/output error"),
            "read (OSError: [Errno 5] Input/output error). Left out.",
        ),
        (MemoryError(), "does not fit into memory. Left out; use fewer --workers."),
    ],
)
def test_what_a_reader_raises_is_listed(tmp_path, monkeypatch, capsys, error, sentence):
    source = make_source(tmp_path / "source", 4)
    raises_in_the_reader(monkeypatch, error)
    assert kits19(source, tmp_path / "out", "--split-all-to", "train") == LEFT_OUT
    said = capsys.readouterr().out
    assert "4 found, 3 volumes of 3 patients used with 12 slices, 1 skipped." in said
    [row] = csv.DictReader((tmp_path / "out/skipped.csv").open())
    assert row["file"].startswith("case_00001/")
    assert sentence in row["reason"]
    assert row["reason"] in said
    assert "Doe" not in said


def test_what_a_header_raises_is_listed(tmp_path, monkeypatch, capsys):
    """While the source is looked through, before any voxel is read."""
    source = make_source(tmp_path / "source", 4)
    grid_of = file.grid_of

    def struck(image):
        if "case_00002" in str(image.get_filename()):
            raise np.linalg.LinAlgError("SVD did not converge")
        return grid_of(image)

    monkeypatch.setattr(file, "grid_of", struck)
    assert kits19(source, tmp_path / "out", "--split-all-to", "train") == LEFT_OUT
    said = capsys.readouterr().out
    assert "skipped case_00002: cannot be read (LinAlgError: SVD did not converge)." in said
    assert "3 volumes" in said


def test_strict_stops_at_the_first_and_goes_on_once_it_is_mended(tmp_path, monkeypatch, capsys):
    source, out = make_source(tmp_path / "source", 4), tmp_path / "out"
    flags = ("--split-all-to", "train")
    with monkeypatch.context() as struck:
        raises_in_the_reader(struck, ValueError("odd"))
        assert kits19(source, out, *flags, "--strict") == 2
    said = capsys.readouterr().err
    assert "case_00001/segmentation.nii.gz: cannot be read (ValueError: odd). Left out. " in said
    assert "Stopped here, as --strict says; what is finished is kept." in said
    assert [path.stem for path in (out / "records").iterdir()] == ["case_00000"]
    assert not (out / "manifest.json").exists()
    assert kits19(source, out, *flags, "--strict") == 0
    assert kits19(source, tmp_path / "whole", *flags) == 0
    assert contents(out) == contents(tmp_path / "whole")


def test_strict_stops_before_anything_is_read_where_a_file_is_missing(tmp_path, capsys):
    source = make_source(tmp_path / "source", 3)
    (source / "case_00002/imaging.nii.gz").unlink()
    assert kits19(source, tmp_path / "out", "--split-all-to", "train", "--strict") == 2
    assert "case_00002/segmentation.nii.gz: has no image beside it" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("records/*"))


def test_what_is_raised_is_said_without_names(tmp_path):
    file = tmp_path / "Doe_Jane/imaging.nii.gz"
    with pytest.raises(OSError) as missing:
        file.read_bytes()
    expected = "FileNotFoundError: [Errno 2] No such file or directory"
    assert raised(missing.value, file) == expected
    assert raised(ValueError(f"not found: {file.name}"), file) == "ValueError: not found"
    assert raised(ValueError("Doe_Jane has 3 axes"), file) == "ValueError: ... has 3 axes"
    assert raised(ValueError(f"cut at {file}: 3")) == "ValueError: cut at ... 3"
    assert raised(ValueError("invalid value \"1.2.3\" for b'UI'")) == (
        "ValueError: invalid value ... for"
    )
    assert raised(KeyError()) == "KeyError"
    assert len(raised(ValueError("x" * 5000))) < 200
