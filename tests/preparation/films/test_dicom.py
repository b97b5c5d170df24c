"""DICOM films: refusals by name, what the header tells, and how films are found."""

import copy
import json
import logging
import warnings
import zlib

import numpy as np
import pydicom
import pytest
from dicom_mutations import small_films
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder

from preparation.films.dicom.film_reader import DicomFilmReader, find_dicom_films, uid_of
from preparation.films.dicom.header import DicomOptions
from preparation.films.film import FilmFile, RejectedFilm
from provenance import UserError
from tests.film_runs import items
from tests.preparation.films.dicom_films import PERMISSIVE, ramp, refusal, write
from tests.prepare_runs import run

SMALL = small_films()
ANY = DicomOptions(view=("any",))


def copied(value):
    """What comes out in another process: copy goes the way that pickle goes."""
    return copy.deepcopy(value)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"Modality": "CT"}, "modality"),
        ({"Modality": None}, "no_modality"),
        ({"BodyPartExamined": "HIP"}, "body_part"),
        ({"BodyPartExamined": "CHEST ABDOMEN"}, "body_part"),
        ({"BodyPartExamined": None}, "no_body_part"),
        ({"BodyPartExamined": ""}, "no_body_part"),
        ({"ViewPosition": "AP"}, "view"),
        ({"ViewPosition": "LL"}, "view"),
        ({"ViewPosition": "W042"}, "view"),
        ({"ViewPosition": None}, "no_view"),
        ({"ViewPosition": "", "SeriesDescription": "Thorax PA"}, "no_view"),
        ({"PatientOrientation": ["R", "F"]}, "orientation"),
        ({"PatientOrientation": ["H", "L"]}, "orientation"),
        ({"PatientOrientation": "L"}, "orientation"),
        ({"NumberOfFrames": 2}, "multi_frame"),
        ({"SamplesPerPixel": 3}, "colour"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour"),
        ({"BitsStored": 6}, "bit_depth"),
        ({"BitsStored": 12, "HighBit": 15}, "bit_depth"),
        ({"BitsAllocated": 32}, "bit_depth"),
        ({"BurnedInAnnotation": "YES"}, "burned_in_annotation"),
        ({"Rows": 60000, "Columns": 60000}, "too_large"),
        ({"Rows": 15}, "too_small"),
        ({"Rows": 17}, "truncated"),
        ({"Columns": 19}, "wrong_shape"),
        ({"Rows": None}, "not_a_picture"),
        ({"PixelData": None}, "truncated"),
        ({"Modality": "SR", "PixelData": None}, "modality"),
    ],
)
def test_refusals_have_the_right_name(tmp_path, tags, reason):
    assert refusal(write(tmp_path / "a", ramp(), **tags), DicomFilmReader()) == reason


def test_a_constant_film_is_refused(tmp_path):
    assert refusal(write(tmp_path / "a", np.full((16, 16), 7, np.uint16))) == "constant"


@pytest.mark.parametrize("content", [b"", b"<html>403</html>" * 20, bytes(200)])
def test_other_files_are_not_dicom(tmp_path, content):
    path = tmp_path / "a.dcm"
    path.write_bytes(content)
    assert refusal(FilmFile("a.dcm", path, len(content))) == "not_dicom"


def test_a_missing_file_is_unreadable(tmp_path):
    assert refusal(FilmFile("a", tmp_path / "a", 1)) == "unreadable"


@pytest.mark.parametrize(
    "name", ["explicit", "rle", "jpeg2000_lossless", "jpeg_baseline", "jpegls"]
)
def test_cut_files_are_never_a_film(tmp_path, name):
    data = next(base.data for base in SMALL if base.name == name)
    reasons = set()
    for length in range(200, len(data) - 8, 197):
        path = tmp_path / "a"
        path.write_bytes(data[:length])
        reasons.add(refusal(FilmFile("a", path, length)))
    assert "truncated" in reasons
    assert reasons <= {"truncated", "pixels_undecodable", "unreadable"}


def test_stream_of_another_size_than_the_header_says(tmp_path):
    for base in SMALL:
        ds = pydicom.dcmread(pydicom.filebase.DicomBytesIO(base.data))
        ds.Rows, ds.Columns = ds.Columns, ds.Rows
        path = tmp_path / base.name
        ds.save_as(path)
        if ds.file_meta.TransferSyntaxUID.is_encapsulated and base.name != "rle":
            assert refusal(FilmFile(base.name, path, 1)) == "wrong_shape", base.name


