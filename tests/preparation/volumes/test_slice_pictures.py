"""Slices: palettes, real formats, orientations and depths, whatever a file is called."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from preparation.pseudonym import Naming
from preparation.volumes.labels.values import MaskValues
from preparation.volumes.png_slices import find_pairs, read_pairs
from preparation.volumes.slice_pictures import read_grey, read_labels
from preparation.volumes.volume import SkipVolume
from tests.preparation.volumes.test_png_slices import make_pairs
from tests.prepare_runs import LEFT_OUT, run

RNG = np.random.default_rng(7)
GREY = np.sort(RNG.integers(0, 256, (16, 16)).astype(np.uint8), axis=1)
LABELS = (np.arange(256).reshape(16, 16) // 100).astype(np.uint8)


def indexed(indices, palette):
    picture = Image.fromarray(np.asarray(indices, np.uint8), "P")
    picture.putpalette(np.asarray(palette, np.uint8).ravel().tolist())
    return picture


def saved(path, picture, *words, **options):
    picture.save(path, *words, **options)
    return path


def refused(read, path, *more):
    with pytest.raises(SkipVolume) as caught:
        read(path, "the file", *more)
    assert caught.value.file == "the file"
    return caught.value.reason


def greys(*values):
    return [(value, value, value) for value in values]


@pytest.mark.parametrize(
    "make",
    [
        lambda a: Image.fromarray(a),
        lambda a: Image.fromarray(a).convert("P", palette=Image.Palette.ADAPTIVE, colors=256),
        lambda a: Image.fromarray(a).quantize(256),
        lambda a: indexed(255 - a, greys(*range(255, -1, -1))),
        lambda a: indexed(a, greys(*range(256))),
        lambda a: indexed(np.unique(a, return_inverse=True)[1], greys(*np.unique(a))),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "bmp", "gif"])
def test_an_indexed_image_has_the_greys_of_its_palette(tmp_path, make, suffix):
    read = read_grey(saved(tmp_path / f"a.{suffix}", make(GREY)), "a")
    assert np.abs(read.pixels.astype(int) - GREY).max() <= 1
    assert read.lossy is None


@pytest.mark.parametrize(
    ("picture", "sentence"),
    [
        (indexed(GREY % 2, [(0, 0, 0), (0, 0, 9)]), "a palette of colours, which are no grey"),
        (Image.fromarray(GREY > 99), "yes-or-no picture (1 bit), expected 8-bit grey"),
        (Image.fromarray(GREY.astype(np.uint16) * 257), "(16-bit grey in the file), expected 8"),
        (Image.fromarray(np.dstack([GREY] * 4)), "mode RGBA (8-bit RGBA in the file)"),
        (Image.fromarray(np.dstack([GREY] * 2), "LA"), "(8-bit grey with alpha in the file)"),
    ],
)
def test_what_is_no_grey_image_is_named(tmp_path, picture, sentence):
    assert sentence in refused(read_grey, saved(tmp_path / "a.png", picture))


def test_an_indexed_image_that_is_partly_transparent_is_named(tmp_path):
    picture = indexed(GREY % 2, greys(0, 255))
    path = saved(tmp_path / "a.png", picture, transparency=1)
    assert "partly transparent" in refused(read_grey, path)


def sixteen_bit_png(path, channels, colour_type):
    """Pillow reads these as 8 bits without a word; it cannot write them."""
    rows = RNG.integers(0, 65536, (8, 8 * channels)).astype(">u2")

    def chunk(kind, data):
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, colour_type, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)))
        + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize(
    ("channels", "colour_type", "kind"),
    [(4, 6, "16-bit RGBA"), (3, 2, "16-bit RGB"), (2, 4, "16-bit grey with alpha")],
)
def test_sixteen_bits_in_several_channels_are_named(tmp_path, channels, colour_type, kind):
    path = sixteen_bit_png(tmp_path / "a.png", channels, colour_type)
    for read, more in ((read_grey, ()), (read_labels, ((),))):
        assert f"({kind} in the file), expected 8-bit grey" in refused(read, path, *more)


def voc(labels):
    palette = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)]
    return indexed(labels, palette)


@pytest.mark.parametrize(
    "make",
    [
        Image.fromarray,
        voc,
        lambda a: indexed(a, greys(0, 1, 2)),
        lambda a: indexed((a + 1) % 3, greys(2, 0, 1)),  # as programs that pack PNGs reorder them
        lambda a: Image.fromarray(a).convert("P"),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_a_label_map_whose_palette_is_clear(tmp_path, make, suffix):
    path = saved(tmp_path / f"a.{suffix}", make(LABELS))
    assert np.array_equal(read_labels(path, "a", ()).pixels, LABELS)


def test_a_palette_of_one_colour_says_nothing_so_the_indices_are_the_labels(tmp_path):
    path = saved(tmp_path / "a.png", indexed(LABELS, greys(*[9] * 256)))
    assert np.array_equal(read_labels(path, "a", ()).pixels, LABELS)


def test_the_palette_of_voc_has_21_known_colours(tmp_path):
    """From the devkit's table of colours, beyond those of three bits."""
    known = {0: (0, 0, 0), 7: (128, 128, 128), 8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128)}
    palette = np.zeros((21, 3), np.uint8)
    for label, colour in known.items():
        palette[label] = colour
    labels = np.array(list(known)).repeat(20).reshape(10, 10)
    path = saved(tmp_path / "a.png", indexed(labels, palette))
    assert np.array_equal(read_labels(path, "a", ()).pixels, labels)


