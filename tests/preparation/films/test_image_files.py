"""Pictures as films: every mode against known grey values, and what is refused."""

import io
import os
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from preparation.films import decoded_picture
from preparation.films.files import find
from preparation.films.files.find import find_image_files, passed_over_note
from preparation.films.film import FilmFile, RejectedFilm
from preparation.films.image_files import ImageFileReader
from provenance import UserError

KERMANY = Path(__file__).parents[3] / "../shared/data/kermany_train"
RAMP = np.arange(20 * 24, dtype=np.uint16).reshape(20, 24)
GREY = (RAMP % 251).astype(np.uint8)


def film_file(path, name=None):
    return FilmFile(name or path.name, path, path.stat().st_size)


def saved(tmp_path, picture, name="film.png", **options):
    path = tmp_path / name
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(path, **options)
    return film_file(path)


def rejection(file, reader=None):
    with pytest.raises(RejectedFilm) as caught:
        (reader or ImageFileReader())(file)
    assert file.path.name not in caught.value.sentence
    assert caught.value.sentence.endswith(".")
    return caught.value.reason


def test_find_by_suffix_sorted_hidden_and_linked_folders_left_out(tmp_path):
    left_out = (".hidden.png", ".git/x.png", "notes.txt")
    for name in ("b/2.PNG", "a.jpg", "b/1.tiff", "c.webp", *left_out):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.bmp").symlink_to(tmp_path / "nowhere")
    found = find_image_files(tmp_path)
    assert [file.name for file in found] == ["a.jpg", "b/1.tiff", "b/2.PNG", "c.webp", "gone.bmp"]
    assert found[1] == FilmFile("b/1.tiff", tmp_path / "b/1.tiff", 5)
    assert found[-1].num_bytes == 0
    with pytest.raises(RejectedFilm, match="cannot be opened"):
        ImageFileReader()(found[-1])


def test_find_in_a_missing_or_unreadable_folder(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="nowhere: the folder cannot be listed"):
        find_image_files(tmp_path / "nowhere")

    def refused(top, onerror):
        onerror(PermissionError(13, "Permission denied", str(top / "locked")))
        return []

    monkeypatch.setattr(find.os, "walk", refused)
    with pytest.raises(UserError, match="locked: the folder cannot be listed"):
        find_image_files(tmp_path)


def test_8_bit_grey_is_divided_by_255_and_repeated_for_colour(tmp_path):
    file = saved(tmp_path, GREY)
    film = ImageFileReader()(file)
    assert film.pixels.dtype == np.float32
    np.testing.assert_array_equal(film.pixels, GREY.astype(np.float32) / 255)
    assert film.suspicions == ()
    assert film.geometry == {"source_shape": [20, 24], "source_mode": "L"}
    colour = ImageFileReader(channels=3)(file)
    np.testing.assert_array_equal(colour.pixels, np.stack([film.pixels] * 3, axis=-1))


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "webp"])
def test_equal_planes_are_grey_without_suspicion(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    planes = Image.fromarray(np.stack([GREY] * 3, axis=-1))
    film = ImageFileReader()(saved(tmp_path, planes, f"film.{suffix}", **options))
    np.testing.assert_array_equal(film.pixels, GREY.astype(np.float32) / 255)
    assert film.suspicions == ()


def test_colour_becomes_itu_r_601_luminance_with_a_suspicion(tmp_path):
    colour = np.random.default_rng(0).integers(0, 256, (20, 24, 3)).astype(np.uint8)
    file = saved(tmp_path, colour)
    film = ImageFileReader()(file)
    expected = colour @ np.array([0.299, 0.587, 0.114]) / 255
    np.testing.assert_allclose(film.pixels, expected, atol=0.51 / 255)
    assert film.suspicions == ("was_colour",)
    kept = ImageFileReader(channels=3)(file)
    np.testing.assert_array_equal(kept.pixels, colour.astype(np.float32) / 255)
    assert kept.suspicions == ()


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_one_bit_a_pixel_is_no_film(tmp_path, suffix, channels):
    file = saved(tmp_path, Image.fromarray(GREY > 100), f"film.{suffix}")
    with pytest.raises(RejectedFilm, match="1 bit a pixel, expected 8 to 16") as refused:
        ImageFileReader(channels)(file)
    assert refused.value.reason == "bit_depth"


def test_a_film_in_false_colours_is_refused_and_a_tinted_one_is_not(tmp_path):
    film = Image.fromarray(GREY, "P")
    levels = np.arange(256)
    rainbow = np.stack([levels, 255 - levels, levels * 2 % 256], axis=-1)
    film.putpalette(rainbow.astype(np.uint8).tobytes())
    file = saved(tmp_path, film)
    assert rejection(file) == "colour"
    np.testing.assert_array_equal(
        ImageFileReader(channels=3)(file).pixels, (rainbow[GREY] / 255).astype(np.float32)
    )
    tint = np.stack([levels, levels * 0.9, levels * 0.7], axis=-1)
    film.putpalette(tint.astype(np.uint8).tobytes())
    assert ImageFileReader()(saved(tmp_path, film)).suspicions == ("was_colour",)


def test_palette_and_cmyk(tmp_path):
    palette = Image.fromarray(255 - GREY, "P")
    palette.putpalette([255 - value for value in range(256) for _ in range(3)])
    film = ImageFileReader()(saved(tmp_path, palette))
    np.testing.assert_array_equal(film.pixels, GREY.astype(np.float32) / 255)

    ink = np.zeros((20, 24, 4), np.uint8)
    ink[..., 3] = 255 - GREY
    film = ImageFileReader()(saved(tmp_path, Image.fromarray(ink, "CMYK"), "film.tif"))
    np.testing.assert_allclose(film.pixels, GREY / 255, atol=1e-6)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "one transparent grey", "opaque"])