@pytest.mark.parametrize(("more", "reason"), [(-1, "wrong_shape"), (1, "truncated")])
@pytest.mark.parametrize("tag", ["Rows", "Columns"])
def test_rle_that_unpacks_to_another_length(tmp_path, tag, more, reason):
    data = next(base.data for base in SMALL if base.name == "rle")
    ds = pydicom.dcmread(pydicom.filebase.DicomBytesIO(data))
    setattr(ds, tag, ds[tag].value + more)
    ds.save_as(tmp_path / "a")
    assert refusal(FilmFile("a", tmp_path / "a", 1)) == reason


def test_colour_inside_a_stream_called_grey(tmp_path):
    Image.new("RGB", (20, 16), "red").save(tmp_path / "a.jpg")
    file = write(
        tmp_path / "a", ramp(0, 255, np.uint8), syntax=uid.JPEGBaseline8Bit,
        PixelData=encapsulate([(tmp_path / "a.jpg").read_bytes()]),
    )  # fmt: skip
    assert refusal(file) in ("colour", "pixels_undecodable")


def test_extended_jpeg_of_8_bits_is_read_and_of_12_named(tmp_path):
    Image.fromarray(ramp(0, 255, np.uint8)).save(tmp_path / "a.jpg", quality=100)
    stream = (tmp_path / "a.jpg").read_bytes()
    tags = {"syntax": uid.JPEGExtended12Bit, "PixelData": encapsulate([stream])}
    film = PERMISSIVE(write(tmp_path / "a", ramp(0, 255, np.uint8), **tags))
    np.testing.assert_allclose(film.pixels, ramp(0, 255, np.uint8) / 255, atol=0.02)
    if "pylibjpeg" in get_decoder(uid.JPEGExtended12Bit).available_plugins:
        pytest.skip("the optional decoder is installed")
    deep = stream.replace(b"\xff\xc0\x00\x0b\x08", b"\xff\xc1\x00\x0b\x0c")
    tags = {"syntax": uid.JPEGExtended12Bit, "PixelData": encapsulate([deep]), "BitsStored": 12}
    with pytest.raises(RejectedFilm, match="pylibjpeg-libjpeg"):
        PERMISSIVE(write(tmp_path / "a", ramp(), **tags))


def test_deflated_film_is_refused_before_it_is_unpacked(tmp_path):
    file = write(tmp_path / "a", ramp())
    ds = pydicom.dcmread(file.path)
    ds.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    ds.save_as(file.path)
    # A bomb: 64 MiB of zeros behind the header's few bytes.
    whole = file.path.read_bytes()
    start = 132 + 12 + int.from_bytes(whole[140:144], "little")
    packer = zlib.compressobj(9, wbits=-15)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    file.path.write_bytes(whole[:start] + bomb)
    assert refusal(file) == "pixels_undecodable"


def test_memory_that_does_not_suffice_is_a_refusal(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr("preparation.films.dicom.pixels.pixel_array", fail)
    assert refusal(write(tmp_path / "a", ramp())) == "too_large"


def test_messages_of_libraries_are_not_passed_on(tmp_path, monkeypatch, caplog):
    def fail(*_, **__):
        warnings.warn("PatientID MRN-4711", stacklevel=1)
        logging.getLogger("pydicom").error("PatientID MRN-4711")
        raise ValueError("PatientID MRN-4711")

    monkeypatch.setattr("preparation.films.dicom.pixels.pixel_array", fail)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RejectedFilm, match="ValueError") as caught:
            PERMISSIVE(write(tmp_path / "a", ramp()))
    assert "4711" not in str(caught.value) + caplog.text
    assert caught.value.__cause__ is None
    assert logging.getLogger("pydicom").propagate
    assert copied(caught.value).reason == "pixels_undecodable"


def test_views_and_body_parts_that_are_taken(tmp_path):
    for tags in (
        {"BodyPartExamined": "THORAX"},
        {"BodyPartExamined": "PORT CHEST"},
        {"Modality": "DX"},
        {"Modality": "RG"},
        {"PatientOrientation": ""},
        {"PatientOrientation": None},
        {"ViewPosition": "POSTEROANTERIOR"},
    ):
        assert DicomFilmReader()(write(tmp_path / "a", ramp(), **tags)).geometry["view"] == "PA"
    both = DicomFilmReader(DicomOptions(view=("PA", "AP")))
    assert both(write(tmp_path / "a", ramp(), ViewPosition="AP")).geometry["view"] == "AP"
    lateral = {"ViewPosition": "LL", "PatientOrientation": ["A", "F"]}
    reader = DicomFilmReader(DicomOptions(view=("LL",)))
    assert reader(write(tmp_path / "a", ramp(), **lateral)).geometry["view"] == "LL"
    assert refusal(write(tmp_path / "a", ramp(), ViewPosition="LL"), reader) == "orientation"


