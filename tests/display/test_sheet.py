from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from display.colours import CLASS_COLOURS, colour_mask, colour_of, overlay
from display.png import save_png
from display.sheet import sheet
from provenance import UserError


def test_colour_mask_gives_each_class_its_colour() -> None:
    picture = colour_mask(np.array([[0, 1], [2, 1]]))
    assert picture.dtype == np.uint8
    assert [tuple(p) for p in picture.reshape(-1, 3)] == [CLASS_COLOURS[i] for i in (0, 1, 2, 1)]


def test_labels_past_the_palette_never_look_like_background() -> None:
    assert all(colour_of(label) != CLASS_COLOURS[0] for label in range(1, 40))
    assert len({colour_of(label) for label in range(22)}) == 22


def test_kidney_and_tumour_differ_for_colour_blind_readers() -> None:
    # Machado 2009, severity 1, in linear RGB: deuteranopia and protanopia.
    simulations = (
        [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
        [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    )
    linear = [(np.array(CLASS_COLOURS[label]) / 255) ** 2.2 for label in (1, 2)]
    for matrix in simulations:
        seen = [(np.array(matrix) @ colour).clip(0, 1) ** (1 / 2.2) for colour in linear]
        assert np.linalg.norm(seen[0] - seen[1]) > 0.5


def test_overlay_mixes_inside_classes_and_keeps_the_background_grey() -> None:
    image = np.full((2, 2), 100, np.uint8)
    picture = overlay(image, np.array([[0, 1], [0, 0]]), opacity=0.5)
    assert picture[0, 0].tolist() == [100, 100, 100]
    expected = np.rint(100 + 0.5 * (np.array(CLASS_COLOURS[1]) - 100.0))
    assert picture[0, 1].tolist() == expected.tolist()


def test_contour_is_an_opaque_line_inside_the_class() -> None:
    mask = np.zeros((9, 9), np.uint8)
    mask[2:7, 2:7] = 2
    picture = overlay(np.full((9, 9), 50, np.uint8), mask, opacity=0, contour=1)
    coloured = (picture == CLASS_COLOURS[2]).all(axis=2)
    expected = mask > 0
    expected[3:6, 3:6] = False
    assert np.array_equal(coloured, expected)
    assert (picture[4, 4] == 50).all()


def test_overlay_names_a_wrong_shape() -> None:
    with pytest.raises(ValueError, match=r"\(3, 2\)"):
        overlay(np.zeros((2, 2), np.uint8), np.zeros((3, 2), int))
    with pytest.raises(ValueError, match="integer labels"):
        colour_mask(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="label -1"):
        colour_mask(np.full((2, 2), -1))


def test_sheet_holds_every_picture_pixel_for_pixel() -> None:
    random = np.random.default_rng(0)
    grey = random.integers(0, 256, (128, 128), np.uint8)
    colour = random.integers(0, 256, (128, 128, 3), np.uint8)
    picture = sheet([[grey, colour], [colour]])
    gap = 4
    assert picture.shape == (2 * 128 + 3 * gap, 2 * 128 + 3 * gap, 3)
    assert np.array_equal(picture[gap : gap + 128, gap : gap + 128, 0], grey)
    assert np.array_equal(picture[gap : gap + 128, 128 + 2 * gap : 256 + 2 * gap], colour)


def test_small_pictures_grow_by_whole_numbers_and_keep_their_shape() -> None:
    picture = sheet([[np.full((20, 40), 7, np.uint8)]])
    assert int((picture == 7).all(axis=2).sum()) == 20 * 40 * 4**2


def test_titles_caption_and_legend_take_room_and_are_drawn() -> None:
    cell = np.zeros((128, 128), np.uint8)
    bare = sheet([[cell, cell]])
    full = sheet(
        [[cell, cell]],
        row_titles=["worst\nIoU 0.12"],
        column_titles=["a title that is much too long for one line", "short"],
        caption="words " * 60,
        legend=["background", "kidney", "tumour"],
    )
    assert full.shape[0] > bare.shape[0] + 60
    assert full.shape[1] > bare.shape[1] + 30
    for label in (1, 2):
        assert (full == CLASS_COLOURS[label]).all(axis=2).sum() > 50


def test_a_long_legend_takes_several_lines_and_shows_every_class() -> None:
    names = ["background", *(f"organ_number_{label}" for label in range(1, 14))]
    drawn = sheet([[np.zeros((128, 128), np.uint8)]], legend=names)
    for label in range(1, 14):
        assert (drawn == colour_of(label)).all(axis=2).sum() > 50, label


def test_sheet_names_a_wrong_number_of_titles() -> None:
    cell = np.zeros((8, 8), np.uint8)
    with pytest.raises(ValueError, match="2 column_titles were given, expected 1"):
        sheet([[cell]], column_titles=["a", "b"])
    with pytest.raises(ValueError, match="no pictures"):
        sheet([])


def test_save_png_writes_replaces_its_own_and_leaves_no_parts(tmp_path: Path) -> None:
    path = tmp_path / "samples" / "a.png"
    for value in (3, 9):
        save_png(path, np.full((4, 5, 3), value, np.uint8))
        assert np.array_equal(np.asarray(Image.open(path)), np.full((4, 5, 3), value))
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


@pytest.mark.parametrize("content", ["picture", "text"])
def test_save_png_keeps_the_files_of_others(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.png"
    if content == "picture":
        Image.new("L", (3, 3), 200).save(path)
    else:
        path.write_text("notes")
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"a\.png: exists and was not written"):
        save_png(path, np.zeros((4, 4), np.uint8))
    assert path.read_bytes() == before