def test_transparency_lies_on_black(tmp_path, mode):
    picture, options = Image.fromarray(GREY), {}
    alpha = np.where(GREY > 100, 255, 51).astype(np.uint8)
    if mode == "one transparent grey":
        options, alpha = {"transparency": 7}, (GREY != 7) * 255
    else:
        alpha = alpha if mode != "opaque" else np.full_like(GREY, 255)
        bands = [picture] * (1 if mode == "LA" else 3) + [Image.fromarray(alpha)]
        picture = Image.merge("LA" if mode == "LA" else "RGBA", bands)
    film = ImageFileReader()(saved(tmp_path, picture, **options))
    np.testing.assert_allclose(film.pixels, GREY / 255 * alpha / 255, atol=0.51 / 255)
    assert film.suspicions == (() if mode == "opaque" else ("had_transparency",))


TWELVE_BIT = (RAMP * 8 + 100).astype(np.uint16)
BIG_ENDIAN = Image.frombytes("I;16B", (24, 20), TWELVE_BIT.astype(">u2").tobytes())


@pytest.mark.parametrize(
    ("values", "suffix"),
    [
        (TWELVE_BIT, "png"),
        (TWELVE_BIT, "tif"),
        (BIG_ENDIAN, "tif"),
        (TWELVE_BIT.astype(np.int32) - 5000, "tif"),
        (TWELVE_BIT.astype(np.float32) / 7 - 3, "tif"),
    ],
)
def test_more_than_8_bits_go_from_lowest_to_highest(tmp_path, values, suffix):
    file = saved(tmp_path, values, f"film.{suffix}")
    film = ImageFileReader()(file)
    np.testing.assert_allclose(film.pixels, RAMP / RAMP.max(), atol=2e-7)
    assert len(np.unique(film.pixels)) == RAMP.size  # Pillow's conversion would have clipped
    extremes = [np.asarray(values).min(), np.asarray(values).max()]
    assert film.geometry["source_range"] == pytest.approx(extremes)
    np.testing.assert_array_equal(ImageFileReader(channels=3)(file).pixels[..., 2], film.pixels)


@pytest.mark.parametrize(("dtype", "suffix"), [(np.uint16, "png"), (np.float32, "tif")])
def test_a_hot_pixel_is_clipped_and_said(tmp_path, dtype, suffix):
    values = TWELVE_BIT.astype(dtype)
    values[0, 0] = values[0, 1] = 65535
    film = ImageFileReader()(saved(tmp_path, values, f"film.{suffix}"))
    untouched = values < 65535
    expected = (values - 116.0) / (values[untouched].max() - 116.0)  # the lowest that is left
    np.testing.assert_allclose(film.pixels[untouched], expected[untouched], atol=2e-7)
    assert (film.pixels[0, :2] == 1).all()
    assert film.suspicions == ("outliers_clipped",)
    assert film.geometry["window"] == "range 116 to 3932"


def test_a_tiff_that_promises_more_rows_than_it_holds_is_truncated(tmp_path):
    file = saved(tmp_path, TWELVE_BIT, "film.tif")
    data = bytearray(file.path.read_bytes())
    length = data.index(struct.pack("<HHI", 257, 4, 1))  # ImageLength
    assert struct.unpack_from("<I", data, length + 8) == (20,)
    struct.pack_into("<I", data, length + 8, 1_000_000)
    file.path.write_bytes(data)
    assert rejection(file) == "truncated"