def test_codes_stand_in_for_missing_texts(tmp_path):
    def code(value):
        item = pydicom.Dataset()
        item.CodeValue = value
        return [item]

    tags = {"BodyPartExamined": None, "ViewPosition": None}
    tags |= {"AnatomicRegionSequence": code("T-D3000"), "ViewCodeSequence": code("R-10214")}
    film = DicomFilmReader()(write(tmp_path / "a", ramp(), **tags))
    assert film.geometry["view"] == "PA"
    assert film.geometry["view_from"] == "ViewCodeSequence"
    tags["AnatomicRegionSequence"] = code("T-15710")
    assert refusal(write(tmp_path / "a", ramp(), **tags), DicomFilmReader()) == "body_part"


@pytest.mark.parametrize(
    ("tags", "view"),
    [
        ({"SeriesDescription": "Thorax p.a."}, "PA"),
        ({"SeriesDescription": "CHEST PA AND LATERAL", "ProtocolName": "Chest LAT"}, "LATERAL"),
        ({"StudyDescription": "XR CHEST AP PORTABLE"}, "AP"),
        ({"StudyDescription": "PARTIAL APEX"}, ""),
    ],
)
def test_view_from_text_only_when_asked(tmp_path, tags, view):
    file = write(tmp_path / "a", ramp(), ViewPosition=None, **tags)
    reader = DicomFilmReader(DicomOptions(view=("any",), view_from_text=True, orientation="ignore"))
    assert reader(file).geometry["view"] == view
    assert PERMISSIVE(file).geometry["view"] == ""
    assert refusal(file, DicomFilmReader()) == "no_view"


def test_spacing_and_where_it_is_from(tmp_path):
    both = {"PixelSpacing": [0.2, 0.3], "ImagerPixelSpacing": [0.22, 0.33]}
    film = PERMISSIVE(write(tmp_path / "a", ramp(), **both))
    assert (film.spacing_mm, film.spacing_from) == ((0.2, 0.3), "PixelSpacing")
    both |= {"PixelSpacing": [0, 0], "EstimatedRadiographicMagnificationFactor": 1.1}
    film = PERMISSIVE(write(tmp_path / "a", ramp(), **both))
    assert (film.spacing_mm, film.spacing_from) == ((0.22, 0.33), "ImagerPixelSpacing")
    assert film.geometry["magnification"] == 1.1
    film = PERMISSIVE(write(tmp_path / "a", ramp()))
    assert (film.spacing_mm, film.spacing_from) == (None, None)


@pytest.mark.parametrize("base", ["explicit", "implicit", "big_endian", "rle", "jpeg2000_lossless"])
def test_a_file_without_a_preamble_is_read_and_said(tmp_path, base):
    """The preamble alone is missing; or all before the data set, and with it the syntax."""
    whole = next(film.data for film in small_films() if film.name == base)
    (tmp_path / "whole").write_bytes(whole)
    expected = PERMISSIVE(FilmFile("whole", tmp_path / "whole", len(whole)))
    assert "no_preamble" not in expected.suspicions
    meta_bytes = 12 + int.from_bytes(whole[140:144], "little")  # its group length comes first
    for name, data in (("meta", whole[132:]), ("bare", whole[132 + meta_bytes :])):
        path = tmp_path / name
        path.write_bytes(data)
        file = FilmFile(name, path, len(data))
        if name == "bare" and base in ("rle", "jpeg2000_lossless"):
            # What is compressed, and how, stood in what is gone.
            assert refusal(file) in ("truncated", "wrong_shape", "pixels_undecodable", "unreadable")
            continue
        film = PERMISSIVE(file)
        np.testing.assert_array_equal(film.pixels, expected.pixels)
        assert film.suspicions == (*expected.suspicions, "no_preamble")
        assert film.patient == expected.patient
        assert uid_of(file) == uid_of(FilmFile("whole", tmp_path / "whole", 0)) != ""


def test_a_deflated_film_without_a_preamble_is_refused_unread(tmp_path):
    file = write(tmp_path / "a", ramp(), syntax=uid.DeflatedExplicitVRLittleEndian)
    file.path.write_bytes(file.path.read_bytes()[132:])
    assert refusal(file) == "pixels_undecodable"