def test_indices_beyond_the_palette_are_refused(tmp_path):
    """As Pillow writes indices that never got a palette: it keeps one bit of each."""
    path = saved(tmp_path / "a.png", Image.fromarray(LABELS, "P"))
    assert set(np.unique(np.array(Image.open(path)))) == {0, 1}
    for read, more in ((read_grey, ()), (read_labels, ((),))):
        assert "indices beyond its palette of 1 colours" in refused(read, path, *more)


@pytest.mark.parametrize(
    "palette",
    [
        [(0, 0, 0), (255, 0, 0), (0, 0, 255)],
        [(0, 0, 0), (0, 128, 0), (128, 0, 0)],  # VOC's colours in another order
    ],
)
def test_a_label_map_in_colours_of_its_own_is_refused(tmp_path, palette):
    path = saved(tmp_path / "a.png", indexed(LABELS, palette))
    assert "does not say what its labels are" in refused(read_labels, path, ())


@pytest.mark.parametrize("colours", [3, 5, 256])
def test_a_grey_palette_is_its_greys_and_has_no_class_without_a_label_map(tmp_path, colours):
    """`quantize` orders greys as it likes; the picture without indices would hold the same."""
    source = tmp_path / "source"
    make_pairs(source, [(3, 1)])
    drawn = np.array(Image.open(source / "label/s_3_1.png"))
    shown = Image.fromarray(drawn * np.uint8(127))
    saved(source / "label/s_3_1.png", shown.quantize(colours))
    words = ("slices", "--source", source, "--split-all-to", "test", "--out")
    assert run(*words, tmp_path / "out") == 2
    [job] = find_pairs(source, naming=Naming(None)).jobs
    with pytest.raises(SkipVolume, match=r"has label values \[127, 254\], expected only 0"):
        read_pairs(job)
    values = MaskValues.of({"127": "kidney", "254": "tumour"})
    [job] = find_pairs(source, values, Naming(None)).jobs
    assert np.array_equal(read_pairs(job).mask[0], drawn)


@pytest.mark.parametrize(
    ("kind", "options", "name"),
    [
        ("JPEG", {"quality": 100}, "JPEG"),
        ("JPEG2000", {}, "JPEG2000"),
        ("WEBP", {"quality": 100}, "WEBP"),
        ("TIFF", {"compression": "jpeg"}, "TIFF with jpeg"),
    ],
)
def test_a_label_map_that_went_through_lossy_compression_is_refused(tmp_path, kind, options, name):
    """Whatever it is called, and also where its labels happen to exist."""
    path = saved(tmp_path / "a.png", Image.fromarray(np.ones_like(LABELS)), kind, **options)
    reason = refused(read_labels, path, ())
    assert f"went through lossy compression ({name})" in reason
    if kind != "WEBP":  # which has colours alone
        assert read_grey(path, "a").lossy == name


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "packbits"])
def test_a_label_map_as_tiff_without_loss(tmp_path, compression):
    path = saved(tmp_path / "a.png", Image.fromarray(LABELS), "TIFF", compression=compression)
    assert np.array_equal(read_labels(path, "a", ()).pixels, LABELS)