def test_images_of_kinds_that_are_not_read_are_counted(tmp_path):
    for name in ("a.png", "b.DCM", "c/d.dcm", "e.gif", "labels.csv", ".hidden.gif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    [note] = passed_over_note(tmp_path)
    assert "were not looked at: 2 .dcm, 1 .gif. Read are .png" in note
    assert passed_over_note(tmp_path / "c")
    (tmp_path / "c/d.dcm").rename(tmp_path / "c/d.jpg")
    assert passed_over_note(tmp_path / "c") == []


def test_archives_and_pictures_without_their_suffix_are_counted(tmp_path):
    for name in ("more.zip", "b.ZIP", "c.nii.gz", "d.tar.gz", "notes", "empty.txt"):
        (tmp_path / name).write_bytes(b"PK" if name != "empty.txt" else b"")
    picture = saved(tmp_path, GREY, "film.png").path
    for name in ("IM-0001", "b.bak", "notes.txt"):
        (tmp_path / name).write_bytes(picture.read_bytes() if name != "notes.txt" else b"text")
    os.mkfifo(tmp_path / "pipe")
    [note] = passed_over_note(tmp_path)
    counted = (
        "1 .nii.gz, 1 .tar.gz, 2 .zip, 1 picture called .bak, 1 picture without a suffix. Read"
    )
    assert counted in note
    assert "Unpack archives" in note


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    file = saved(tmp_path, GREY)

    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied", str(file.path))

    monkeypatch.setattr(decoded_picture, "open", forbidden, raising=False)
    with pytest.raises(RejectedFilm, match="its permissions forbid it") as refused:
        ImageFileReader()(file)
    assert refused.value.reason == "unreadable"
    assert file.path.name not in refused.value.sentence

    def unheard(*_, **__):
        raise NotImplementedError(f"no such method in '{file.path}'")

    monkeypatch.setattr(decoded_picture, "open", unheard, raising=False)
    with pytest.raises(RejectedFilm, match=r"decoded \(NotImplementedError: no such method in"):
        ImageFileReader()(file)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_whose_black_is_its_largest_value_is_inverted(tmp_path, dtype):
    values = GREY if dtype == np.uint8 else RAMP * 8
    stored = Image.fromarray((values.max() - values).astype(dtype))
    # Pillow inverts 8-bit data when it writes such a file; 16-bit data it writes as they are.
    file = saved(tmp_path, stored, "film.tif", tiffinfo={262: 0})
    raw = Image.open(file.path)
    assert raw.tag_v2[262] == 0
    pixels = ImageFileReader()(file).pixels
    expected = np.asarray(raw) / 255 if dtype == np.uint8 else values / values.max()
    np.testing.assert_allclose(pixels, expected, atol=1e-6)


def test_a_transparent_value_of_a_16_bit_png_is_black(tmp_path):
    film = ImageFileReader()(saved(tmp_path, Image.fromarray(RAMP), transparency=479))
    assert film.pixels[-1, -1] == 0
    assert film.pixels[-1, -2] == pytest.approx(478 / 479)
    assert film.suspicions == ("had_transparency",)


TURNED = {
    1: lambda film: film, 2: np.fliplr, 3: lambda film: np.rot90(film, 2), 4: np.flipud,
    5: np.transpose, 6: lambda film: np.rot90(film, -1),
    7: lambda film: np.rot90(film, 2).T, 8: np.rot90,
}  # fmt: skip


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_exif_orientation_is_applied_once(tmp_path, orientation, suffix):
    blocks = np.kron(np.arange(6).reshape(2, 3) * 50, np.ones((16, 16))).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    film = ImageFileReader()(saved(tmp_path, blocks, f"film.{suffix}", exif=exif))
    np.testing.assert_allclose(film.pixels, TURNED[orientation](blocks) / 255, atol=0.02)
    assert film.geometry["source_shape"] == list(film.pixels.shape)


def test_patients_labels_and_keys(tmp_path):
    path = saved(tmp_path, GREY).path
    stem = "NORMAL2-IM-1018-0001"
    file = film_file(path, f"NORMAL/{stem}.jpeg")
    film = ImageFileReader(patient_pattern=r"(IM-\d+|person\d+)", label_from_folder=True)(file)
    assert (film.patient, film.labels) == ("IM-1018", {"label": "normal"})
    assert film.keys == (f"NORMAL/{stem}.jpeg", f"{stem}.jpeg", stem)
    assert ImageFileReader(patient_pattern=r"IM-\d+")(file).patient == "IM-1018"
    # A first group that took no part says nothing; numbers alone would mix IM-7 with person7.
    assert ImageFileReader(patient_pattern=r"person(\d+)|IM-\d+")(file).patient == "IM-1018"
    assert ImageFileReader(patient_pattern=r"person\d+")(file).patient is None
    assert ImageFileReader(patient_pattern=r"x*")(file).patient is None
    assert ImageFileReader(patient_from="folder")(file).patient == "NORMAL"
    assert ImageFileReader(patient_from="file")(file).patient == file.name
    assert ImageFileReader()(file).patient is None
    top = film_file(path)
    film = ImageFileReader(patient_from="folder", label_from_folder=True)(top)
    assert (film.patient, film.labels) == (None, {})


def test_settings_that_cannot_be_and_a_reader_sent_to_workers():
    with pytest.raises(UserError, match=r"--patient-pattern \(IM: is not a regular expression"):
        ImageFileReader(patient_pattern="(IM")
    with pytest.raises(UserError, match="Give one of them"):
        ImageFileReader(patient_pattern="IM", patient_from="file")
    reader = ImageFileReader(channels=3, patient_pattern=r"\d+")
    assert pickle.loads(pickle.dumps(reader)) == reader  # noqa: S301


def test_small_constant_and_several_frames(tmp_path):
    assert rejection(saved(tmp_path, GREY[:15])) == "too_small"
    for flat in (np.full((20, 24), 9, np.uint8), np.full((20, 24), 900, np.uint16)):
        assert rejection(saved(tmp_path, flat)) == "constant"
    coloured = saved(tmp_path, np.full((20, 24, 3), (9, 8, 7), np.uint8))
    for channels in (1, 3):
        assert rejection(coloured, ImageFileReader(channels)) == "constant"
    pages = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    for name in ("film.tif", "film.png", "film.webp"):
        file = saved(tmp_path, pages[0], name, save_all=True, append_images=pages[1:])
        assert rejection(file) == "multi_frame"


def test_floats_that_are_no_numbers(tmp_path):
    values = RAMP.astype(np.float32)
    values[3, 3] = np.nan
    assert rejection(saved(tmp_path, values, "film.tif")) == "unreadable"


def png_of(width, height, depth, colour, data=b""):
    def chunk(kind, body):
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


@pytest.mark.parametrize("side", [10_001, 15_000, 60_000])
def test_promises_of_many_pixels_are_not_decoded(tmp_path, side):
    path = tmp_path / "film.png"
    path.write_bytes(png_of(side, side, 8, 0))
    assert rejection(film_file(path)) == "too_large"


@pytest.mark.parametrize("colour", [2, 4, 6])
def test_16_bit_colour_is_refused_as_its_lower_byte_would_be_lost(tmp_path, colour):
    channels = {2: 3, 4: 2, 6: 4}[colour]
    rows = (b"\0" + RAMP[y].astype(">u2").repeat(channels).tobytes() for y in range(20))
    path = tmp_path / "film.png"
    path.write_bytes(png_of(24, 20, 16, colour, b"".join(rows)))
    assert rejection(film_file(path)) == "bit_depth"


def test_what_is_no_picture(tmp_path):
    path = tmp_path / "film.png"
    gif = io.BytesIO()
    Image.fromarray(GREY).save(gif, "GIF")
    # PostScript would start Ghostscript, were Pillow free to choose by content.
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
    for content in (b"<html>not found</html>", postscript, gif.getvalue()):
        path.write_bytes(content)
        assert rejection(film_file(path)) == "not_a_picture"
    path.write_bytes(b"")
    assert rejection(film_file(path)) == "truncated"


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "webp"])
def test_cut_and_flipped_files_are_refused_or_read_never_anything_else(tmp_path, suffix):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (40, 40)).astype(np.uint8)
    whole = saved(tmp_path, noise, f"whole.{suffix}").path.read_bytes()
    path = tmp_path / f"film.{suffix}"
    reasons = []
    for length in np.linspace(1, len(whole) - 1, 40).astype(int):
        path.write_bytes(whole[:length])
        reasons.append(outcome(path))
    assert reasons.count("read") <= 2  # at most what follows the pixels is missing
    for _ in range(100):
        damaged = bytearray(whole)
        for offset in rng.integers(0, min(len(whole), 300), 3):
            damaged[offset] = rng.integers(0, 256)
        path.write_bytes(damaged)
        outcome(path)


def outcome(path):
    try:
        film = ImageFileReader()(film_file(path))
    except RejectedFilm as rejected:
        return rejected.reason
    assert film.pixels.ndim == 2
    assert 0 <= film.pixels.min() < film.pixels.max() <= 1
    return "read"


@pytest.mark.skipif(not KERMANY.is_dir(), reason="needs ../shared/data/kermany_train")
def test_kermany_films():
    files = find_image_files(KERMANY)
    assert len(files) == 5216
    reader = ImageFileReader(patient_pattern=r"(IM-\d+|person\d+)", label_from_folder=True)
    assert len({reader.patient_of(file.name) for file in files}) == 2635
    films = [reader(file) for file in files[::100]]
    assert {film.labels["label"] for film in films} == {"normal", "pneumonia"}
    assert {film.pixels.shape for film in films} == {(224, 224)}
    # All are stored as colour, with equal planes.
    assert {film.geometry["source_mode"] for film in films} == {"RGB"}
    assert {film.suspicions for film in films} == {()}