def test_films_without_square_pixels_are_named_or_resampled(tmp_path, capsys):
    rows, columns = np.mgrid[:30, :60]
    disc = (((rows - 15) * 2) ** 2 + (columns - 30) ** 2 < 20**2) * 3000 + 500
    write(tmp_path / "films/a", disc.astype(np.uint16), PixelSpacing=[0.4, 0.2])
    write(tmp_path / "films/b", disc.astype(np.uint16) + 7, PixelAspectRatio=["2", "1"])
    write(tmp_path / "films/c", disc.astype(np.uint16) + 9, PixelSpacing=[0.2, 0.2001])
    words = (
        "chest_xray", "--source", tmp_path / "films", "--image-size", "60", "--margin", "0",
        "--clahe", "none", "--patient-from", "file", "--split-all-to", "test",
    )  # fmt: skip
    assert run(*words, "--out", tmp_path / "plain") == 0
    assert "2 not_square_pixels" in capsys.readouterr().out
    assert "resample" not in (tmp_path / "plain/manifest.json").read_text()
    assert run(*words, "--out", tmp_path / "square", "--resample") == 0
    assert "2 resampled_to_square" in capsys.readouterr().out
    assert json.loads((tmp_path / "square/manifest.json").read_text())["resample"] is True
    plain, square = items(tmp_path / "plain"), items(tmp_path / "square")
    assert [(i["spacing_row_mm"], i["spacing_column_mm"]) for i in plain[:2]] == [
        ("0.4", "0.2"), ("", ""),
    ]  # fmt: skip
    assert (square[0]["spacing_row_mm"], square[0]["spacing_column_mm"]) == ("0.2", "0.2")
    assert (square[0]["source_height"], square[0]["source_width"]) == ("30", "60")
    oval, *_ = np.load(tmp_path / "plain/arrays/films_000000.npy")
    for film in np.load(tmp_path / "square/arrays/films_000000.npy")[:2]:
        heights = [(array > 128).any(axis=1).sum() for array in (oval, film)]
        widths = [(array > 128).any(axis=0).sum() for array in (oval, film)]
        assert widths[0] > 1.8 * heights[0]
        assert abs(widths[1] - heights[1]) <= 2


def test_patients_and_keys(tmp_path):
    path = tmp_path / "p7/b/1.2.840.99"
    file = FilmFile("p7/b/1.2.840.99", path, write(path, ramp()).num_bytes)
    assert PERMISSIVE(file).patient == "MRN-4711"
    assert DicomFilmReader(ANY, patient_from="folder")(file).patient == "p7/b"
    assert DicomFilmReader(ANY, patient_from="file")(file).patient == file.name
    # What looks like an ending is a part of the UID.
    assert PERMISSIVE(file).keys == ("p7/b/1.2.840.99", "1.2.840.99", "1.2.3.4")
    file = write(tmp_path / "x1.dcm", ramp(), PatientID=" ")
    assert PERMISSIVE(file).keys == ("x1.dcm", "x1", "1.2.3.4")
    assert PERMISSIVE(file).patient is None
    assert DicomFilmReader(ANY, patient_from="folder")(file).patient is None


def test_reader_can_be_sent_to_a_worker():
    assert copied(PERMISSIVE) == PERMISSIVE


def test_every_file_is_found_once_and_sorted(tmp_path):
    for name in ("b/2.dcm", "b/1", "a.txt", "DICOMDIR", ".hidden", ".git/x", "c/.x.dcm"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"12345")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/9.dcm").write_bytes(b"1")
    (tmp_path / "in/link.dcm").symlink_to(tmp_path / "other/9.dcm")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    (tmp_path / "in/nowhere").symlink_to(tmp_path / "missing")
    found = find_dicom_films(tmp_path / "in")
    names = ["a.txt", "b/1", "b/2.dcm", "link.dcm", "nowhere"]
    assert [file.name for file in found] == names
    assert [file.num_bytes for file in found] == [5, 5, 5, 1, 0]
    with pytest.raises(UserError, match="cannot be listed"):
        find_dicom_films(tmp_path / "missing")


def test_a_film_without_modality_is_refused_by_that_name_or_kept(tmp_path, capsys):
    for number in range(3):
        film = np.roll(ramp(shape=(32, 32)), 90 * number)
        write(tmp_path / f"films/IM{number}", film, Modality=None, PatientID=f"P{number}")
    words = (
        "chest_xray", "--source", tmp_path / "films", "--image-size", "32", "--clahe", "none",
        "--split-all-to", "train",
    )  # fmt: skip
    assert run(*words, "--out", tmp_path / "no") == 2
    said = capsys.readouterr().err
    assert "left out: 3 no_modality. no_modality: It has no Modality; " in said
    assert "--without-modality keep" in said
    assert "without_modality" not in (tmp_path / "no/settings.json").read_text()
    kept = ("--without-modality", "keep")
    assert run(*words, *kept, "--out", tmp_path / "yes") == 0
    assert "3 films used, 0 refused" in capsys.readouterr().out
    assert '"without_modality": "keep"' in (tmp_path / "yes/settings.json").read_text()
    assert run(*words, "--out", tmp_path / "yes") == 2  # without it, it is another cache
    write(tmp_path / "films/IM3", ramp(shape=(32, 32)), Modality="CT")
    assert run(*words, *kept, "--out", tmp_path / "third") == 0
    assert "1 refused: 1 modality" in capsys.readouterr().out