def test_lossless_webp_is_not_lossy_but_has_colours(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(LABELS), "WEBP", lossless=True)
    assert "has pixels of mode RGB" in refused(read_labels, path, ())


def test_postscript_called_png_starts_no_program(tmp_path, monkeypatch):
    """Pillow hands PostScript to Ghostscript, which is a programming language's interpreter."""

    def no_program(*words, **settings):
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.check_call", no_program)
    monkeypatch.setattr("subprocess.Popen", no_program)
    path = tmp_path / "a.png"
    path.write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\nshowpage\n"
    )
    with Image.open(path) as picture:
        assert picture.format == "EPS"  # as Pillow would take it
    for read, more in ((read_grey, ()), (read_labels, ((),))):
        assert "is not a readable PNG" in refused(read, path, *more)


def with_orientation(path, array, orientation, kind="PNG"):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(array).save(path, kind, exif=exif)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("shape", [(10, 10), (10, 14)])
def test_image_and_label_with_the_same_exif_orientation_are_turned(tmp_path, orientation, shape):
    """Independent reference: the eight turns that EXIF defines, by numpy."""
    turns = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
        5: lambda a: a.T, 6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).T, 8: np.rot90,
    }  # fmt: skip
    make_pairs(tmp_path, [(3, 1)])
    image, labels = RNG.integers(0, 255, shape, np.uint8), RNG.integers(0, 3, shape, np.uint8)
    with_orientation(tmp_path / "image/s_3_1.png", image, orientation)
    with_orientation(tmp_path / "label/s_3_1.png", labels, orientation)
    [job] = find_pairs(tmp_path, naming=Naming(None)).jobs
    volume = read_pairs(job)
    assert np.array_equal(volume.image[0], turns[orientation](image))
    assert np.array_equal(volume.mask[0], turns[orientation](labels))
    assert job.slice_shape == volume.mask.shape[1:]


def test_orientations_that_differ_are_refused(tmp_path):
    make_pairs(tmp_path, [(3, 1)])
    with_orientation(tmp_path / "image/s_3_1.png", RNG.integers(0, 255, (10, 10), np.uint8), 3)
    [job] = find_pairs(tmp_path, naming=Naming(None)).jobs
    with pytest.raises(SkipVolume, match=r"orientation 1, but .* has 3\. Left out"):
        read_pairs(job)


def test_lossy_images_are_used_and_noted(tmp_path):
    make_pairs(tmp_path)
    grey = np.tile(np.arange(0, 250, 25, dtype=np.uint8), (10, 1))
    saved(tmp_path / "image/s_28_2.png", Image.fromarray(grey), "JPEG", quality=90)
    volume = read_pairs(find_pairs(tmp_path, naming=Naming(None)).jobs[1])
    assert len(volume.image) == 2
    assert "1 of 2 images went through lossy compression (JPEG), whatever" in volume.notes[0]


def test_several_pictures_in_one_file_are_refused(tmp_path):
    frames = [Image.fromarray(LABELS), Image.fromarray(LABELS.T.copy())]
    path = saved(tmp_path / "a.png", frames[0], save_all=True, append_images=frames[1:])
    assert "holds 2 pictures, expected one" in refused(read_labels, path, ())


def test_a_bomb_is_listed_and_the_other_slices_are_prepared(tmp_path, monkeypatch, capsys):
    source = tmp_path / "source"
    make_pairs(source, [(case, 1) for case in range(3)])
    large = RNG.integers(0, 255, (300, 300), np.uint8)
    Image.fromarray(large).save(source / "image/s_1_1.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    words = ("--out", tmp_path / "out", "--split-all-to", "train")
    assert run("slices", "--source", source, *words) == LEFT_OUT
    said = capsys.readouterr().out
    assert "image/s_1_1.png: cannot be read (DecompressionBombError: Image size" in said
    assert "3 found, 2 volumes of 2 patients used with 2 slices" in said
